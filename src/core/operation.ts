import type { z } from 'zod';
import type { Change } from './change.ts';
import type { Grant } from './grant.ts';

/** What an operation does to the world; HTTP semantics, MCP annotations and read-only mode come from it. */
export type Effect = 'read' | 'additive' | 'mutating' | 'destructive';

export interface HttpBinding {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Under `/v1`; parameters in braces name input fields: `/pki/roles/{name}`. */
  readonly path: string;
  /** Status of success. Default 200. */
  readonly status?: 200 | 201 | 202 | 204;
  /** Largest request body in bytes, where it should be tighter than the server's own limit (CSR, JWS: 65,536). */
  readonly bodyLimit?: number;
}

/** How the CLI shows and takes this operation; everything has a default from the schema. */
export interface CliBinding {
  /** Input fields given as positional arguments, in order. Default: the path parameters; without any, a required `name`. */
  readonly arguments?: readonly string[];
  /** Columns of the human table for lists. Default: the first six scalar fields. */
  readonly columns?: readonly string[];
  /** Input fields that may be read from a file with `--field @path`. Default: every string field. */
  readonly files?: readonly string[];
  /** Another, shorter word for the command: `credentials` for `issue-credentials`. */
  readonly alias?: string;
  /**
   * The one output field that is printed, raw, when no other view is asked for, and those told beside it on stderr. Where
   * the answer has the field `unless`, it is not enough, and all is shown.
   */
  readonly headline?: { readonly field: string; readonly beside: readonly string[]; readonly unless?: string };
  /** A field of the answer that says whether what was checked is as it should be: `false` makes the command fail. */
  readonly verdict?: string;
  /** An input field that holds a certificate: its word is a file, `-`, or `host:port` of a TLS server that shows one. */
  readonly certificate?: string;
}

/** What `run` brings back: the answer, and the changes that make it true. Nothing is written before dispatch commits them. */
export interface Outcome<Output> {
  readonly output: Output;
  readonly changes?: readonly Change[];
  /** Facts for the audit record beside operation, resource and principal; must hold no secret. */
  readonly audit?: Readonly<Record<string, string | number | boolean | null>>;
  /**
   * For effects outside the store: called when the changes were not committed, so that what was made need not wait until
   * its intent comes due. What it throws is dropped; the caller hears why the commit failed.
   */
  readonly undone?: (() => Promise<void>) | undefined;
}

/**
 * What must be on record before an effect outside the store (a database user, an order at another CA): dispatch commits
 * it durably, with an `intent` event in the audit, before it calls `run`. A crash after that leaves a row that says
 * what may exist out there.
 */
export interface Intent<Plan> {
  /** What `run` is given: names and numbers that the row holds, and what only this request needs. */
  readonly plan: Plan;
  readonly changes: readonly Change[];
  /** Facts for the `intent` event; must hold no secret. */
  readonly audit?: Outcome<unknown>['audit'];
}

/** What the policy may ask about a request, taken from its input. */
export interface RequestFacts {
  /** Requested life in seconds. */
  readonly ttl?: number | undefined;
  /** Requested end in milliseconds. */
  readonly notAfter?: number | undefined;
  readonly purpose?: string | undefined;
}

/**
 * Something that goes through dispatch. Most are operations, which every transport offers; those that are not are done by
 * the server alone, when a protocol with identities of its own (ACME) or background work asks for them.
 */
export interface Act<Input = unknown, Output = unknown, Deps = unknown, Plan = unknown> {
  /** `area.verb_noun` in standard terms: `pki.issue_certificate`. */
  readonly id: string;
  /** Three to five words. */
  readonly title: string;
  /** What it does and when to use it, in one to three sentences; shown by REST, CLI, MCP and docs. */
  readonly summary: string;
  readonly input: z.ZodType<Input>;
  readonly output: z.ZodType<Output>;
  /** The resource touched: `pki/roles/web`. Every segment is a valid name, or `*` only where a list is asked for. */
  readonly resource: (input: Input) => string;
  readonly effect: Effect;
  /** Whether a repeat of the same call leaves the same state. Reads always do. */
  readonly idempotent?: boolean | undefined;
  /** Whether it reaches systems other than Chancery's own store. */
  readonly openWorld?: boolean | undefined;
  /** Output fields that are secret: never logged, never stored, stripped or replaced by MCP. */
  readonly sensitive?: readonly string[] | undefined;
  /**
   * `policy` (default): a rule must allow it. `self`: any authenticated principal, about itself only. A function where
   * the input decides (my own tokens, or those of somebody else).
   */
  readonly access?: Access | ((input: Input) => Access) | undefined;
  /** Touches the installation and not one tenant: only principals of the namespace `root` may run it, by their policies. */
  readonly installation?: boolean | undefined;
  readonly facts?: ((input: Input) => RequestFacts) | undefined;
  /**
   * Whose the touched thing is: the name of a principal, or undefined when it is nobody's or does not exist. Owners
   * need no rule that allows; a rule that denies, or asks for an approval, holds for them too.
   */
  readonly owner?: ((namespace: string, input: Input, deps: Deps) => Promise<string | undefined>) | undefined;
  /** For effects outside the store: reads and decides, like `run`, and touches nothing outside. */
  readonly intend?: ((grant: Grant, input: Input, deps: Deps) => Promise<Intent<Plan>>) | undefined;
  readonly run: (grant: Grant, input: Input, deps: Deps, plan: Plan) => Promise<Outcome<Output>>;
}

