import { type Residue, TargetError, type UserName } from '#database/target.ts';
import { gather } from './gather.ts';
import { half, type Pool } from './pool.ts';
import { definerOf, type Flavor, identifier, literal } from './quote.ts';
import { ask, type Row, type Session } from './session.ts';

/**
 * Views, routines, events and triggers that act in the name of a user. They are neither dropped nor handed to somebody else:
 * code that a leased user wrote would then run with the rights of its new owner.
 */
export interface DefinerSearch {
  /** What the user defines, as far as the administrator can see it. Never fails for want of rights. */
  find(user: UserName): Promise<readonly Residue[]>;
}

/** A search reads the definition of every view and trigger of the server, so revocations share it. */
export function createDefinerSearch(pool: Pool): DefinerSearch {
  const look = gather<string, readonly Found[]>({
    most: () => mostDefiners,
    width: half(pool),
    work: (definers) => pool.use((session) => search(session, [...new Set(definers)])),
  });
  return {
    async find(user) {
      const definer = definerOf(user);
      return (await look(definer)).filter((each) => each.definer === definer).map(({ residue }) => residue);
    },
  };
}

/** Most names in one statement. */
const mostDefiners = 200;

interface Found {
  readonly definer: string;
  readonly residue: Residue;
}

async function search(session: Session, definers: readonly string[]): Promise<Found[]> {
  const list = definers.map(literal).join(', ');
  const found: Found[] = [];
  for (const source of sources[session.flavor]) {
    const sql = `SELECT ${source.columns} FROM ${source.from} WHERE ${source.where ?? ''}DEFINER IN (${list})`;
    for (const row of await visible(session, sql)) found.push(asFound(row, session.flavor));
  }
  return found;
}

/** What the administrator may not read, or the server cannot list in time, is left out: `diagnose` says so beforehand. */
async function visible(session: Session, sql: string): Promise<readonly Row[]> {
  try {
    return await ask(session, sql, 'the search for objects that the user defines');
  } catch (error) {
    if (error instanceof TargetError && error.kind !== 'unreachable' && session.alive()) return [];
    throw error;
  }
}

interface Source {
  readonly columns: string;
  readonly from: string;
  readonly where?: string;
}

const columns = (kind: string, place: string, name: string) =>
  `${kind} AS kind, ${place} AS place, ${name} AS name, DEFINER AS definer`;

/** The servers' own schemas have many views, and none by a leased user. */
const outside = (column: string) =>
  `${column} NOT IN ('sys', 'mysql', 'information_schema', 'performance_schema') AND `;

const shared: readonly Source[] = [
  {
    columns: columns("'VIEW'", 'TABLE_SCHEMA', 'TABLE_NAME'),
    from: 'information_schema.VIEWS',
    where: outside('TABLE_SCHEMA'),
  },
  {
    columns: columns("'TRIGGER'", 'TRIGGER_SCHEMA', 'TRIGGER_NAME'),
    from: 'information_schema.TRIGGERS',
    where: outside('TRIGGER_SCHEMA'),
  },
];

/** MariaDB's tables can be granted by column; its views of them show what the administrator could run himself. */
const sources: Readonly<Record<Flavor, readonly Source[]>> = {
  mariadb: [
    ...shared,
    { columns: columns('type', 'db', 'name'), from: 'mysql.proc' },
    { columns: columns("'EVENT'", 'db', 'name'), from: 'mysql.event' },
  ],
  mysql: [
    ...shared,
    { columns: columns('ROUTINE_TYPE', 'ROUTINE_SCHEMA', 'ROUTINE_NAME'), from: 'information_schema.ROUTINES' },
    { columns: columns("'EVENT'", 'EVENT_SCHEMA', 'EVENT_NAME'), from: 'information_schema.EVENTS' },
  ],
};

function asFound(row: Row, flavor: Flavor): Found {
  const [kind, place, name] = [String(row['kind']), String(row['place']), String(row['name'])];
  const fate =
    flavor === 'mysql'
      ? 'The server keeps the user as long as something acts in its name; it is locked and has no rights.'
      : 'It acts in the name of a user that is gone, so that whatever uses it fails.';
  return {
    definer: String(row['definer']),
    residue: {
      place,
      object: `${kind.toLowerCase()} ${name}`,
      reason: `${fate} Give it another definer, or: DROP ${kind} ${identifier(place)}.${identifier(name)}.`,
    },
  };
}
