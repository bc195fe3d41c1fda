import { BackendError, type OfferedOperation } from './backend.ts';
import type { Caller } from './caller.ts';

/** The kinds of resources that come out of the store, each with the operations by which it is read and found. */

export interface ReadContext {
  readonly caller: Caller;
  readonly signal: AbortSignal;
}

export interface Shelf {
  readonly name: string;
  readonly uriTemplate: string;
  readonly title: string;
  readonly description: string;
  readonly mimeType: string;
  /** The variable of the template. */
  readonly variable: string;
  /** An address of this kind; its one group is the value of the variable. */
  readonly pattern: RegExp;
  /** The operation that reads it: without it, the shelf is not shown. */
  readonly operation: string;
  /** Where values of the variable come from. */
  readonly values: ValueSource;
  /** Undefined: there is none. Throws BackendError. */
  read(context: ReadContext, value: string): Promise<string | undefined>;
}

/** A list from which names are completed. */
export interface ValueSource {
  readonly operation: string;
  /** Field of the answer that holds the items. */
  readonly items: string;
  /** Field of an item that is the value. */
  readonly field: string;
}

export const valueSources = {
  authority: { operation: 'pki.list_authorities', items: 'authorities', field: 'name' },
  pki_role: { operation: 'pki.list_roles', items: 'roles', field: 'name' },
  serial_number: { operation: 'pki.list_certificates', items: 'certificates', field: 'serial_number' },
  database_role: { operation: 'database.list_roles', items: 'roles', field: 'name' },
  lease: { operation: 'lease.list_leases', items: 'leases', field: 'id' },
  policy: { operation: 'policy.list_policies', items: 'policies', field: 'name' },
  principal: { operation: 'auth.list_principals', items: 'principals', field: 'name' },
} as const satisfies Readonly<Record<string, ValueSource>>;

type Output = Readonly<Record<string, unknown>>;

export function findOffered({ operations }: Caller, id: string): OfferedOperation | undefined {
  return operations.find((operation) => operation.id === id);
}

export function shelfIsOpen(caller: Caller, { operation }: Shelf): boolean {
  return findOffered(caller, operation) !== undefined;
}

/** Undefined where this caller could never be allowed the operation. Throws BackendError. */
async function ask({ caller, signal }: ReadContext, id: string, input: object): Promise<Output | undefined> {
  const operation = findOffered(caller, id);
  return operation === undefined ? undefined : (await caller.call(operation, input, { signal })).output;
}

async function readAsJson(context: ReadContext, id: string, input: object): Promise<string | undefined> {
  const output = await ask(context, id, input);
  return output && JSON.stringify(output);
}

/**
 * A page of a list, of `limit` items or, where that were too much for one answer, of fewer. Throws BackendError; undefined
 * where this caller could never be allowed the list.
 */
export async function askPage(
  context: ReadContext,
  { operation, items }: Pick<ValueSource, 'operation' | 'items'>,
  limit: number,
  cursor?: string,
): Promise<Page | undefined> {
  try {
    const output = await ask(context, operation, cursor === undefined ? { limit } : { limit, cursor });
    if (output === undefined) return undefined;
    const next = output['next_cursor'];
    return { items: output[items] as Output[], next: typeof next === 'string' ? next : undefined };
  } catch (thrown) {
    const fewer = Math.floor(limit / 5);
    if (codeOf(thrown) !== 'too_large' || fewer === 0) throw thrown;
    return askPage(context, { operation, items }, fewer, cursor);
  }
}

export interface Page {
  readonly items: readonly Output[];
  /** Cursor of the next page. */
  readonly next: string | undefined;
}

function codeOf(thrown: unknown): string | undefined {
  return thrown instanceof BackendError ? thrown.code : undefined;
}

/** Revoked certificates that the state of CRLs names at most. */
const firstEntries = 20;

async function readCrl(context: ReadContext, name: string): Promise<string | undefined> {
  const state = await ask(context, 'pki.get_crl_status', { name, limit: 100 });
  if (state === undefined) return undefined;
  const entries = await firstRevoked(context, name);
  return JSON.stringify({ authority: name, ...state, ...(entries === undefined ? {} : { first_entries: entries }) });
}

