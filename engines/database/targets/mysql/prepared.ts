import { type Residue, TargetError } from '#database/target.ts';
import { ask, type Session } from './session.ts';

/**
 * XA transactions that a user prepared and nobody ended. They hold their locks without a session, and only their coordinator
 * knows whether they are to be committed: they are reported, not rolled back. The server keeps no owner of them, so what
 * was prepared at a session when it was ended is remembered here until it is decided, or this process ends.
 */
export interface PreparedTransactions {
  /** Takes note of what is prepared at these sessions of a user, before they are ended. */
  note(session: Session, user: string, sessions: readonly number[]): Promise<void>;
  /** Whether anything of a user was noted that may still be undecided. */
  knows(user: string): boolean;
  /** What is still undecided of a user. */
  residue(session: Session, user: string): Promise<readonly Residue[]>;
}

/** Most users whose transactions are remembered. */
const limit = 10_000;

export function createPreparedTransactions(): PreparedTransactions {
  const remembered = new Map<string, readonly string[]>();
  return {
    async note(session, user, sessions) {
      if (sessions.length === 0 || (await preparedNames(session)).length === 0) return;
      const theirs = (await inInnodb(session)).filter(
        ({ thread }) => thread !== undefined && sessions.includes(thread),
      );
      if (theirs.length === 0 || remembered.size >= limit) return;
      remembered.set(user, [...new Set([...(remembered.get(user) ?? []), ...theirs.map(({ id }) => id)])]);
    },
    knows: (user) => remembered.has(user),
    async residue(session, user) {
      const known = remembered.get(user);
      if (known === undefined) return [];
      const open = (await inInnodb(session)).filter(({ id }) => known.includes(id));
      if (open.length === 0) remembered.delete(user);
      const names = open.length > 0 ? await preparedNames(session) : [];
      return open.map(({ id }) => asResidue(id, names));
    },
  };
}

interface Prepared {
  /** InnoDB's number of the transaction, which it keeps for its life. */
  readonly id: string;
  /** The session that prepared it, as long as there is one. */
  readonly thread: number | undefined;
}

/**
 * Prepared transactions of InnoDB. From its status text, since `information_schema.INNODB_TRX` is a copy that is not
 * renewed while somebody reads it every tenth of a second.
 */
async function inInnodb(session: Session): Promise<Prepared[]> {
  const [row] = await ask(session, 'SHOW ENGINE INNODB STATUS', 'the list of transactions');
  return String(row?.['Status'])
    .split(/^---TRANSACTION /m)
    .slice(1)
    .filter((block) => /^\d+, [^\n]*\(PREPARED\)/.test(block))
    .map((block) => {
      const thread = / thread id (\d+)/.exec(block)?.[1];
      return { id: /^\d+/.exec(block)?.[0] ?? '', thread: thread === undefined ? undefined : Number(thread) };
    });
}

function asResidue(id: string, candidates: readonly string[]): Residue {
  const [only] = candidates;
  const certain = candidates.length === 1 && only !== undefined;
  return {
    place: 'server',
    object: `prepared transaction ${certain ? only : `(InnoDB ${id})`}`,
    reason: certain
      ? `It keeps its locks until its coordinator, or you, run XA COMMIT ${only} or XA ROLLBACK ${only}.`
      : 'It keeps its locks until its coordinator, or you, end it: see XA RECOVER, then XA COMMIT or XA ROLLBACK.',
  };
}

/** The names of all prepared transactions, as XA COMMIT takes them; none when the administrator may not list them. */
async function preparedNames(session: Session): Promise<string[]> {
  const sql = session.flavor === 'mariadb' ? "XA RECOVER FORMAT='SQL'" : 'XA RECOVER CONVERT XID';
  try {
    const rows = await ask(session, sql, 'the list of prepared transactions');
    return rows.map((row) => (session.flavor === 'mariadb' ? String(row['data']) : hexName(row)));
  } catch (error) {
    if (error instanceof TargetError && error.kind === 'privilege') return [];
    throw error;
  }
}

/** MySQL shows both parts as one hexadecimal text, and their lengths in bytes. */
function hexName(row: Readonly<Record<string, unknown>>): string {
  const data = String(row['data']).replace(/^0x/i, '');
  const cut = Number(row['gtrid_length']) * 2;
  return `X'${data.slice(0, cut)}',X'${data.slice(cut)}',${Number(row['formatID'])}`;
}
