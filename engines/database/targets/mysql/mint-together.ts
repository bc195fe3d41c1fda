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
  /**
   * Until then (`performance.now()`) its creation may begin: later its lease is taken for abandoned, and what arrives at the
   * server after that would belong to none.
   */
  readonly startBy: number;
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
  const open = () => accounts.filter(({ user }) => !failures.has(user));
  let made: readonly NewAccount[] = [];
  if (accounts.length > 1) {
    try {
      const free = await withFreeNames(session, accounts, failures);
      const refusal = await mintTogether(session, free);
      if (refusal === undefined) made = free;
      else await undo(session, free, refusal);
      if (refusal !== undefined && isOfServer(refusal)) throw refusal;
    } catch (error) {
      for (const { user } of open()) failures.set(user, error);
    }
  }
  for (const each of open())
    if (!made.includes(each)) await mintOne(session, each).catch((error: unknown) => failures.set(each.user, error));
}

/** What each of them by itself would wait for as long again. */
function isOfServer({ kind }: TargetError): boolean {
  return kind === 'timeout' || kind === 'unreachable';
}

/**
 * Those in time whose names nobody has, each name once: of them, what is there after a refusal was made by us, and may be
 * dropped again. A name that is taken is a failure.
 */
async function withFreeNames(
  session: Session,
  accounts: readonly NewAccount[],
  failures: Map<NewUser, unknown>,
): Promise<readonly NewAccount[]> {
  const byName = new Map(accounts.toReversed().map((each) => [account(each.user), each]));
  const { people, bundles } = await findAccounts(session, usersOf(accounts));
  for (const { user } of accounts) if (people.has(account(user))) failures.set(user, taken(user));
  return accounts.filter(
    (each) =>
      !failures.has(each.user) &&
      byName.get(account(each.user)) === each &&
      !bundles.has(each.user.username) &&
      isTimely(each),
  );
}

function isTimely({ startBy }: NewAccount): boolean {
  return performance.now() < startBy;
}

function late(): TargetError {
  return new TargetError('timeout', 'Other users that are being made kept this one waiting for too long.', {
    hint: 'Try again, or ask for fewer credentials at a time.',
  });
}

function usersOf(accounts: readonly NewAccount[]): NewUser[] {
  return accounts.map(({ user }) => user);
}

async function mintOne(session: Session, each: NewAccount): Promise<void> {
  const { user, secrets } = each;
  if (!isTimely(each)) throw late();
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
