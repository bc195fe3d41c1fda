import { maskKeys } from './mask-keys.ts';
import { maskNamed } from './mask-named.ts';
import { maskUrls } from './mask-urls.ts';

/**
 * The second net (CHANCERY_MCP_MASK_VALUES): whatever looks like a secret is replaced, in results and in errors, also
 * where no schema says that there is one. The first net is that secret fields are taken out by name.
 *
 * It reads hostile text of any length, so every search begins with a literal, and what follows is bounded or ends at the
 * first character that does not belong: the work grows with the length and not faster.
 */

type Mask = readonly [pattern: RegExp, by: string | ((...groups: string[]) => string)];

/** Tokens that tell what they are, wherever they stand. */
const tokens: readonly Mask[] = [
  // 49 characters without another `_`: leased users are called chy_… as well.
  [/chy_[0-9A-Za-z]{40,}/g, '[masked: token]'],
  [/chc_[0-9a-z]{26}_[A-Za-z0-9_-]{43}/g, '[masked: claim handle]'],
  // JWS, compact (RFC 7515 §7.1), and well-known tokens of others.
  [/(?<![\w-])eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}/g, '[masked: token]'],
  [/(?:gh[oprsu]_[A-Za-z0-9]{36}|github_pat_\w{60}|npm_[A-Za-z0-9]{36})\w*/g, '[masked: token]'],
  [/(?:hv[bsr]\.|xox[abeoprs]-|glpat-|sk-)[A-Za-z0-9_-]{20,}/g, '[masked: token]'],
];

const schemes = 'basic|bearer|digest|negotiate|ntlm|token|apikey|hoba|mutual|scram-sha-\\d+|aws4-hmac-sha256';

// As in Digest: name=value, name="value".
const parameter = '[a-z][a-z-]{0,19}=(?:"[^"\\r\\n]*"|[^\\s",\\[]+)';

/** RFC 9110 §11.6.2: what stands in a header, also one in JSON or in a command. */
const headers: readonly Mask[] = [
  [
    new RegExp(
      `(authorization(?:\\\\{0,4}["'])? {0,4}[:=] {0,4}(?:\\\\{0,4}["'])?)((?:${schemes}) {1,4})?` +
        `(${parameter}(?:, {0,4}${parameter})*|[^\\s"'\\\\,;[]{6,})`,
      'gi',
    ),
    (whole, head = '', scheme = '', token = '') =>
      scheme === '' && /^[a-z]+\.?$/i.test(token) ? whole : `${head}${scheme}[masked]`,
  ],
  [/(bearer) {1,4}[A-Za-z0-9._~+/-]{16,}=*/gi, '$1 [masked]'],
  [
    /(basic) {1,4}([A-Za-z0-9+/]{6,}={0,2})/gi,
    (whole, scheme = '', pair = '') => (isUserAndPassword(pair) ? `${scheme} [masked]` : whole),
  ],
];

/** RFC 7617 §2: two parts with a colon between them, in base64. */
function isUserAndPassword(pair: string): boolean {
  return /^[\x20-\x7e]*:[\x20-\x7e]*$/.test(Buffer.from(pair, 'base64').toString('latin1'));
}

/** Most texts hold nothing of the kind, and this alone is asked of them. */
const suspicious =
  /pass|pwd|secret|token|[a-z][-_ ]?key|credential|ch[yc]_|bearer|basic|authorization|identified|\/\/|@(?:tcp|unix)|-u|eyj|gh[oprsu]_|hv[bsr]\.|npm_|glpat-|xox|sk-|"d\\*"|-----|mi[a-i]|m[a-h].cAQ/i;

export function maskSecrets(text: string): string {
  if (!suspicious.test(text)) return text;
  const plain = apply(headers, apply(tokens, maskKeys(text)));
  return maskUrls(maskNamed(plain));
}

function apply(masks: readonly Mask[], text: string): string {
  // Both forms are taken by replace; its overloads do not say so together.
  return masks.reduce((masked, [pattern, by]) => masked.replace(pattern, by as string), text);
}
