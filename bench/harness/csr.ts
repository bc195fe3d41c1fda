import { generateKeyPair } from '#pki/x509/key.ts';
import { encodeName } from '#pki/x509/name.ts';
import { encodePem } from '#pki/x509/pem.ts';
import { encodeRequest } from '#pki/x509/request.ts';

/** Certification requests for different keys and names, PEM, as clients make them. */
export async function makeRequests(count: number): Promise<string[]> {
  const requests: string[] = [];
  for (let index = 0; index < count; index++) {
    const { privateKey, spki } = await generateKeyPair('ec-p256');
    const der = encodeRequest({
      subject: encodeName([]),
      names: [{ kind: 'dns', value: hostName(index) }],
      keyType: 'ec-p256',
      spki,
      privateKey,
    });
    requests.push(encodePem('CERTIFICATE REQUEST', der));
  }
  return requests;
}

export function hostName(index: number): string {
  return `host-${String(index).padStart(7, '0')}.example.com`;
}
