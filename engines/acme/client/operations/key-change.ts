import { z } from 'zod';
import { update } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import { defineOperation } from '#core/operation.ts';
import {
  accountResource,
  assertUsable,
  findAccount,
  openCurrentKey,
  openNextKey,
  requireAccount,
} from '#acme/client/account.ts';
import { accountName, accountOutput, parseAccount, viewAccount } from '#acme/client/account-schema.ts';
import type { ClientDeps } from '#acme/client/deps.ts';
import { answering } from '#acme/client/failures.ts';
import { makeKey, moveSealed, sealKey } from '#acme/client/keys.ts';
import type { AccountRow } from '#acme/client/tables.ts';
import { AcmeProblem } from '#acme/client/wire/problem.ts';
import { signJws } from '#acme/jose/sign.ts';

/**
 * Change of an account key in two phases (RFC 8555 §7.3.5): the new one is sealed and durable before the authority hears
 * of it, and takes the place of the old one when the authority knows the account by it. A crash in between leaves both,
 * and the authority is asked.
 */
export const rotateAccountKey = defineOperation({
  id: 'acme.rotate_account_key',
  title: 'Change the account key',
  summary:
    'Gives an account a new key, at the authority and here. When the answer was lost, the same call finds out which key the authority knows and finishes; a background job does so too.',
  input: z.strictObject({ name: accountName }),
  output: accountOutput,
  http: { method: 'POST', path: '/acme/accounts/{name}/rotate-key' },
  effect: 'mutating',
  openWorld: true,
  resource: accountResource,
  async intend(grant, input, deps: ClientDeps) {
    const row = await requireAccount(deps.store, grant.namespace, input.name);
    assertUsable(row);
    if (row.next_key === null) await assertOffered(deps, row);
    const place = { table: 'acme_accounts', row: row.id, column: 'next_key' } as const;
    const set = {
      next_key: row.next_key ?? sealKey(deps.sealer, place, await makeKey(parseAccount(row).key_type)),
      key_change_started_at: grant.now,
      version: row.version + 1,
      updated_at: grant.now,
    };
    return {
      plan: { ...row, ...set },
      changes: [update('acme_accounts', set, { id: row.id, version: row.version }, { expect: 1 })],
      audit: { resumed: row.next_key !== null },
    };
  },
  async run(grant, _input, deps, row) {
    await answering('the change of the key', () => changeKey(deps, row));
    const places = { table: 'acme_accounts', row: row.id } as const;
    const key = await moveSealed(
      deps.sealer,
      { ...places, column: 'next_key' },
      { ...places, column: 'key' },
      row.next_key,
    );
    const set = {
      key: key ?? row.key,
      next_key: null,
      key_change_started_at: null,
      version: row.version + 1,
      updated_at: grant.now,
    };
    return {
      output: viewAccount({ ...row, ...set }),
      changes: [update('acme_accounts', set, { id: row.id, version: row.version }, { expect: 1 })],
    };
  },
});

async function changeKey(deps: ClientDeps, row: AccountRow): Promise<void> {
  const connection = deps.connections.to(row.directory, parseAccount(row).ca_certificate);
  const [key, next] = [await openCurrentKey(deps, row), await openNextKey(deps, row)];
  if (next === undefined || row.url === null) throw new Error('a key change without a key');
  if ((await findAccount(connection, next)) === row.url) return;
  const keyChange = await assertOffered(deps, row);
  const inner = signJws(next, { url: keyChange }, { account: row.url, oldKey: key.jwk });
  try {
    await connection.post({ key, kid: row.url }, keyChange, inner);
  } catch (error) {
    // A try before this one may have been heard, and then the old key signs nothing any more.
    if (!(error instanceof AcmeProblem) || (await findAccount(connection, next)) !== row.url) throw error;
  }
}

/** A new key that no authority will hear of would be in the way for ever. */
async function assertOffered(deps: ClientDeps, row: AccountRow): Promise<string> {
  const connection = deps.connections.to(row.directory, parseAccount(row).ca_certificate);
  const { keyChange } = await answering('the change of the key', () => connection.directory());
  if (keyChange !== undefined) return keyChange;
  throw new AppError('refused', 'The authority does not offer to change account keys (RFC 8555 section 7.3.5).', {
    hint: 'Create another account and order by it; deactivate this one if its key is disclosed.',
  });
}
