import { type Change, update } from '#core/change.ts';
import type { Grant } from '#core/grant.ts';
import type { PkiDeps } from '#pki/deps.ts';
import type { IssuerState } from '#pki/tables.ts';
import type { StatusRow } from './status-change.ts';

/** An authority whose certificate is revoked signs no more: what it issued would be refused by everyone who looks. */

export interface OwnIssuer {
  readonly id: string;
  readonly state: IssuerState;
  readonly authority_id: string;
  readonly authority: string;
  readonly kind: 'root' | 'intermediate';
}

const select = `SELECT i.id AS id, i.state AS state, i.authority_id AS authority_id, a.name AS authority, a.kind AS kind
  FROM pki_issuers i JOIN pki_authorities a ON a.id = i.authority_id`;

/** Issuers of ours whose own certificate is among these. */
export async function issuersOfCertificates(
  deps: PkiDeps,
  grant: Grant,
  rows: readonly Pick<StatusRow, 'kind' | 'serial_number'>[],
): Promise<OwnIssuer[]> {
  const found: OwnIssuer[] = [];
  for (const row of rows) {
    if (row.kind !== 'authority') continue;
    const sql = `${select} WHERE i.namespace = ? AND i.serial_number = ?`;
    found.push(...(await deps.store.all<OwnIssuer>(sql, [grant.namespace, row.serial_number])));
  }
  return found;
}

export function issuersWithKey(deps: PkiDeps, grant: Grant, spkiSha256: string): Promise<OwnIssuer[]> {
  return deps.store.all<OwnIssuer>(`${select} WHERE i.namespace = ? AND i.spki_sha256 = ?`, [
    grant.namespace,
    spkiSha256,
  ]);
}

export interface Retirement {
  readonly changes: readonly Change[];
  readonly notes: readonly string[];
}

/** Throws `denied` where one of the authorities is out of reach. */
export async function retirements(deps: PkiDeps, grant: Grant, issuers: readonly OwnIssuer[]): Promise<Retirement> {
  const changes: Change[] = [];
  const notes: string[] = [];
  for (const issuer of issuers) {
    grant.reach(`pki/authorities/${issuer.authority}`);
    if (issuer.state === 'active') {
      changes.push(
        update('pki_issuers', { state: 'retiring' }, { id: issuer.id, state: 'active' }, { expect: 1 }),
        update('pki_authorities', { state: 'retired' }, { id: issuer.authority_id }),
      );
      notes.push(`Authority ${issuer.authority} was retired: it signs no more certificates.`);
    }
    if (issuer.kind === 'root')
      notes.push(
        `${issuer.authority} is a root: who trusts it must be told to remove it, since no CRL above covers it.`,
      );
    else if (await hasOpenCertificates(deps, issuer.id))
      notes.push(
        `Certificates that ${issuer.authority} issued are still valid of their own: revoke them with pki.revoke_certificates.`,
      );
  }
  return { changes, notes };
}

async function hasOpenCertificates(deps: PkiDeps, issuerId: string): Promise<boolean> {
  const sql = "SELECT id FROM pki_certificates WHERE issuer_id = ? AND status = 'valid' AND kind = 'leaf' LIMIT 1";
  return (await deps.store.first(sql, [issuerId])) !== undefined;
}
