import { insert, remove } from '#core/change.ts';
import { toRfc3339 } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { defineOperation } from '#core/operation.ts';
import { cutPage, decodeCursor } from '#core/page.ts';
import type { PkiDeps } from '#pki/deps.ts';
import { readRequest } from '#pki/issuance-request.ts';
import { readCertificatePem, readPrivateKeyPem } from '#pki/outside-certificate.ts';
import { bulkChanges, countMatches, maxPerCall, selectMatches, sortBySteps } from '#pki/revocation/bulk.ts';
import { issuersWithKey, retirements } from '#pki/revocation/retirement.ts';
import {
  listCompromisedInput,
  listCompromisedOutput,
  type ReportCompromiseInput,
  reportCompromiseInput,
  reportCompromiseOutput,
  unblockKeyInput,
} from '#pki/revocation/schema.ts';
import { markStale, revocationOf } from '#pki/revocation/status-change.ts';
import type { BlockedKeyRow, PkiTables } from '#pki/tables.ts';
import { spkiSha256 } from '#pki/x509/spki.ts';
import { z } from 'zod';

/** Keys that are lost: blocked for ever, and every certificate with them revoked (Baseline Requirements §4.9.12). */

const resource = () => 'pki/compromised-keys';

export const reportKeyCompromise = defineOperation({
  id: 'pki.report_key_compromise',
  title: 'Report a compromised key',
  summary:
    'Blocks a key and revokes every certificate with it, up to 10,000 a call. The key is given itself, or by a CSR signed with it, which proves that it is lost; or by a certificate or the SHA-256 of its SubjectPublicKeyInfo.',
  input: reportCompromiseInput,
  output: reportCompromiseOutput,
  http: { method: 'POST', path: '/pki/compromised-keys', bodyLimit: 131_072 },
  effect: 'destructive',
  idempotent: true,
  resource,
  async run(grant, input, deps: PkiDeps) {
    const key = identifyKey(input);
    const revocation = revocationOf({ ...input, reason: 'key_compromise' }, grant);
    const filter = { key_sha256: key.spkiSha256 };
    const rows = await selectMatches(deps, grant, filter, 'key_compromise');
    const counted = await countMatches(deps, grant, filter, 'key_compromise');
    const steps = sortBySteps(rows, 'key_compromise');
    const issuers = await issuersWithKey(deps, grant, key.spkiSha256);
    const retired = await retirements(deps, grant, issuers);
    const isBlocked = (await deps.directory.blockedKeys(grant.namespace)).has(key.spkiSha256);
    const output = {
      spki_sha256: key.spkiSha256,
      proven: key.proven,
      revoked: steps.changing.length,
      already: counted.already,
      left: rows.length < maxPerCall ? 0 : Math.max(0, counted.open - rows.length),
      serial_numbers: steps.changing.slice(0, 100).map((row) => row.serial_number),
      authorities: [...new Set(issuers.map((issuer) => issuer.authority))],
      advice: [...retired.notes],
    };
    return {
      output,
      changes: [
        ...(isBlocked ? [] : [block(grant, key)]),
        ...bulkChanges(steps, revocation),
        ...(await markStale(deps.store, steps.changing)),
        ...retired.changes,
      ],
      audit: {
        spki_sha256: key.spkiSha256,
        evidence: key.evidence,
        proven: key.proven,
        revoked: output.revoked,
        authorities: output.authorities.join(),
      },
    };
  },
});

interface IdentifiedKey {
  readonly spkiSha256: string;
  readonly evidence: 'private_key' | 'csr' | 'certificate' | 'spki_sha256';
  readonly proven: boolean;
}

