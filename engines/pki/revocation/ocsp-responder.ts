import type { Clock } from '#core/clock.ts';
import type { Store } from '#storage/store.ts';
import { DerError } from '#pki/asn1/der-error.ts';
import type { Authority, Directory } from '#pki/directory.ts';
import type { CertifiedIssuer } from '#pki/issuer.ts';
import { parsePublicName } from '#pki/urls.ts';
import { sign, signatureAlgorithmOf } from '#pki/x509/algorithm.ts';
import { type CertId, hashIssuer, isFromIssuer, type IssuerHashes } from '#pki/x509/ocsp-cert-id.ts';
import { decodeOcspRequest, type OcspRequest } from '#pki/x509/ocsp-request.ts';
import {
  assembleOcspResponse,
  type CertStatus,
  encodeOcspError,
  encodeResponseData,
  type OcspErrorStatus,
  type SingleResponseFields,
} from '#pki/x509/ocsp-response.ts';
import { reasonOf } from './crl-entries.ts';
import { liveIssuers } from './crl-shard-list.ts';
import type { OcspSigner, OcspSigners } from './ocsp-signer.ts';

/**
 * Answers OCSP requests (RFC 6960, RFC 5019, RFC 9654). Only what the store knows as issued is good; everything else is
 * unknown. Answers without nonce are kept, and dropped as soon as any status changes anywhere.
 */
export interface OcspResponder {
  /** A kept answer to a request that came in these very bytes, without any work. */
  peek(authorityName: string, key: string): OcspAnswer | undefined;
  /** Never rejects: what fails is an answer too. With `key`, an answer that may be kept is. */
  answer(authorityName: string, request: Uint8Array, key: string | undefined): Promise<OcspAnswer>;
  /** The answer that there is none. */
  refuse(status: OcspErrorStatus): OcspAnswer;
  close(): void;
}

export interface OcspAnswer {
  /** OCSPResponse, DER. */
  readonly body: Buffer;
  /** Milliseconds; absent when the answer is for this request alone. */
  readonly cacheable?: { readonly thisUpdate: number; readonly nextUpdate: number };
}

interface ResponderParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly directory: Directory;
  readonly signers: OcspSigners;
}

interface Kept {
  readonly answer: OcspAnswer;
  /** Milliseconds: from its making through half of its validity. */
  readonly from: number;
  readonly until: number;
}

/** About a kilobyte each. */
const maxKept = 20_000;
/** Only requests about a certificate or two are asked again in the same bytes. */
const maxKeptItems = 2;
const maxKeyLength = 600;

export function createOcspResponder(parts: ResponderParts): OcspResponder {
  const { store, clock, directory } = parts;
  const kept = new Map<string, Kept>();
  let version = 0;
  const unwatch = store.watch(['pki_crl_states', 'pki_ocsp_signers', 'pki_authorities', 'pki_issuers'], () => {
    version++;
    kept.clear();
  });
  const keep = (key: string, answer: OcspAnswer, startedAt: number): void => {
    const { cacheable } = answer;
    if (!cacheable || startedAt !== version || key.length > maxKeyLength) return;
    if (kept.size >= maxKept) kept.delete(kept.keys().next().value as string);
    const { thisUpdate: from, nextUpdate } = cacheable;
    kept.set(key, { answer, from, until: (from + nextUpdate) / 2 });
  };
  return {
    peek(authorityName, key) {
      const full = `${authorityName} ${key}`;
      const found = kept.get(full);
      if (found === undefined) return undefined;
      kept.delete(full);
      const now = clock.now();
      if (now < found.from || now >= found.until) return undefined;
      kept.set(full, found);
      return found.answer;
    },
    async answer(authorityName, request, key) {
      const startedAt = version;
      try {
        const name = parsePublicName(authorityName);
        const authority = name && (await directory.authority(name.namespace, name.authority));
        if (!authority) return refuse('unauthorized');
        const answer = await respond(parts, authority, decodeOcspRequest(request));
        if (key !== undefined) keep(`${authorityName} ${key}`, answer, startedAt);
        return answer;
      } catch (error) {
        return refuse(error instanceof DerError ? 'malformed_request' : 'try_later');
      }
    },
    refuse,
    close: unwatch,
  };
}

function refuse(status: OcspErrorStatus): OcspAnswer {
  return { body: encodeOcspError(status) };
}

async function respond(parts: ResponderParts, authority: Authority, request: OcspRequest): Promise<OcspAnswer> {
  // RFC 6960 §4.4: what is critical and not understood must not be passed over.
  if (request.unknownCritical.length > 0 || request.items.some((item) => item.unknownCritical.length > 0))
    return refuse('malformed_request');
  const now = parts.clock.now();
  const issuer = issuerOf(authority, request, now);
  if (!issuer) return refuse('unauthorized');
  const signer = await parts.signers.signerOf(authority, issuer);
  const nextUpdate = Math.min(now + authority.settings.ocspTtl * 1000, signer.notAfter);
  const responses: SingleResponseFields[] = [];
  for (const { certId } of request.items) {
    const status = await statusOf(parts.store, issuer, certId);
    responses.push({ certId: certId.der, status, thisUpdate: now, nextUpdate });
  }
  const body = signAnswer(signer, now, responses, request.nonce);
  const mayKeep =
    request.nonce === undefined &&
    responses.length <= maxKeptItems &&
    // What is unknown now may be issued in a moment, and nothing would say that this answer is out of date.
    responses.every(({ status }) => status.kind !== 'unknown');
  return mayKeep ? { body, cacheable: { thisUpdate: now, nextUpdate } } : { body };
}

const hashesOf = new WeakMap<CertifiedIssuer, IssuerHashes>();

/** The issuer of ours that the request asks about. What it asks of other issuers beside, is unknown. */
function issuerOf(authority: Authority, request: OcspRequest, now: number): CertifiedIssuer | undefined {
  const issuers = liveIssuers(authority, now);
  for (const { certId } of request.items) {
    const found = issuers.find((issuer) => isFromIssuer(certId, hashesFor(issuer)));
    if (found) return found;
  }
  return undefined;
}

function hashesFor(issuer: CertifiedIssuer): IssuerHashes {
  const known = hashesOf.get(issuer);
  if (known) return known;
  const made = hashIssuer(issuer.certificate.subject.der, issuer.certificate.spki);
  hashesOf.set(issuer, made);
  return made;
}

interface StatusRow {
  readonly status: string;
  readonly revoked_at: number | null;
  readonly revocation_reason: string | null;
}

async function statusOf(store: Store, issuer: CertifiedIssuer, certId: CertId): Promise<CertStatus> {
  if (!isFromIssuer(certId, hashesFor(issuer))) return { kind: 'unknown' };
  const row = await store.first<StatusRow>(
    'SELECT status, revoked_at, revocation_reason FROM pki_certificates WHERE serial_number = ? AND issuer_id = ?',
    [certId.serialNumber, issuer.row.id],
  );
  if (!row) return { kind: 'unknown' };
  if (row.status === 'valid') return { kind: 'good' };
  return { kind: 'revoked', revokedAt: row.revoked_at ?? 0, reason: reasonOf(row.revocation_reason) };
}

function signAnswer(
  signer: OcspSigner,
  now: number,
  responses: readonly SingleResponseFields[],
  nonce: Buffer | undefined,
): Buffer {
  const data = encodeResponseData({ responderId: { byKey: signer.keyHash }, producedAt: now, responses, nonce });
  const signature = sign(signer.privateKey, signer.keyType, data);
  return assembleOcspResponse(data, signatureAlgorithmOf(signer.keyType), signature, [signer.certificate]);
}
