import { AppError } from '#core/errors.ts';
import { type SigningKey, signExternalAccountBinding, signingKeyOf } from '#acme/jose/sign.ts';
import type { Store } from '#storage/store.ts';
import { type AccountDefinition, parseAccount } from './account-schema.ts';
import type { ClientDeps } from './deps.ts';
import { openKey } from './keys.ts';
import type { AccountRow } from './tables.ts';
import type { Answer, Connection, ExternalAccountKey, Signer } from './wire/connection.ts';
import { AcmeProblem, MalformedAnswer } from './wire/problem.ts';

/** Accounts as the client uses them: with keys opened, and a connection to their authority. */

export const accountResource = ({ name }: { readonly name: string }) => `acme/accounts/${name}`;

/** Throws `not_found`, for an account of another namespace as for none. */
export async function requireAccount(store: Store, namespace: string, name: string): Promise<AccountRow> {
  const row = await store.first<AccountRow>('SELECT * FROM acme_accounts WHERE namespace = ? AND name = ?', [
    namespace,
    name,
  ]);
  if (row !== undefined) return row;
  throw new AppError('not_found', `There is no ACME account ${name}.`, {
    hint: 'acme.list_accounts lists them; acme.create_account makes one.',
  });
}

export function assertUsable(row: AccountRow): void {
  if (row.state === 'active') return;
  throw new AppError('wrong_state', `The ACME account ${row.name} is ${row.state}.`, {
    hint:
      row.state === 'creating'
        ? 'Create it again with the same name: it goes on where it stopped.'
        : 'A deactivated account cannot be used again (RFC 8555 section 7.3.6); create another.',
  });
}

export interface OpenAccount {
  readonly row: AccountRow;
  readonly definition: AccountDefinition;
  readonly connection: Connection;
  readonly signer: Signer;
  /** Ends its requests. */
  readonly signal?: AbortSignal | undefined;
}

/** With the key that the authority knows; where a key change is open, it is asked which one that is. */
export async function openAccount(deps: ClientDeps, row: AccountRow, signal?: AbortSignal): Promise<OpenAccount> {
  const definition = parseAccount(row);
  const connection = deps.connections.to(row.directory, definition.ca_certificate);
  const key = await currentKey(deps, row, connection, signal);
  return { row, definition, connection, signer: { key, kid: row.url ?? undefined }, signal };
}

async function currentKey(
  deps: ClientDeps,
  row: AccountRow,
  connection: Connection,
  signal: AbortSignal | undefined,
): Promise<SigningKey> {
  const next = await openNextKey(deps, row);
  if (next !== undefined && (await findAccount(connection, next, signal)) === row.url) return next;
  return openCurrentKey(deps, row);
}

export async function openCurrentKey(deps: ClientDeps, row: AccountRow): Promise<SigningKey> {
  const place = { table: 'acme_accounts', row: row.id, column: 'key' } as const;
  return signingKeyOf(await openKey(deps.sealer, place, row.key));
}

export async function openNextKey(deps: ClientDeps, row: AccountRow): Promise<SigningKey | undefined> {
  if (row.next_key === null) return undefined;
  const place = { table: 'acme_accounts', row: row.id, column: 'next_key' } as const;
  return signingKeyOf(await openKey(deps.sealer, place, row.next_key));
}

/** The URL of the account with this key; undefined when there is none (RFC 8555 §7.3.1). */
export async function findAccount(
  connection: Connection,
  key: SigningKey,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const { newAccount } = await connection.directory();
  try {
    return (await connection.post({ key }, newAccount, { onlyReturnExisting: true }, signal)).location;
  } catch (error) {
    if (error instanceof AcmeProblem && error.type === 'accountDoesNotExist') return undefined;
    throw error;
  }
}

/** Registers a key (RFC 8555 §7.3), or finds that it is registered; the URL of the account. */
export async function register(
  connection: Connection,
  key: SigningKey,
  { contacts, agreed }: Pick<AccountDefinition, 'contacts' | 'agreed'>,
  external?: ExternalAccountKey,
): Promise<string> {
  const { newAccount } = await connection.directory();
  const answer = await connection.post({ key }, newAccount, {
    ...(contacts.length === 0 ? {} : { contact: contacts }),
    ...(agreed ? { termsOfServiceAgreed: true } : {}),
    ...(external === undefined
      ? {}
      : { externalAccountBinding: signExternalAccountBinding(external, newAccount, key.jwk) }),
  });
  if (answer.location === undefined)
    throw new MalformedAnswer('The authority does not say what the account is called.');
  return answer.location;
}

/** A signed request as the account. */
export function ask(
  { connection, signer, signal }: OpenAccount,
  url: string,
  payload: object | '' = '',
): Promise<Answer> {
  return connection.post(signer, url, payload, signal);
}