/** An act that is offered: REST route, CLI command, MCP tool, OpenAPI entry and docs are derived from what stands here. */
export interface Operation<Input = unknown, Output = unknown, Deps = unknown, Plan = unknown>
  extends Act<Input, Output, Deps, Plan> {
  readonly http: HttpBinding;
  readonly cli?: CliBinding | undefined;
}

export type Access = 'policy' | 'self';

const idPattern = /^[a-z]+(?:\.[a-z]+(?:_[a-z0-9]+)*)$/;

type Definition<Kind, Input extends z.ZodType, Output extends z.ZodType> = Omit<Kind, 'input' | 'output'> & {
  readonly input: Input;
  readonly output: Output;
};

/** Defines an operation. Throws a TypeError for an id that is none. */
export function defineOperation<Input extends z.ZodType, Output extends z.ZodType, Deps, Plan = undefined>(
  operation: Definition<Operation<z.output<Input>, z.output<Output>, Deps, Plan>, Input, Output>,
): Operation<z.output<Input>, z.output<Output>, Deps, Plan> {
  return checked(operation) as unknown as Operation<z.output<Input>, z.output<Output>, Deps, Plan>;
}

/** Defines an act that no transport offers. Throws a TypeError for an id that is none. */
export function defineAct<Input extends z.ZodType, Output extends z.ZodType, Deps, Plan = undefined>(
  act: Definition<Act<z.output<Input>, z.output<Output>, Deps, Plan>, Input, Output>,
): Act<z.output<Input>, z.output<Output>, Deps, Plan> {
  return checked(act) as unknown as Act<z.output<Input>, z.output<Output>, Deps, Plan>;
}

function checked<Kind extends { readonly id: string }>(defined: Kind): Kind {
  if (!idPattern.test(defined.id)) throw new TypeError(`${defined.id} is not area.verb_noun`);
  return Object.freeze(defined);
}

/** An act with its dependencies given: what dispatch sees. */
export interface BoundAct extends Omit<Act, 'owner' | 'intend' | 'run'> {
  readonly owner?: ((namespace: string, input: unknown) => Promise<string | undefined>) | undefined;
  readonly intend?: ((grant: Grant, input: unknown) => Promise<Intent<unknown>>) | undefined;
  /** `plan` is what `intend` made; without an `intend` there is none. */
  readonly run: (grant: Grant, input: unknown, plan?: unknown) => Promise<Outcome<unknown>>;
}

/** An operation with its dependencies given: what transports see. */
export interface BoundOperation extends BoundAct, Pick<Operation, 'http' | 'cli'> {}

/** Any act or operation whatever its types; only `bind` looks inside. */
// oxlint-disable-next-line typescript/no-explicit-any -- the input type stands in both positions, so only `any` holds every act
export type AnyAct<Deps> = Act<any, any, Deps, any>;
// oxlint-disable-next-line typescript/no-explicit-any -- as above
export type AnyOperation<Deps> = Operation<any, any, Deps, any>;

/** Gives operations, or acts, their dependencies. */
export function bind<Deps>(operations: readonly AnyOperation<Deps>[], deps: Deps): BoundOperation[];
export function bind<Deps>(acts: readonly AnyAct<Deps>[], deps: Deps): BoundAct[];
export function bind<Deps>(acts: readonly AnyAct<Deps>[], deps: Deps): BoundAct[] {
  return acts.map((act) => {
    const { owner, intend, run } = act;
    return {
      ...act,
      owner: owner && ((namespace, input) => owner(namespace, input, deps)),
      intend: intend && ((grant, input) => intend(grant, input, deps)),
      run: (grant, input, plan) => run(grant, input, deps, plan),
    };
  });
}