/** Throws `invalid_request` unless exactly one is given, and is valid. Of a private key only the public half is kept. */
function identifyKey(input: ReportCompromiseInput): IdentifiedKey {
  const { private_key, csr, certificate, spki_sha256 } = input;
  if ([private_key, csr, certificate, spki_sha256].filter((given) => given !== undefined).length !== 1)
    throw new AppError('invalid_request', 'Exactly one of private_key, csr, certificate and spki_sha256 is needed.', {
      hint: 'Give the private key or a CSR signed with it where you can: they prove that the key is lost.',
    });
  if (private_key !== undefined) {
    const { spki, pkcs8 } = readPrivateKeyPem(private_key);
    pkcs8.fill(0);
    return { spkiSha256: spkiSha256(spki), evidence: 'private_key', proven: true };
  }
  // `readRequest` verifies the signature of the CSR with the key in it.
  if (csr !== undefined) return { spkiSha256: spkiSha256(readRequest(csr).key.spki), evidence: 'csr', proven: true };
  if (certificate !== undefined) {
    const { spki } = readCertificatePem(certificate, 'certificate');
    return { spkiSha256: spkiSha256(spki), evidence: 'certificate', proven: false };
  }
  return { spkiSha256: spki_sha256 as string, evidence: 'spki_sha256', proven: false };
}

function block(grant: Grant, key: IdentifiedKey) {
  const row: BlockedKeyRow = {
    namespace: grant.namespace,
    spki_sha256: key.spkiSha256,
    reason: key.evidence,
    principal: grant.principal.name,
    blocked_at: grant.now,
  };
  return insert('pki_blocked_keys', { ...row });
}

export const listCompromisedKeys = defineOperation({
  id: 'pki.list_compromised_keys',
  title: 'List compromised keys',
  summary: 'Lists the keys that were reported as compromised and are never certified again.',
  input: listCompromisedInput,
  output: listCompromisedOutput,
  http: { method: 'GET', path: '/pki/compromised-keys' },
  cli: { columns: ['spki_sha256', 'evidence', 'reported_by', 'reported_at'] },
  effect: 'read',
  resource,
  async run(grant, input, deps: PkiDeps) {
    let query = deps.store
      .tables<PkiTables>()
      .selectFrom('pki_blocked_keys')
      .selectAll()
      .where('namespace', '=', grant.namespace);
    if (input.cursor !== undefined) query = query.where('spki_sha256', '>', decodeCursor(input.cursor, 'string'));
    const rows = await query
      .orderBy('spki_sha256')
      .limit(input.limit + 1)
      .execute();
    const page = cutPage(rows, input.limit, (row) => row.spki_sha256);
    return {
      output: {
        compromised_keys: page.items.map((row) => ({
          spki_sha256: row.spki_sha256,
          evidence: row.reason,
          reported_by: row.principal,
          reported_at: toRfc3339(row.blocked_at),
        })),
        next_cursor: page.next_cursor,
      },
    };
  },
});

export const unblockKey = defineOperation({
  id: 'pki.unblock_key',
  title: 'Unblock a key',
  summary:
    'Lets a key be certified again that was reported by mistake. Certificates that were revoked for it stay revoked.',
  input: unblockKeyInput,
  output: z.strictObject({ spki_sha256: z.string(), blocked: z.literal(false) }),
  http: { method: 'DELETE', path: '/pki/compromised-keys/{spki_sha256}' },
  effect: 'destructive',
  resource: ({ spki_sha256 }) => `pki/compromised-keys/${spki_sha256}`,
  async run(grant, input, _deps: PkiDeps) {
    const otherwise = () =>
      new AppError('not_found', 'There is no compromised key with this hash.', {
        hint: 'pki.list_compromised_keys shows those that are blocked.',
      });
    return {
      output: { spki_sha256: input.spki_sha256, blocked: false as const },
      changes: [
        remove(
          'pki_blocked_keys',
          { namespace: grant.namespace, spki_sha256: input.spki_sha256 },
          { expect: 1, otherwise },
        ),
      ],
    };
  },
});

export const compromiseOperations = [reportKeyCompromise, listCompromisedKeys, unblockKey];
