import { createPublicKey, type KeyObject } from 'node:crypto';
import { AppError } from '#core/errors.ts';
import { lintCertificate, type LintKind } from '#pki/lint/certificate.ts';
import { type KeyType, sign, signatureAlgorithmOf, verify } from '#pki/x509/algorithm.ts';
import { createIssuanceGuard, type IssuanceGuard } from '#pki/validation/issuance-guard.ts';
import { assembleCertificate, type Certificate, decodeCertificate } from '#pki/x509/certificate.ts';
import { parseRequest, proveRequest } from '#pki/x509/request.ts';

/**
 * The one way from prepared bytes to a signature: prove → lint → sign → compare → verify → validate. A certificate for a key that
 * the CSR does not prove, or that our own linter faults, is never signed, and what is returned is proved to hold exactly
 * the bytes that were linted.
 *
 * The linter reads the TBSCertificate itself, with the strict reader and without the fields it was made from. It never
 * looks at a signature, so a throw-away one (as Boulder makes for zlint) would only be skipped over.
 */
export interface SigningKey {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly keyType: KeyType;
  /** Of the issuer, from its own certificate upwards, DER; undefined for the key of a root that is being made. */
  readonly chain?: readonly Uint8Array[] | undefined;
}

export interface Prepared {
  readonly tbs: Buffer;
  readonly kind: LintKind;
  readonly webPki: boolean;
  /** The CSR of the key that is certified, DER; undefined: the key is our own, or proved already. */
  readonly csr?: Buffer | undefined;
}

/**
 * Returns the certificate, DER. Throws `invalid_request` when the CSR is not signed with its key, `refused` when that
 * key is none, with the linter's findings, or when the chain does not allow the certificate; anything else it throws is a fault of ours.
 */
export function signPrepared(prepared: Prepared, key: SigningKey): Buffer {
  const proven = prepared.csr && proveKey(prepared.csr);
  refuseFaulty(prepared);
  const signature = sign(key.privateKey, key.keyType, prepared.tbs);
  const der = assembleCertificate(prepared.tbs, signatureAlgorithmOf(key.keyType), signature);
  const certificate = decodeCertificate(der);
  if (!certificate.tbs.equals(prepared.tbs)) throw new Error('the signed bytes are not the linted ones');
  // RFC 5280 §4.1.1.2: both must be the same.
  if (!certificate.tbsSignature.der.equals(certificate.signatureAlgorithm.der))
    throw new Error('the certificate names another signature algorithm than it is signed by');
  if (proven && !certificate.spki.equals(proven)) throw new Error('the key of the certificate is not that of the CSR');
  if (!verify(key.publicKey, certificate.signatureAlgorithm, certificate.tbs, certificate.signature))
    throw new Error('the signature just made does not verify: the key or the machine is faulty');
  if (key.chain) refuseInvalid(certificate, prepared.kind, guardOf(key, key.chain));
  return der;
}

const guards = new WeakMap<SigningKey, IssuanceGuard>();

/** The chain is validated with the first certificate under it. */
function guardOf(key: SigningKey, chain: readonly Uint8Array[]): IssuanceGuard {
  let guard = guards.get(key);
  if (guard === undefined) guards.set(key, (guard = createIssuanceGuard(chain)));
  return guard;
}

function refuseInvalid(certificate: Certificate, kind: LintKind, guard: IssuanceGuard): void {
  const findings = guard.check(certificate, kind);
  const [first] = findings;
  if (first === undefined) return;
  throw new AppError(
    'refused',
    `The certificate would not be valid under its chain (${first.section}): ${first.found}; allowed is ${first.expected}.`.slice(
      0,
      1000,
    ),
    {
      hint: first.fix,
      details: findings
        .slice(0, 20)
        .map(({ code, section, found }) => ({ at: `${code} (${section})`, message: found })),
    },
  );
}

/** The SubjectPublicKeyInfo of a CSR that is signed with it, DER. */
function proveKey(csr: Buffer): Buffer {
  const request = parseRequest(csr);
  proveRequest(request);
  return request.key.spki;
}

function refuseFaulty({ tbs, kind, webPki }: Prepared): void {
  const faults = lintCertificate(tbs, { kind, profile: webPki ? 'web_pki' : 'rfc5280' }).filter(
    (finding) => finding.severity === 'error',
  );
  const [first] = faults;
  if (first === undefined) return;
  throw new AppError('refused', `The certificate would break ${first.section}: ${first.message}.`, {
    hint: 'Change the request or the role so that the certificate follows the standard.',
    details: faults.slice(0, 20).map(({ code, section, message }) => ({ at: `${code} (${section})`, message })),
  });
}

export function toPublicKey(spki: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
}
