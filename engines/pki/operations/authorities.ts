import { z } from 'zod';
import { type Change, insert } from '#core/change.ts';
import { AppError } from '#core/errors.ts';
import type { Grant } from '#core/grant.ts';
import { newId } from '#core/ids.ts';
import { defineOperation } from '#core/operation.ts';
import { nextCursor, pageInput } from '#core/page.ts';
import { pageByName } from '#storage/page-by-name.ts';
import {
  type AuthoritySigner,
  authorityValidity,
  newIssuerRow,
  pathLengthBelow,
  recordAuthorityCertificate,
  rootCrlAddress,
  rootCrlShard,
  signAuthority,
} from '#pki/authority.ts';
import { encodeSubject } from '#pki/authority-certificate.ts';
import {
  authorityName,
  authorityOutput,
  type CreateAuthorityInput,
  createAuthorityInput,
} from '#pki/authority-schema.ts';
import { viewAuthority } from '#pki/authority-view.ts';
import type { PkiDeps } from '#pki/deps.ts';
import type { Authority } from '#pki/directory.ts';
import { type CertifiedIssuer, requireCertified, toIssuer } from '#pki/issuer.ts';
import type { AuthorityRow, IssuerRow, PkiTables } from '#pki/tables.ts';
import { pkiUrls } from '#pki/urls.ts';
import { decodeCertificate } from '#pki/x509/certificate.ts';
import { type GeneratedKey, generateKeyPair } from '#pki/x509/key.ts';
import { encodeRequest } from '#pki/x509/request.ts';

/** Authorities: making, showing, listing. */

const years = 365 * 86_400;
const defaultTtl = { root: 10 * years, intermediate: 5 * years };

export const authorityResource = (input: { readonly name: string }) => `pki/authorities/${input.name}`;

export const createAuthority = defineOperation({
  id: 'pki.create_authority',
  title: 'Create an authority',
  summary:
    'Makes a certificate authority: a root, an intermediate below an authority of ours, or, without parent, an intermediate whose CSR an outside authority signs.',
  input: createAuthorityInput,
  output: authorityOutput,
  http: { method: 'POST', path: '/pki/authorities', status: 201 },
  effect: 'additive',
  resource: authorityResource,
  facts: (input) => ({ ttl: input.ttl }),
  async run(grant, asked, deps: PkiDeps) {
    const input: CreateAuthorityInput = { ...asked, kind: asked.kind ?? 'intermediate' };
    const key = await generateKeyPair(input.key_type);
    const parent = input.parent === undefined ? undefined : await signingParent(deps, grant, input.parent);
    if (input.kind === 'intermediate' && parent === undefined) return pendingAuthority(deps, grant, input, key);
    return certifiedAuthority(deps, grant, input, key, parent);
  },
});

/** The authority that is to sign another one. Also checked when it was named by the caller: it must be able to. */
export async function signingParent(deps: PkiDeps, grant: Grant, name: string): Promise<SigningParent> {
  grant.reach(`pki/authorities/${name}`);
  const authority = await deps.directory.requireAuthority(grant.namespace, name);
  if (!authority.active) {
    throw new AppError('wrong_state', `Authority ${name} is ${authority.row.state} and signs nothing.`, {
      hint:
        authority.row.state === 'pending'
          ? 'Bring its certificate with pki.import_authority.'
          : 'Choose an active authority.',
    });
  }
  const issuer = requireCertified(authority.active, name);
  return { authority, issuer, crlShard: await deps.crlShards.next(issuer.row.id) };
}

export interface SigningParent {
  readonly authority: Authority;
  readonly issuer: CertifiedIssuer;
  readonly crlShard: number;
}

export function signerOf(parent: SigningParent): AuthoritySigner {
  return { kind: 'issuer', issuer: parent.issuer, urls: parent.authority.urls, crlShard: parent.crlShard };
}

async function certifiedAuthority(
  deps: PkiDeps,
  grant: Grant,
  input: CreateAuthorityInput,
  key: GeneratedKey,
  parent: SigningParent | undefined,
) {
  const subject = encodeSubject(input);
  const validity = authorityValidity(input, defaultTtl[input.kind], parent?.issuer, grant);
  const maxPathLength = parent
    ? pathLengthBelow(parent.issuer.certificate, input.max_path_length)
    : input.max_path_length;
  const urls = pkiUrls(deps.baseUrl, grant.namespace, input.name);
  const signer: AuthoritySigner = parent
    ? signerOf(parent)
    : { kind: 'self', key, keyType: input.key_type, urls, number: 1 };
  const order = { subject, spki: key.spki, validity, maxPathLength, nameConstraints: input.name_constraints };
  const certificate = decodeCertificate((await signAuthority(order, signer)).certificate);
  const row = authorityRow(grant, input, 'active');
  const issuer = newIssuerRow(deps.sealer, grant, {
    authorityId: row.id,
    number: 1,
    state: 'active',
    keyType: input.key_type,
    spki: key.spki,
    pkcs8: key.pkcs8,
    subject,
    certificate,
    parentId: parent?.issuer.row.id ?? null,
    outsideChain: null,
    request: null,
  });
  const record = recordAuthorityCertificate(grant, certificate, {
    issuerId: parent?.issuer.row.id ?? issuer.id,
    authority: parent?.authority.row.name ?? row.name,
    crlShard: parent?.crlShard ?? rootCrlShard,
  });
  const above = parent?.issuer.chain ?? [];
  const view = previewAuthority(deps, row, issuer, above, parent?.authority.row.name ?? null);
  return {
    output: viewAuthority(view, validity.adjustments),
    changes: [...insertAuthority(row, issuer), record, ...(parent ? [] : [rootCrlAddress(deps, grant, issuer.id)])],
    audit: { serial_number: certificate.serialNumber },
  };
}

