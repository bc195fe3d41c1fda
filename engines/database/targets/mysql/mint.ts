import { parseStatement, renderStatement } from '#database/statement.ts';
import { type Credential, type NewUser, TargetError } from '#database/target.ts';
import { oneLineName } from './certificate-subject.ts';
import type { Drops } from './drops.ts';
import { gather } from './gather.ts';
import { isTimely, late, mintEach, nameTaken, type NewAccount, orDrop } from './mint-together.ts';
import { defaultPlugin, type PasswordPlugin, passwordHash } from './password-hash.ts';
import { half, type Pool } from './pool.ts';
import type { Flavor } from './quote.ts';
import { userExists } from './removal.ts';
import { ask, openSession, type Session } from './session.ts';
import type { Authentication } from './statements.ts';

/** Users that MariaDB makes in one statement: what it reads anew after each it then reads once for all of them. */
const mostTogether = 8;

/**
 * Makes users. Statements of this server commit by themselves and cannot be taken back together: when the server refuses
 * one, the user is dropped again. Where that fails too, or an answer is lost, what is left is locked (custom statements
 * aside) and the caller revokes it.
 */
export function createMints(pool: Pool, drops: Pick<Drops, 'mint'>): (user: NewUser) => Promise<void> {
  /** Told by the last session; until then, and on MySQL, every user is made by itself. */
  let flavor: Flavor | undefined;
  const alone = (user: NewUser) =>
    pool.use(async (session) => {
      flavor = session.flavor;
      const account = await prepare(pool, flavor, user);
      await Promise.all([account.done.promise, mintEach(session, [account])]);
    });
  const together = inRounds(half(pool), (accounts) =>
    pool.use((session) => {
      flavor = session.flavor;
      return mintEach(session, accounts);
    }),
  );
  const preset = async (user: NewUser): Promise<void> =>
    flavor === 'mariadb' ? together(await prepare(pool, flavor, user)) : alone(user);
  return (user) => drops.mint(() => (user.statements.length > 0 ? runCreationScripts(pool, user) : preset(user)));
}

/** What comes while a round is under way is in the next. Who is not taken up in time is told so then. */
function inRounds(width: number, make: (accounts: readonly NewAccount[]) => Promise<void>) {
  const taken = new WeakSet<NewAccount>();
  const together = gather<NewAccount, void>({
    most: () => mostTogether,
    width,
    work: async (accounts) => {
      const timely = accounts.filter(isTimely);
      for (const each of timely) taken.add(each);
      if (timely.length > 0) await make(timely);
    },
  });
  return async (account: NewAccount): Promise<void> => {
    const { done, startBy } = account;
    const timer = setTimeout(() => taken.has(account) || done.reject(late()), startBy - performance.now());
    together(account).catch(done.reject);
    await done.promise.finally(() => clearTimeout(timer));
  };
}

async function prepare({ settings }: Pool, flavor: Flavor, user: NewUser): Promise<NewAccount> {
  const startBy = performance.now() + settings.connectTimeout;
  const authentication = await authenticationOf(flavor, user.credential, settings.passwordPlugin);
  const secrets = secretsOf(user.credential, authentication);
  return { user, authentication, secrets, startBy, done: Promise.withResolvers() };
}

async function authenticationOf(
  flavor: Flavor,
  credential: Credential,
  wanted: PasswordPlugin | undefined,
): Promise<Authentication> {
  if (credential.kind === 'certificate') {
    const { subject, issuer } = credential;
    return {
      subject: oneLineName(subject, 'subject'),
      issuer: issuer === undefined ? undefined : oneLineName(issuer, 'issuer'),
    };
  }
  const plugin = wanted ?? defaultPlugin(flavor);
  return { plugin, hash: await passwordHash(plugin, credential.password) };
}

function secretsOf(credential: Credential, authentication: Authentication): string[] {
  const hash = 'hash' in authentication ? [authentication.hash] : [];
  return credential.kind === 'password' ? [credential.password, ...hash] : hash;
}

/** `{{password}}` is the hash of the password: `IDENTIFIED VIA mysql_native_password USING {{password}}`. */
async function runCreationScripts(pool: Pool, user: NewUser): Promise<void> {
  const scripts = user.statements.map((text) => parseStatement(text, 'mysql', 'creation'));
  await withScriptSession(pool, async (session) => {
    const authentication = await authenticationOf(session.flavor, user.credential, pool.settings.passwordPlugin);
    const values = {
      name: user.username,
      password: 'hash' in authentication ? authentication.hash : undefined,
      expiration: new Date(user.expiresAt).toISOString().replace('T', ' ').slice(0, 19),
    };
    const secrets = secretsOf(user.credential, authentication);
    if (await userExists(session, user)) throw nameTaken(user);
    await orDrop(session, user, async () => {
      for (const [index, script] of scripts.entries()) {
        await ask(session, render(script, values), `creation statement ${index + 1}`, secrets);
      }
    });
  });
}

function render(script: Parameters<typeof renderStatement>[0], values: Parameters<typeof renderStatement>[1]): string {
  try {
    return renderStatement(script, values);
  } catch (error) {
    throw new TargetError('statement', `A statement cannot be written: ${(error as Error).message}.`);
  }
}

/** The custom statements that run before a user is dropped. */
export async function runRevocationScripts(pool: Pool, username: string, statements: readonly string[]): Promise<void> {
  const scripts = statements.map((text) => parseStatement(text, 'mysql', 'revocation'));
  await withScriptSession(pool, async (session) => {
    for (const [index, script] of scripts.entries()) {
      await ask(session, render(script, { name: username }), `revocation statement ${index + 1}`);
    }
  });
}

/** A session of its own, since it takes several statements in one text. It takes a turn of the pool all the same. */
function withScriptSession(pool: Pool, work: (session: Session) => Promise<void>): Promise<void> {
  return pool.turn(async (timeout) => {
    const session = await openSession(pool.settings, { timeout, scripts: true });
    try {
      await work(session);
    } finally {
      await session.end();
    }
  });
}
