import { type NewUser, TargetError } from '#database/target.ts';
import { errorNumber } from './errors.ts';
import { account } from './quote.ts';
import { cannotUser, dropGroup, findAccounts, removeUser } from './removal.ts';
import { ask, type Session } from './session.ts';
import { type Account, mintStatements } from './statements.ts';

/** A user that is to be made. */
export interface NewAccount extends Account {
  readonly user: NewUser;
  /** Masked in errors. */
  readonly secrets: readonly string[];
}

/** Makes them, those that are alike together. Gives the failures; who is not among them is there. */
export async function mintEach(
  session: Session,
  accounts: readonly NewAccount[],
): Promise<ReadonlyMap<NewUser, unknown>> {
  const failures = new Map<NewUser, unknown>();
  for (const alike of Map.groupBy(accounts, likeness).values()) await mintAlike(session, alike, failures);
  return failures;
}

/** Accounts of one text may be made in one statement. */
function likeness({ user, authentication }: NewAccount): string {
  const { memberOf, connectionLimit } = user;
  const own = 'subject' in authentication ? account(user) : '';
  return JSON.stringify([own, memberOf, connectionLimit ?? null]);
}

async function mintAlike(
  session: Session,
  accounts: readonly NewAccount[],
  failures: Map<NewUser, unknown>,
): Promise<void> {
  let rest = accounts;
  if (accounts.length > 1) {
    try {
      const free = await withFreeNames(session, accounts);
      const refusal = await mintTogether(session, free);
      if (refusal !== undefined) await undo(session, free, refusal);
      if (refusal !== undefined && isOfServer(refusal)) throw refusal;
      rest = refusal === undefined ? accounts.filter((each) => !free.includes(each)) : accounts;
    } catch (error) {
      for (const { user } of accounts) failures.set(user, error);
      return;
    }
  }
  for (const each of rest) await mintOne(session, each).catch((error: unknown) => failures.set(each.user, error));
}

/** What each of them by itself would wait for as long again. */
function isOfServer({ kind }: TargetError): boolean {
  return kind === 'timeout' || kind === 'unreachable';
}

/**
 * Those whose names nobody has, each name once: of them, what is there after a refusal was made by us, and may be dropped
 * again. The others are made alone, so that they are refused in the server's words.
 */
async function withFreeNames(session: Session, accounts: readonly NewAccount[]): Promise<readonly NewAccount[]> {
  const byName = new Map(accounts.toReversed().map((each) => [account(each.user), each]));
  const { people, bundles } = await findAccounts(session, usersOf(accounts));
  return accounts.filter((each) => {
    const name = account(each.user);
    return byName.get(name) === each && !people.has(name) && !bundles.has(each.user.username);
  });
}

function usersOf(accounts: readonly NewAccount[]): NewUser[] {
  return accounts.map(({ user }) => user);
}

async function mintOne(session: Session, each: NewAccount): Promise<void> {
  const { user, secrets } = each;
  const [create = '', ...others] = statementsFor(session, [each]);
  const step = (sql: string) => ask(session, sql, `${beginningOf(sql)} for ${account(user)}`, secrets);
  try {
    await step(create);
  } catch (error) {
    throw errorNumber(error) === cannotUser ? taken(user, error) : error;
  }
  await orDrop(session, user, async () => {
    for (const sql of others) await step(sql);
  });
}

/** Undefined: they are there. Else what the server refused. Throws what leaves open how far it came. */
async function mintTogether(session: Session, accounts: readonly NewAccount[]): Promise<TargetError | undefined> {
  if (accounts.length === 0) return undefined;
  const secrets = accounts.flatMap((each) => each.secrets);
  try {
    for (const sql of statementsFor(session, accounts)) {
      await ask(session, sql, `${beginningOf(sql)} for ${accounts.length} users`, secrets);
    }
    return undefined;
  } catch (error) {
    if (error instanceof TargetError && error.outcome === 'not_applied') return error;
    throw error;
  }
}

function statementsFor({ flavor }: Session, accounts: readonly NewAccount[]): string[] {
  const { memberOf = [], connectionLimit } = accounts[0]?.user ?? {};
  return mintStatements(flavor, { accounts, memberOf, connectionLimit });
}

function beginningOf(sql: string): string {
  return `"${sql.split(' ', 2).join(' ')}"`;
}

/**
 * MariaDB makes those of a statement that it can, and refuses it for the others: what was made is dropped again. Throws
 * TargetError with an open outcome when something may be left.
 */
async function undo(session: Session, accounts: readonly NewAccount[], refusal: TargetError): Promise<void> {
  try {
    const users = usersOf(accounts);
    const { people, bundles } = await findAccounts(session, users);
    const made = users.filter((user) => people.has(account(user)));
    const bundled = users.filter(({ username }) => bundles.has(username));
    if (made.length > 0) await dropGroup(session, 'USER', made);
    if (bundled.length > 0) await dropGroup(session, 'ROLE', bundled);
  } catch (error) {
    throw new TargetError(refusal.kind, refusal.message, { outcome: 'unknown', cause: error });
  }
}

/** Drops a user again when what follows its creation fails, as far as that can be done. */
export async function orDrop(session: Session, user: NewUser, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (session.alive()) await removeUser(session, user).catch(() => undefined);
    throw error;
  }
}

export function taken(user: NewUser, cause?: unknown): TargetError {
  return new TargetError('exists', `A user ${account(user)} is there already.`, { cause });
}
