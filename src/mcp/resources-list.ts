import { ProtocolError, ProtocolErrorCode, type Resource } from '@modelcontextprotocol/server';
import { BackendError } from './backend.ts';
import { askPage, type ReadContext, type ValueSource, valueSources } from './resources-shelves.ts';

/**
 * `resources/list`: the texts, then authorities, then policies. Certificates and leases are not listed: there may be
 * millions, and clients read every page. They are reached by their templates.
 */

const pageSize = 100;
/** Calls for one page, so that items of which few fit into an answer do not make one request into a hundred. */
const callsPerPage = 6;

interface Stage extends Pick<ValueSource, 'operation' | 'items'> {
  /** Resources of one item. */
  readonly toResources: (item: Readonly<Record<string, unknown>>) => Resource[];
  /** At most so many resources per item. */
  readonly width: number;
}

const stages: readonly Stage[] = [
  { ...valueSources.authority, toResources: authorityResources, width: 3 },
  { ...valueSources.policy, toResources: policyResources, width: 1 },
];

function authorityResources({ name, state }: Readonly<Record<string, unknown>>): Resource[] {
  const uri = `chancery://authorities/${String(name)}`;
  const base = { uri, name: `authorities/${String(name)}`, mimeType: 'application/json' };
  // Without a certificate yet: nothing to chain to, and nothing that could be revoked.
  if (state === 'pending') return [base];
  return [
    base,
    { uri: `${uri}/chain.pem`, name: `${base.name}/chain.pem`, mimeType: 'application/pem-certificate-chain' },
    { uri: `${uri}/crl`, name: `${base.name}/crl`, mimeType: 'application/json' },
  ];
}

function policyResources({ name }: Readonly<Record<string, unknown>>): Resource[] {
  return [
    { uri: `chancery://policies/${String(name)}`, name: `policies/${String(name)}`, mimeType: 'application/json' },
  ];
}

/** Where a page begins: a stage, and the cursor of its operation. */
interface Place {
  readonly stage: number;
  readonly cursor?: string | undefined;
}

export interface ResourcePage {
  [member: string]: unknown;
  readonly resources: Resource[];
  readonly nextCursor?: string;
}

/** Throws BackendError for what is not a refusal of a whole kind, ProtocolError for a cursor that is none. */
export async function listPage(
  context: ReadContext,
  texts: readonly Resource[],
  cursor: string | undefined,
): Promise<ResourcePage> {
  const resources = cursor === undefined ? [...texts] : [];
  let place: Place | undefined = cursor === undefined ? { stage: 0 } : decodePlace(cursor);
  for (let calls = 0; place !== undefined && resources.length < pageSize && calls < callsPerPage; calls++) {
    const stage: Stage | undefined = stages[place.stage];
    if (stage === undefined) break;
    const limit = Math.max(1, Math.floor((pageSize - resources.length) / stage.width));
    const page = await stagePage(context, stage, place.cursor, limit);
    resources.push(...page.resources);
    place = page.next === undefined ? { stage: place.stage + 1 } : { stage: place.stage, cursor: page.next };
  }
  const more = place !== undefined && place.stage < stages.length;
  return more ? { resources, nextCursor: encodePlace(place) } : { resources };
}

async function stagePage(
  context: ReadContext,
  stage: Stage,
  cursor: string | undefined,
  limit: number,
): Promise<{ resources: Resource[]; next?: string | undefined }> {
  try {
    const page = await askPage(context, stage, limit, cursor);
    return { resources: page?.items.flatMap(stage.toResources) ?? [], next: page?.next };
  } catch (thrown) {
    // A kind that the caller may not list is not on its list.
    if (thrown instanceof BackendError && thrown.code === 'denied') return { resources: [] };
    throw thrown;
  }
}

function encodePlace(place: Place | undefined): string {
  return Buffer.from(JSON.stringify([place?.stage, place?.cursor ?? null])).toString('base64url');
}

function decodePlace(cursor: string): Place {
  if (cursor.length <= 1024) {
    try {
      const [stage, inner] = JSON.parse(Buffer.from(cursor, 'base64url').toString()) as [unknown, unknown];
      if (Number.isInteger(stage) && stages[stage as number] !== undefined) {
        if (inner === null) return { stage: stage as number };
        if (typeof inner === 'string') return { stage: stage as number, cursor: inner };
      }
    } catch {
      // A cursor is opaque, so why it is wrong helps nobody.
    }
  }
  throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'The cursor is not one that this list returned.');
}
