import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import type { PkiDeps } from '#pki/deps.ts';
import type { PkiTables } from '#pki/tables.ts';
import type { RevokeCertificatesInput } from './schema.ts';

/** Whoever revokes by a mistyped name must not be told that all is done. */

type Names = Pick<RevokeCertificatesInput, 'authority' | 'role' | 'principal'>;
type Kind = keyof Names;

const tables = { authority: 'pki_authorities', role: 'pki_roles', principal: 'principals' } as const;

const hints: Readonly<Record<Kind, string>> = {
  authority: 'pki.list_authorities shows those that exist.',
  role: 'pki.list_roles shows those that exist.',
  principal: 'auth.list_principals shows those that exist.',
};

/**
 * For a filter that matches nothing. Throws `not_found` for a name of which there is neither the thing itself nor a
 * certificate, of whatever state: what was deleted has left certificates behind.
 */
export async function requireKnownNames(deps: PkiDeps, grant: Grant, filter: Names): Promise<void> {
  for (const kind of ['authority', 'role', 'principal'] as const) {
    const name = filter[kind];
    if (name === undefined || (await isKnown(deps, grant, kind, name))) continue;
    throw new AppError('not_found', `There is no ${kind} ${name}, and no certificate of it; nothing was revoked.`, {
      hint: hints[kind],
      details: [{ at: `/${kind}`, message: 'does not exist' }],
    });
  }
}

async function isKnown({ store }: PkiDeps, grant: Grant, kind: Kind, name: string): Promise<boolean> {
  const found = await store.first(`SELECT 1 AS found FROM ${tables[kind]} WHERE namespace = ? AND name = ?`, [
    grant.namespace,
    name,
  ]);
  if (found !== undefined) return true;
  const certificate = await store
    .tables<PkiTables>()
    .selectFrom('pki_certificates')
    .select('id')
    .where('namespace', '=', grant.namespace)
    .where(kind, '=', name)
    .limit(1)
    .executeTakeFirst();
  return certificate !== undefined;
}
