import { hash } from 'node:crypto';
import { toRfc3339 } from '#core/clock.ts';
import { DerError } from '#pki/asn1/der-error.ts';
import { hashIssuer, type IssuerHashes, isFromIssuer } from '#pki/x509/ocsp-cert-id.ts';
import { type BasicOcspResponse, decodeOcspResponse, type SingleResponse } from '#pki/x509/ocsp-response.ts';
import { nameKey } from '#pki/x509/name.ts';
import { oids } from '#pki/x509/oid.ts';
import { checkCrls, type CrlContext } from './crl-check.ts';
import { certifiedBy } from './crl-signer.ts';
import { type ParsedCertificate, parseCertificate } from './parsed-certificate.ts';
import { isRevokedAt, maxSkew } from './revocation-time.ts';
import type { RevocationVerdict } from './revocation.ts';
import { signatureAlgorithmFindings } from './signature.ts';

/** Checking a certificate against OCSP responses (RFC 6960 §3.2, §4.2.2). */

export interface GivenResponses {
  readonly responses: readonly BasicOcspResponse[];
  /** Why what was given as a response is none, or says nothing. */
  readonly problems: readonly string[];
}

export function readOcspResponses(ders: readonly Uint8Array[]): GivenResponses {
  const responses: BasicOcspResponse[] = [];
  const problems: string[] = [];
  for (const der of ders) {
    try {
      const response = decodeOcspResponse(der);
      if (response.status === 'successful') responses.push(response.basic);
      else problems.push(`an OCSP responder answered ${response.status}`);
    } catch (thrown) {
      if (!(thrown instanceof DerError)) throw thrown;
      problems.push(`an OCSP response is malformed: ${thrown.message}`);
    }
  }
  return { responses, problems };
}

/** A responder that does not say when it knows more must have spoken this lately, in milliseconds. */
const maxAgeWithoutNext = 3_600_000;

/** What the responses say of the certificate at `index`; undefined when none of them speaks of it. */
export function checkOcsp(given: GivenResponses, context: CrlContext): RevocationVerdict | undefined {
  const parsed = context.path[context.index] as ParsedCertificate;
  const issuer = context.path[context.index + 1];
  if (issuer === undefined || issuer.key === undefined) return undefined;
  const problems = [...given.problems];
  let best: RevocationVerdict | undefined;
  for (const response of given.responses)
    for (const single of response.responses) {
      if (!isAbout(single, parsed, issuer)) continue;
      const verdict = judge(response, single, context);
      if (verdict.status === 'revoked') return verdict;
      if (verdict.problem !== undefined) problems.push(verdict.problem);
      else if (best === undefined || verdict.status === 'held') best = verdict;
    }
  if (best !== undefined) return best;
  return problems.length === 0 ? undefined : { status: 'unknown', problem: problems.slice(0, 3).join('; ') };
}

function isAbout({ certId }: SingleResponse, { certificate }: ParsedCertificate, issuer: ParsedCertificate): boolean {
  if (certId.serialNumber !== certificate.serialNumber) return false;
  let hashes = hashesOf.get(issuer);
  if (hashes === undefined)
    hashesOf.set(issuer, (hashes = hashIssuer(issuer.certificate.subject.der, issuer.certificate.spki)));
  return isFromIssuer(certId, hashes);
}

const hashesOf = new WeakMap<ParsedCertificate, IssuerHashes>();

function judge(response: BasicOcspResponse, single: SingleResponse, context: CrlContext): RevocationVerdict {
  const [critical] = [...response.unknownCritical, ...single.unknownCritical];
  if (critical !== undefined)
    return unknown(`an OCSP response has the critical extension ${critical}, which is not understood`);
  const unsound = signerProblem(response, context);
  if (unsound !== undefined) return unknown(unsound);
  const { status } = single;
  const stale = freshnessProblem(single, context.search.at);
  if (status.kind === 'revoked') {
    const { reason = 'unspecified', revokedAt } = status;
    const isLater = single.thisUpdate > context.search.at + maxSkew;
    if (reason !== 'certificate_hold' && (!isLater || isRevokedAt({ reason, revokedAt }, context.search.at)))
      return { status: 'revoked', reason, at: revokedAt };
    return stale === undefined ? { status: 'held', reason, at: revokedAt } : unknown(stale);
  }
  if (stale !== undefined) return unknown(stale);
  return status.kind === 'good' ? { status: 'good' } : unknown('the OCSP responder does not know the certificate');
}

function unknown(problem: string): RevocationVerdict {
  return { status: 'unknown', problem };
}

/** RFC 6960 §4.2.2.1. */
function freshnessProblem({ thisUpdate, nextUpdate }: SingleResponse, at: number): string | undefined {
  if (thisUpdate > at + maxSkew)
    return `an OCSP response is of ${toRfc3339(thisUpdate)}, later than the time asked about`;
  if (nextUpdate === undefined)
    return at - thisUpdate > maxAgeWithoutNext ? `an OCSP response is of ${toRfc3339(thisUpdate)}` : undefined;
  return nextUpdate < at ? `an OCSP response is stale: the next was due ${toRfc3339(nextUpdate)}` : undefined;
}

/** Most certificates of a response that are looked at. */
const maxCertificates = 4;

/** RFC 6960 §4.2.2.2: the issuer signed it, or one whom the issuer itself certified for OCSP. */
function signerProblem(response: BasicOcspResponse, context: CrlContext): string | undefined {
  const [weak] = signatureAlgorithmFindings(response.signatureAlgorithm);
  if (weak !== undefined) return `an OCSP response is signed with ${weak.found}`;
  const issuer = context.path[context.index + 1] as ParsedCertificate;
  if (isResponder(response, issuer) && context.search.signatures.verify(response, issuer)) return undefined;
  for (const der of response.certificates.slice(0, maxCertificates)) {
    const delegate = parseCertificate(der);
    if ('reason' in delegate || !isResponder(response, delegate)) continue;
    if (!context.search.signatures.verify(response, delegate)) continue;
    return delegateProblem(delegate, issuer, context);
  }
  return 'an OCSP response is not signed by the issuer or one whom it authorized';
}

function isResponder({ responderId }: BasicOcspResponse, { certificate, key }: ParsedCertificate): boolean {
  if (responderId.kind === 'name') return nameKey(responderId.name) === nameKey(certificate.subject);
  return key !== undefined && responderId.keyHash.equals(hash('sha1', key.keyBits, 'buffer'));
}

function delegateProblem(
  delegate: ParsedCertificate,
  issuer: ParsedCertificate,
  context: CrlContext,
): string | undefined {
  const who = 'the signer of an OCSP response';
  if (!delegate.value('extended_key_usage')?.includes(oids.ocspSigning)) return `${who} is not certified for OCSP`;
  if (delegate.value('key_usage')?.includes('digital_signature') === false) return `${who} may not sign`;
  const above = context.path.slice(context.index + 1);
  const path = certifiedBy(delegate, above, context.search);
  if (path?.[1]?.spkiSha256 !== issuer.spkiSha256) return `${who} is not certified by the issuer for that time`;
  // RFC 6960 §4.2.2.2.1: an issuer may promise not to revoke it.
  if (delegate.certificate.extensions.has(oids.ocspNoCheck)) return undefined;
  const pending = new Set([...context.pending, delegate.spkiSha256]);
  const { status } = checkCrls({ ...context, path, index: 0, pending });
  if (status === 'revoked' || status === 'held') return `${who} is revoked or on hold`;
  return status === 'good' || context.mode !== 'hard' ? undefined : `whether ${who} is revoked is not known to be no`;
}
