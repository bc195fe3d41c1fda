import type { BackendError, OfferedOperation } from './backend.ts';
import { areaOf, toolNameOf } from './catalogue.ts';

/** What a model does next after a refusal: a call that it can make as it is written, where there is one. */

/** Member of a refusal by a guard of the operator, not by a policy. */
export const closedByOperator = { closed_by: 'mcp_operator' } as const;

/** What this model can call. */
export interface Reach {
  readonly operations: readonly OfferedOperation[];
  /** Names of the tools on its list. */
  readonly tools: ReadonlyMap<string, unknown>;
}

/** Which call was refused. */
export interface Refused {
  readonly operation: string | undefined;
  /** What it was given, not validated. */
  readonly input?: Readonly<Record<string, unknown>> | undefined;
  readonly reach: Reach;
}

/** `pki_list_roles {}` where that is on the list, else the call of run_read_operation or run_operation. Undefined: out of reach. */
export function callText({ operations, tools }: Reach, id: string, input: object = {}): string | undefined {
  const operation = operations.find((candidate) => candidate.id === id);
  if (operation === undefined) return undefined;
  const tool = toolNameOf(operation);
  // What changes something takes more than can be written here.
  const given = operation.effect === 'read' ? JSON.stringify(input) : '{…}';
  if (tools.has(tool)) return `${tool} ${given}`;
  const runner = operation.effect === 'read' ? 'run_read_operation' : 'run_operation';
  return tools.has(runner) ? `${runner} {"operation":"${id}","input":${given}}` : undefined;
}

/** Hints are written for every face; what only HTTP has is said as tools have it. Undefined: it would help nobody here. */
export function hintForModel(hint: string | undefined): string | undefined {
  if (hint === undefined || hint.includes('/openapi.json')) return undefined;
  return textForModel(hint)
    .replace(/\(Chancery-Approval: (\S+)\)/, 'by run_operation, with approval_id $1')
    .replace(/^Send it as "Authorization: Bearer chy_…"\.$/, 'The MCP client is set up without a token.');
}

export function textForModel(text: string): string {
  return text.replaceAll('Idempotency-Key', 'idempotency_key');
}

/** The tool or argument that gets the caller on. */
export function nextStep(error: BackendError, refused: Refused): string | undefined {
  const { code, hint, members } = error;
  if (typeof members['next'] === 'string') return members['next'];
  switch (code) {
    case 'invalid_request':
      return argumentStep(error, refused);
    case 'unauthenticated':
      return 'Ask the user for a valid token; nothing can be done without one.';
    case 'denied':
      return deniedStep(error, refused);
    case 'approval_required':
      return approvalStep(error, refused);
    case 'not_found':
      return callIn(hint, refused) ?? listStep(refused) ?? 'List what there is, and use a name or id from the list.';
    case 'refused':
      return members['nearest_request'] === undefined
        ? callIn(hint, refused)
        : 'nearest_request would pass: make the same call with it where that is what the user wants, or tell the user what is allowed.';
    case 'already_exists':
    case 'wrong_state':
    case 'conflict':
      // What is said of the key is all there is to do.
      if (error.message.includes('Idempotency-Key')) return undefined;
      return callIn(hint, refused) ?? showStep(refused) ?? 'Read the present state, then decide.';
    case 'rate_limited':
      return 'Wait retry_after seconds, then make the same call.';
    case 'unavailable':
      return 'Make the same call later, by run_operation with an idempotency_key: then nothing is done twice.';
    case 'too_large':
      return 'Ask for less: a smaller limit, or narrower filters.';
    default:
      return callIn(hint, refused);
  }
}

/** Keys are arguments of run_operation; an id that is none is found in a list; for the rest there is the schema. */
function argumentStep({ details }: BackendError, refused: Refused): string {
  const { operation, reach } = refused;
  if (operation === undefined)
    return 'search_operations finds operations; describe_operation shows every field of one and what it takes.';
  const faulty = details.map(({ at }) => at.slice(1));
  const key = faulty.find((field) => field === 'idempotency_key' || field === 'approval_id');
  if (key !== undefined && reach.tools.has('run_operation'))
    return `${key} is an argument of run_operation: call run_operation {"operation":"${operation}","input":{…},"${key}":"…"}.`;
  const describe = `describe_operation ${JSON.stringify({ operation })} shows every field and what it takes.`;
  const list = faulty.some((field) => /(?:^|_)id$|serial_number$/.test(field)) ? listStep(refused) : undefined;
  return list === undefined ? describe : `${describe} ${list}`;
}

