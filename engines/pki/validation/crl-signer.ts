import { commonFindings } from './certificate-rules.ts';
import type { ParsedCertificate } from './parsed-certificate.ts';
import { candidatePaths, type SearchContext } from './path-search.ts';
import { type Signed, signatureAlgorithmFindings } from './signature.ts';

/** Who may sign CRLs and OCSP responses for a certificate of a path (RFC 5280 §6.3.3 (f), RFC 6960 §4.2.2.2). */

/** What signers are looked for with. */
export interface SignerContext {
  readonly search: SearchContext;
  /** From the leaf to the trust anchor. */
  readonly path: readonly ParsedCertificate[];
  /** The place in `path` of the certificate whose revocation is asked about. */
  readonly index: number;
}

/** Most certificates of one name that are tried: many of one name are made to keep a validator busy. */
const maxCandidates = 8;

/**
 * The paths of those who bear `nameKey` and whose key made the signature, each from the signer to the trust anchor of
 * the path: certificates of the path itself, or others that one of them certified for this. RFC 5280 would take any
 * path to the same trust anchor; then an authority elsewhere below it could speak for one of the same name.
 */
export function* signerPaths(
  signed: Signed,
  nameKey: string,
  { search, path, index }: SignerContext,
): Generator<readonly ParsedCertificate[]> {
  const above = path.slice(index + 1);
  for (const [place, parsed] of above.entries())
    if (parsed.subjectKey === nameKey && signs(parsed) && search.signatures.verify(signed, parsed))
      yield above.slice(place);
  const others = search.intermediates.filter(
    (parsed) => parsed.subjectKey === nameKey && !above.some(({ sha256 }) => sha256 === parsed.sha256),
  );
  for (const parsed of others.slice(0, maxCandidates))
    if (isDedicated(parsed) && search.signatures.verify(signed, parsed)) {
      const found = certifiedBy(parsed, above, search);
      if (found !== undefined) yield found;
    }
}

function signs(parsed: ParsedCertificate): boolean {
  return parsed.value('key_usage')?.includes('crl_sign') !== false;
}

/** Of another than the issuer itself the right to sign CRLs is asked for in so many words. */
function isDedicated(parsed: ParsedCertificate): boolean {
  return parsed.value('key_usage')?.includes('crl_sign') === true;
}

/** The path of `signer` upwards through `above`, when every rule for it is kept. */
export function certifiedBy(
  signer: ParsedCertificate,
  above: readonly ParsedCertificate[],
  search: SearchContext,
): readonly ParsedCertificate[] | undefined {
  const anchor = above.at(-1);
  if (anchor === undefined || commonFindings(signer, search.at, search.profile).length > 0) return undefined;
  if (signatureAlgorithmFindings(signer.certificate.signatureAlgorithm).length > 0) return undefined;
  const context: SearchContext = { ...search, purpose: 'any', anchors: [anchor], intermediates: above.slice(0, -1) };
  for (const { certificates, complete } of candidatePaths(signer, context, false)) if (complete) return certificates;
  return undefined;
}