async function pendingAuthority(deps: PkiDeps, grant: Grant, input: CreateAuthorityInput, key: GeneratedKey) {
  const subject = encodeSubject(input);
  const request = encodeRequest({ subject, keyType: input.key_type, privateKey: key.privateKey, spki: key.spki });
  const row = authorityRow(grant, input, 'pending');
  const issuer = newIssuerRow(deps.sealer, grant, {
    authorityId: row.id,
    number: 1,
    state: 'pending',
    keyType: input.key_type,
    spki: key.spki,
    pkcs8: key.pkcs8,
    subject,
    certificate: undefined,
    parentId: null,
    outsideChain: null,
    request,
  });
  return {
    output: viewAuthority(previewAuthority(deps, row, issuer, [], null)),
    changes: insertAuthority(row, issuer),
  };
}

function authorityRow(grant: Grant, input: CreateAuthorityInput, state: AuthorityRow['state']): AuthorityRow {
  return newAuthorityRow(grant, { ...input, state });
}

export function newAuthorityRow(
  grant: Grant,
  fields: Pick<AuthorityRow, 'name' | 'description' | 'kind' | 'state'> & {
    readonly crl_ttl: number;
    readonly ocsp_ttl: number;
  },
): AuthorityRow {
  return {
    id: newId('aut', grant.now),
    namespace: grant.namespace,
    name: fields.name,
    description: fields.description,
    kind: fields.kind,
    state: fields.state,
    settings: JSON.stringify({ crlTtl: fields.crl_ttl, ocspTtl: fields.ocsp_ttl }),
    created_at: grant.now,
  };
}

export function insertAuthority(row: AuthorityRow, issuer: IssuerRow): Change[] {
  const taken = () =>
    new AppError('already_exists', `There is an authority ${row.name} already.`, {
      hint: 'Choose another name; pki.rotate_authority gives an authority a new key.',
    });
  return [insert('pki_authorities', { ...row }, taken), insert('pki_issuers', { ...issuer })];
}

/** The authority as it will be once its rows are committed. */
export function previewAuthority(
  deps: PkiDeps,
  row: AuthorityRow,
  issuer: IssuerRow,
  above: CertifiedIssuer['chain'],
  parent: string | null,
): Authority {
  const made = toIssuer(deps, issuer, above, []);
  return {
    row,
    settings: { crlTtl: 0, ocspTtl: 0 },
    urls: pkiUrls(deps.baseUrl, row.namespace, row.name),
    issuers: [made],
    active: row.state === 'active' ? made : undefined,
    parent,
  };
}

const named = z.strictObject({ name: authorityName });

export const getAuthority = defineOperation({
  id: 'pki.get_authority',
  title: 'Get an authority',
  summary: 'Shows an authority with its certificate, chain, keys and addresses.',
  input: named,
  output: authorityOutput,
  http: { method: 'GET', path: '/pki/authorities/{name}' },
  effect: 'read',
  resource: authorityResource,
  async run(grant, input, deps: PkiDeps) {
    return { output: viewAuthority(await deps.directory.requireAuthority(grant.namespace, input.name)) };
  },
});

const authoritySummary = authorityOutput.omit({
  certificate: true,
  chain: true,
  issuers: true,
  csr: true,
  adjustments: true,
});

export const listAuthorities = defineOperation({
  id: 'pki.list_authorities',
  title: 'List authorities',
  summary: 'Lists the authorities by name, with the end of each.',
  input: z.strictObject({ ...pageInput }),
  output: z.strictObject({ authorities: z.array(authoritySummary), next_cursor: nextCursor }),
  http: { method: 'GET', path: '/pki/authorities' },
  cli: { columns: ['name', 'kind', 'state', 'parent', 'key_type', 'not_after'] },
  effect: 'read',
  resource: () => 'pki/authorities',
  async run(grant, input, deps: PkiDeps) {
    const query = deps.store
      .tables<PkiTables>()
      .selectFrom('pki_authorities')
      .select('name')
      .where('namespace', '=', grant.namespace);
    const page = await pageByName(query, input);
    const authorities = await Promise.all(
      page.items.map((row) => deps.directory.requireAuthority(grant.namespace, row.name)),
    );
    return { output: { authorities: authorities.map(summarize), next_cursor: page.next_cursor } };
  },
});

function summarize(authority: Authority): z.output<typeof authoritySummary> {
  const {
    certificate: _pem,
    chain: _chain,
    issuers: _issuers,
    csr: _csr,
    adjustments: _adjustments,
    ...summary
  } = viewAuthority(authority);
  return summary;
}

export const authorityOperations = [createAuthority, getAuthority, listAuthorities];