/** What the operator of the MCP server closed, no policy opens: to ask the policy about it leads nowhere. */
function deniedStep({ members, message }: BackendError, { operation, reach }: Refused): string {
  if (members['closed_by'] === closedByOperator.closed_by)
    return 'Tell the user that the operator of this MCP server closed this, and go on without it. Another tool or spelling is refused too.';
  const resource = / on ([a-z0-9/_.-]{1,255})\.$/.exec(message)?.[1];
  const asked = operation !== undefined && resource !== undefined;
  const test = asked ? callText(reach, 'policy.test_policy', { operation, resource }) : undefined;
  const explain = test === undefined ? '' : ` ${test} explains the decision.`;
  const self = callText(reach, 'auth.whoami') ?? 'auth_whoami {}';
  return `${self} shows what this token may do.${explain} Tell the user what is missing; do not try other spellings.`;
}

function approvalStep({ members }: BackendError, { operation, reach }: Refused): string {
  const id = members['approval_id'];
  const state = typeof id === 'string' ? callText(reach, 'policy.get_approval', { id }) : undefined;
  const again = JSON.stringify({ operation: operation ?? 'the same', input: 'the same', approval_id: id });
  return `Tell the user that somebody else must approve it${state === undefined ? '' : `; ${state} shows its state`}. When it is approved: run_operation ${again}, with exactly the same input.`;
}

/** The first operation that a hint names and that is another one. */
function callIn(hint: string | undefined, { operation, reach }: Refused): string | undefined {
  for (const [id] of hint?.matchAll(/\b[a-z]+\.[a-z]+(?:_[a-z]+)+\b/g) ?? []) {
    const call = id === operation ? undefined : callText(reach, id);
    if (call !== undefined) return `Call ${call}.`;
  }
  return undefined;
}

/** What is mostly missing where the operation has another name than the thing. */
const listOf: Readonly<Record<string, string>> = {
  'pki.issue_certificate': 'pki.list_roles',
  'pki.plan_certificate': 'pki.list_roles',
  'pki.create_role': 'pki.list_authorities',
  'pki.get_crl_status': 'pki.list_authorities',
  'database.issue_credentials': 'database.list_roles',
  'database.plan_credentials': 'database.list_roles',
  'database.run_query': 'database.list_roles',
  'database.create_role': 'database.list_connections',
  'auth.create_key': 'auth.list_principals',
};

function listStep({ operation, reach }: Refused): string | undefined {
  const id = operation === undefined ? undefined : (listOf[operation] ?? related(operation, 'list', reach));
  const call = id === undefined ? undefined : callText(reach, id);
  return call === undefined ? undefined : `Call ${call}, and use a name or id from there.`;
}

/** Longer values are no names and no ids. */
const longestName = 255;

function showStep({ operation, input = {}, reach }: Refused): string | undefined {
  const id = operation === undefined ? undefined : related(operation, 'get', reach);
  const needed = reach.operations.find((candidate) => candidate.id === id)?.input.required ?? [];
  const values = needed.map((field) => [field, input[field]] as const);
  if (id === undefined || values.some(([, value]) => typeof value !== 'string' || value.length > longestName))
    return undefined;
  const call = callText(reach, id, Object.fromEntries(values));
  return call === undefined ? undefined : `Call ${call} to see the present state; then decide.`;
}

/** `pki.revoke_certificate` → `pki.list_certificates`, `pki.get_certificate`. */
function related(operation: string, verb: 'list' | 'get', { operations }: Reach): string | undefined {
  const area = areaOf({ id: operation });
  const noun = operation.slice(operation.indexOf('_') + 1);
  const singular = noun.replace(/ies$/, 'y').replace(/s$/, '');
  const plural = singular.endsWith('y') && !/[aeiou]y$/.test(singular) ? `${singular.slice(0, -1)}ies` : `${singular}s`;
  const id = `${area}.${verb}_${verb === 'list' ? plural : singular}`;
  return operations.some((candidate) => candidate.id === id) ? id : undefined;
}

/** What an operation takes, for whoever gave it something else. */
export interface FieldHelp {
  readonly needed: readonly string[];
  readonly optional: readonly string[];
  /** What the fields mean in which faults were found, or which were left out. */
  readonly about: Readonly<Record<string, string>>;
}

/** As many fields are explained, and so many characters of each. */
const mostExplained = 6;
const longestExplanation = 240;

export function fieldHelp({ input }: OfferedOperation, { code, details }: BackendError): FieldHelp | undefined {
  if (code !== 'invalid_request') return undefined;
  const needed = input.required ?? [];
  const faulty = details
    .map(({ at }) => at.split('/')[1] ?? '')
    .filter((field) => Object.hasOwn(input.properties, field));
  const explained = [...new Set([...faulty, ...needed])].slice(0, mostExplained);
  return {
    needed,
    optional: Object.keys(input.properties).filter((field) => !needed.includes(field)),
    about: Object.fromEntries(
      explained.flatMap((field) => {
        const { description } = input.properties[field] as { readonly description?: string };
        return description === undefined ? [] : [[field, description.slice(0, longestExplanation)] as const];
      }),
    ),
  };
}
