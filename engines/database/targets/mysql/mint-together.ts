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
  /** `performance.now()` until which its creation may begin: nobody waits for much longer, and its lease is given up. */
  readonly startBy: number;
  /** Settled as soon as it is known how this one ended. */
  readonly done: PromiseWithResolvers<void>;
}

/** Makes them, those that are alike together, and settles each. */
export async function mintEach(session: Session, accounts: readonly NewAccount[]): Promise<void> {
  for (const alike of Map.groupBy(accounts, likeness).values()) {
    const rest = alike.length > 1 ? await tryTogether(session, alike) : alike;
    for (const each of rest) await mintOne(session, each).then(each.done.resolve, each.done.reject);
  }
}

/** Accounts of one text may be made in one statement. */
function likeness({ user, authentication }: NewAccount): string {
  const { memberOf, connectionLimit } = user;
  const own = 'subject' in authentication ? account(user) : '';
  return JSON.stringify([own, memberOf, connectionLimit ?? null]);
}

/** Settles those of which is known how they ended, and gives the others, each to be tried by itself. */
async function tryTogether(session: Session, accounts: readonly NewAccount[]): Promise<readonly NewAccount[]> {
  try {
    const { free = [], taken = [], others = [] } = await sortByName(session, accounts);
    for (const { user, done } of taken) done.reject(nameTaken(user));
    const refusal = await mintTogether(session, free);
    if (refusal === undefined) {
      for (const { done } of free) done.resolve();
      return others;
    }
    await undo(session, free, refusal);
    if (isOfServer(refusal)) throw refusal;
    return [...free, ...others];
  } catch (error) {
    for (const { done } of accounts) done.reject(error);
    return [];
  }
}

/** What each of them by itself would wait for as long again. */
function isOfServer({ kind }: TargetError): boolean {
  return kind === 'timeout' || kind === 'unreachable';
}

/**
 * Of those whose names are free, each name once and in time, what is there after a refusal was made by us, and may be dropped
 * again. A name may be taken by a role as well: it would be dropped with the user.
 */
async function sortByName(session: Session, accounts: readonly NewAccount[]) {
  const { people, bundles } = await findAccounts(session, usersOf(accounts));
  const firsts = new Map(accounts.toReversed().map((each) => [account(each.user), each]));
  return Object.groupBy(accounts, (each) => {
    const name = account(each.user);
    if (people.has(name) || bundles.has(each.user.username)) return 'taken';
    return firsts.get(name) === each && isTimely(each) ? 'free' : 'others';
  });
}

export function isTimely({ startBy }: NewAccount): boolean {
  return performance.now() < startBy;
}

export function late(): TargetError {
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
    throw errorNumber(error) === cannotUser ? nameTaken(user, error) : error;
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
    throw mayBeLeft(refusal, error);
  }
}

/** Drops a user again when what follows its creation fails. Throws that failure, with an open outcome where it may be left. */
export async function orDrop(session: Session, user: NewUser, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    await removeUser(session, user).catch((failure: unknown) => {
      throw error instanceof TargetError ? mayBeLeft(error, failure) : error;
    });
    throw error;
  }
}

function mayBeLeft({ kind, message, hint }: TargetError, cause: unknown): TargetError {
  return new TargetError(kind, message, { outcome: 'unknown', cause, ...(hint !== undefined && { hint }) });
}

export function nameTaken(user: NewUser, cause?: unknown): TargetError {
  return new TargetError('exists', `A user ${account(user)} is there already.`, { cause });
}
