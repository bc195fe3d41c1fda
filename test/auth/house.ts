import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { z } from 'zod';
import { auditLinker } from '#audit/chain.ts';
import { createAuthenticate } from '#auth/authenticate.ts';
import { bootstrapAdministrator } from '#auth/bootstrap.ts';
import { authOperations } from '#auth/operations.ts';
import { type Call, createDispatch, type Credentials, type Dispatch, type DispatchDeps } from '#core/dispatch.ts';
import { AppError } from '#core/errors.ts';
import type { Limits } from '#core/grant.ts';
import { bind, type BoundOperation, defineOperation } from '#core/operation.ts';
import { createAuthorize } from '#policy/authorize.ts';
import { createPolicyBook } from '#policy/book.ts';
import type { Jobs } from '#policy/judge.ts';
import { policyOperations } from '#policy/operations.ts';
import { createIdempotencyLedger } from '#storage/idempotency.ts';
import { coreMigrations } from '#storage/migrations/core.ts';
import { openSqliteStore } from '#storage/sqlite/open.ts';
import type { Store } from '#storage/store.ts';

/** The whole way of a request, from dispatch to the file of the store, with two operations of a made-up engine. */
export interface House {
  readonly store: Store;
  readonly clock: { now(): number; advance(milliseconds: number): void };
  readonly operations: readonly BoundOperation[];
  /** Key of the administrator of `root`. */
  readonly admin: string;
  /** Calls by id, with a token (undefined: none). */
  call<Output = Shown>(
    token: string | undefined,
    operation: string,
    input?: object,
    more?: Partial<Call>,
  ): Promise<Output>;
  /** The code of the error that the call ends with; `ok` when it ends well. */
  code(token: string | undefined, operation: string, input?: object, more?: Partial<Call>): Promise<string>;
  /** The error that the call ends with. */
  refusal(token: string | undefined, operation: string, input?: object, more?: Partial<Call>): Promise<AppError>;
  /** A new principal with a key. */
  enrol(name: string, policies: readonly string[], by?: string): Promise<string>;
  /** A policy that allows operations on resources. */
  allow(name: string, operations: readonly string[], resources: readonly string[], conditions?: object): Promise<void>;
  /** A child of a credential. */
  narrow(token: string, input?: object): Promise<string>;
  readonly limits: () => Limits | undefined;
  readonly dispatch: Dispatch;
}

type Shown = Readonly<Record<string, unknown>>;

export interface HouseOptions {
  readonly jobs?: Jobs;
  /** Changes the steps of dispatch, to break them. */
  readonly breaking?: (deps: DispatchDeps) => DispatchDeps;
  readonly wrapStore?: (store: Store) => Store;
  /** Another store than a new file of SQLite. */
  readonly open?: () => Promise<Store>;
  /** The administrator's key of a store that is not new. */
  readonly admin?: string;
}

const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined };

export function temporaryFolder(context: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export function openStore(folder: string): Promise<Store> {
  return openSqliteStore({
    file: join(folder, 'store.db'),
    linker: auditLinker,
    migrations: coreMigrations,
    log: quiet,
  });
}

export function testClock(start = Date.UTC(2026, 10, 21, 10)) {
  let now = start;
  return {
    now: () => now,
    advance(milliseconds: number) {
      now += milliseconds;
    },
  };
}

export async function openHouse(context: TestContext, options: HouseOptions = {}): Promise<House> {
  const folder = temporaryFolder(context);
  const opened = await (options.open?.() ?? openStore(folder));
  context.after(() => opened.close());
  const store = options.wrapStore?.(opened) ?? opened;
  const clock = testClock();
  await bootstrapAdministrator(opened, clock, folder);
  const admin = options.admin ?? readFileSync(join(folder, 'admin.token'), 'utf8').trim();

  let limits: Limits | undefined;
  const mint = defineOperation({
    id: 'mill.grind_corn',
    title: 'Grind corn',
    summary: 'Stands for an operation of an engine.',
    input: z.strictObject({
      mill: z.string().describe('Which mill'),
      ttl: z.number().optional().describe('Seconds'),
      purpose: z.string().optional().describe('What for'),
    }),
    output: z.strictObject({ ground: z.literal(true).describe('Always') }),
    http: { method: 'POST', path: '/mills/{mill}/grind' },
    resource: ({ mill }) => `mill/mills/${mill}`,
    effect: 'additive',
    facts: ({ ttl, purpose }) => ({ ttl, purpose }),
    run: async (grant) => {
      ({ limits } = grant);
      return { output: { ground: true as const } };
    },
  });
  const look = defineOperation({
    id: 'mill.get_mill',
    title: 'Show a mill',
    summary: 'Stands for a reading operation of an engine.',
    input: z.strictObject({ mill: z.string().describe('Which mill') }),
    output: z.strictObject({ mill: z.string().describe('Which mill') }),
    http: { method: 'GET', path: '/mills/{mill}' },
    resource: ({ mill }) => `mill/mills/${mill}`,
    effect: 'read',
    run: async (_grant, { mill }) => ({ output: { mill } }),
  });

  const policies = createPolicyBook(store);
  const operations: BoundOperation[] = [
    ...bind(authOperations, { store, policies, namespacedTables: ['idempotency_keys'] }),
    ...bind(policyOperations, { store, policies, operations: () => operations }),
    ...bind([mint, look], {}),
  ];
  const deps: DispatchDeps = {
    clock,
    authenticate: createAuthenticate({ store }),
    authorize: createAuthorize({
      store,
      policies,
      commit: (...unit) => store.commit(...unit),
      jobs: options.jobs ?? {},
    }),
    commit: (changes, events) => store.commit(changes, events),
    idempotency: createIdempotencyLedger(store, clock),
  };
  const dispatch = createDispatch(options.breaking?.(deps) ?? deps);

  const house: House = {
    store,
    clock,
    operations,
    admin,
    dispatch,
    limits: () => limits,
    async call<Output>(token: string | undefined, id: string, input: object = {}, more: Partial<Call> = {}) {
      const operation = operations.find((each) => each.id === id);
      if (operation === undefined) throw new Error(`no operation ${id}`);
      const credentials: Credentials = token === undefined ? { kind: 'none' } : { kind: 'bearer', token };
      const call = {
        operation,
        input,
        credentials,
        transport: 'rest',
        sourceAddress: null,
        requestId: 'req_test',
      } as const;
      return (await dispatch({ ...call, ...more })).output as Output;
    },
    async code(...call) {
      try {
        await house.call(...call);
        return 'ok';
      } catch (error) {
        if (error instanceof AppError) return error.code;
        throw error;
      }
    },
    async refusal(...call) {
      try {
        await house.call(...call);
      } catch (error) {
        if (error instanceof AppError) return error;
        throw error;
      }
      throw new Error(`${call[1]} was not refused`);
    },
    async enrol(name, held, by = admin) {
      await house.call(by, 'auth.create_principal', { name, kind: 'agent', policies: held });
      return (await house.call<{ key: string }>(by, 'auth.create_key', { principal: name })).key;
    },
    async allow(name, allowed, resources, conditions) {
      const rule = { effect: 'allow', operations: allowed, resources, ...(conditions ? { conditions } : {}) };
      await house.call(admin, 'policy.create_policy', { name, rules: [rule] });
    },
    narrow: async (token, input = {}) => (await house.call<{ token: string }>(token, 'auth.create_token', input)).token,
  };
  return house;
}
