/**
 * The second net (CHANCERY_MCP_MASK_VALUES): whatever looks like a secret is replaced, in results and in errors, also
 * where no schema says that there is one. The first net is that secret fields are taken out by name.
 */

const masks: readonly (readonly [pattern: RegExp, mask: string])[] = [
  // Redaction goes before cutting, so a block without an end is one too.
  [
    /-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|$)/g,
    '[masked: private key]',
  ],
  // 49 characters without another `_`: leased users are called chy_… as well.
  [/\bchy_[0-9A-Za-z]{40,}/g, '[masked: token]'],
  [/\b(Bearer) +[A-Za-z0-9._~+/-]{16,}=*/gi, '$1 [masked]'],
  // RFC 3986 §3.2.1: the password of a URL.
  [/\b([a-z][a-z0-9+.-]{1,20}:\/\/[^\s:@/?#]{1,255}):[^\s@/?#]{1,1024}@/gi, '$1:[masked]@'],
  [/\b(password|passwd|pwd)=(?!\[masked\])[^\s&;,'"]+/gi, '$1=[masked]'],
];

const suspicious = /PRIVATE KEY-----|chy_|bearer|:\/\/|password=|passwd=|pwd=/i;

export function maskSecrets(text: string): string {
  if (!suspicious.test(text)) return text;
  return masks.reduce((masked, [pattern, mask]) => masked.replace(pattern, mask), text);
}