/** Undefined where the caller may see the CRLs of an authority, and not its certificates. */
async function firstRevoked(context: ReadContext, authority: string): Promise<unknown[] | undefined> {
  try {
    const list = await ask(context, 'pki.list_certificates', { authority, status: 'revoked', limit: firstEntries });
    return (list?.['certificates'] as Output[] | undefined)?.map((certificate) => ({
      serial_number: certificate['serial_number'],
      revoked_at: certificate['revoked_at'],
      revocation_reason: certificate['revocation_reason'],
    }));
  } catch (thrown) {
    if (codeOf(thrown) === 'denied') return undefined;
    throw thrown;
  }
}

async function readChain(context: ReadContext, name: string): Promise<string | undefined> {
  const authority = await ask(context, 'pki.get_authority', { name });
  if (authority === undefined || typeof authority['certificate'] !== 'string') return undefined;
  const chain = [authority['certificate'], ...(authority['chain'] as string[])];
  return `${chain.map((pem) => pem.trimEnd()).join('\n')}\n`;
}

const nameInUri = '([a-z0-9_-]{1,63})';
const json = 'application/json';

export const shelves: readonly Shelf[] = [
  {
    name: 'authority',
    uriTemplate: 'chancery://authorities/{name}',
    title: 'Certificate authority',
    description:
      'An authority: state, subject, validity, certificate, chain, keys and addresses. As pki_get_authority.',
    mimeType: json,
    variable: 'name',
    pattern: new RegExp(`^chancery://authorities/${nameInUri}$`),
    operation: 'pki.get_authority',
    values: valueSources.authority,
    read: (context, name) => readAsJson(context, 'pki.get_authority', { name }),
  },
  {
    name: 'authority-chain',
    uriTemplate: 'chancery://authorities/{name}/chain.pem',
    title: 'Chain of an authority',
    description: 'Its certificate and those above it, as PEM (RFC 8555 §9.1), nearest first.',
    mimeType: 'application/pem-certificate-chain',
    variable: 'name',
    pattern: new RegExp(`^chancery://authorities/${nameInUri}/chain\\.pem$`),
    operation: 'pki.get_authority',
    values: valueSources.authority,
    read: readChain,
  },
  {
    name: 'authority-crl',
    uriTemplate: 'chancery://authorities/{name}/crl',
    title: 'CRLs of an authority',
    description:
      'Its CRLs, decoded: number, this and next update, how many entries, whether one is due, and the first revoked certificates. As pki.get_crl_status.',
    mimeType: json,
    variable: 'name',
    pattern: new RegExp(`^chancery://authorities/${nameInUri}/crl$`),
    operation: 'pki.get_crl_status',
    values: valueSources.authority,
    read: readCrl,
  },
  {
    name: 'certificate',
    uriTemplate: 'chancery://certificates/{serial_number}',
    title: 'Certificate',
    description:
      'A certificate by its serial number (lower-case hex): names, validity, status, PEM. As pki_get_certificate.',
    mimeType: json,
    variable: 'serial_number',
    pattern: /^chancery:\/\/certificates\/([0-9a-f]{1,40})$/,
    operation: 'pki.get_certificate',
    values: valueSources.serial_number,
    read: (context, value) => readAsJson(context, 'pki.get_certificate', { serial_number: value }),
  },
  {
    name: 'lease',
    uriTemplate: 'chancery://leases/{lease_id}',
    title: 'Lease',
    description: 'A lease: whose, of what, until when, and what holds up its end. As lease.get_lease.',
    mimeType: json,
    variable: 'lease_id',
    pattern: /^chancery:\/\/leases\/(lse_[0-9a-z]{26})$/,
    operation: 'lease.get_lease',
    values: valueSources.lease,
    read: (context, value) => readAsJson(context, 'lease.get_lease', { lease_id: value }),
  },
  {
    name: 'policy',
    uriTemplate: 'chancery://policies/{name}',
    title: 'Policy',
    description: 'A policy with its rules. As policy.get_policy.',
    mimeType: json,
    variable: 'name',
    pattern: new RegExp(`^chancery://policies/${nameInUri}$`),
    operation: 'policy.get_policy',
    values: valueSources.policy,
    read: (context, name) => readAsJson(context, 'policy.get_policy', { name }),
  },
];
