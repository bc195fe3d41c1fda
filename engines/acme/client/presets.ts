/** Directories of public authorities by name. */
export const directories = {
  letsencrypt: 'https://acme-v02.api.letsencrypt.org/directory',
  'letsencrypt-staging': 'https://acme-staging-v02.api.letsencrypt.org/directory',
  zerossl: 'https://acme.zerossl.com/v2/DV90',
  google: 'https://dv.acme-v02.api.pki.goog/directory',
  'google-staging': 'https://dv.acme-v02.test-api.pki.goog/directory',
  buypass: 'https://api.buypass.com/acme/directory',
  'buypass-staging': 'https://api.test4.buypass.no/acme/directory',
  sslcom: 'https://acme.ssl.com/sslcom-dv-ecc',
} as const;

export function directoryUrlOf(directory: string): string {
  return Object.hasOwn(directories, directory) ? directories[directory as keyof typeof directories] : directory;
}
