import type { TargetKind, TargetSettings, UserName } from '#database/target.ts';

/**
 * A real server of one kind, with a schema and an administrator of least privilege, as the contract suite
 * (test/contract/target.test.ts) wants it. Each kind has one: postgres-target.ts, …
 *
 * The schema: a table `notes (note)` with one row. The group `app_reader` may read it, `app_writer` may also insert.
 * `app_owner` gets what users leave behind. `unrelated` is a group that the administrator was not set up for.
 */
export interface TargetWorld {
  /** For the names of tests: `PostgreSQL 15`. */
  readonly title: string;
  readonly kind: TargetKind;
  /** Settings of the administrator that the script of `kind.adminSetup` made. */
  readonly settings: TargetSettings;
  /** The database that has the schema. */
  readonly database: string;
  /** The host part of the users, where they have one. */
  readonly userHost: string | undefined;
  readonly read: string;
  readonly write: string;
  /** A statement that lasts for seconds. */
  readonly wait: (seconds: number) => string;
  /** Creation statements that make the user and then fail. */
  readonly failingStatements: readonly string[];
  /** Creation statements that do what the preset does for `memberOf: ['app_reader']`. */
  readonly readerStatements: readonly string[];
  /** Runs one statement as the most powerful user; rows as objects. */
  root(sql: string): Promise<Record<string, unknown>[]>;
  /** Sessions that the administrator has now. */
  adminSessions(): Promise<number>;
  /** Ends all sessions of the administrator, as a failing network would. */
  breakAdminSessions(): Promise<void>;
  userExists(user: UserName): Promise<boolean>;
  /** Logs in with a driver, over TCP; throws what the driver throws. */
  logIn(user: UserName, password: string): Promise<UserSession>;
  /** All that the server has logged, statements included. */
  serverLog(): Promise<string>;
  stop(): Promise<void>;
}

export interface UserSession {
  query(sql: string): Promise<Record<string, unknown>[]>;
  /** Resolves when the session has ended, whoever ended it. */
  readonly ended: Promise<void>;
  close(): Promise<void>;
}
