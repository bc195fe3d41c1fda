import { hash } from 'node:crypto';
import type { Clock } from '#core/clock.ts';
import type { PublicReply, PublicRequest, PublicRoute } from '#core/engine.ts';
import { AppError } from '#core/errors.ts';
import type { Store } from '#storage/store.ts';
import type { Authority, Directory } from '#pki/directory.ts';
import type { SigningIssuer } from '#pki/issuer.ts';
import { parsePublicName } from '#pki/urls.ts';
import type { CrlService } from './crl-service.ts';
import { type Cached, replyCached } from './http-cache.ts';
import type { OcspResponder } from './ocsp-responder.ts';
import { ocspRoutes } from './ocsp-routes.ts';

/** What relying parties fetch without a token: certificates of authorities, CRLs, OCSP answers. */

export interface PublicRoutesParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly directory: Directory;
  readonly crls: CrlService;
  readonly responder: OcspResponder;
}

export function pkiPublicRoutes(parts: PublicRoutesParts): PublicRoute[] {
  const { clock } = parts;
  const route = (
    path: string,
    summary: string,
    find: (request: PublicRequest) => Promise<Cached | undefined>,
  ): PublicRoute => ({
    method: 'GET',
    path,
    summary,
    handle: async (request): Promise<PublicReply> => {
      const found = await find(request);
      if (!found) throw notFound();
      return replyCached(request, found, clock.now());
    },
  });
  return [
    route('/pki/roots.pem', 'Certificates of the roots, PEM.', () => rootsPem(parts)),
    route('/pki/:authority/ca.pem', 'Certificate of an authority and those above it, PEM.', (request) =>
      chainPem(parts, request),
    ),
    route('/pki/:authority/ca/:file', 'Certificate of one key of an authority, DER.', (request) =>
      issuerCertificate(parts, request),
    ),
    route('/pki/:authority/crl/:file', 'CRL of one shard, full or delta, DER (RFC 5280 §5).', (request) =>
      crl(parts, request),
    ),
    ...ocspRoutes(parts.responder, clock),
  ];
}

function notFound(): AppError {
  return new AppError('not_found', 'There is nothing here.', {
    hint: 'The addresses stand in the certificates, and in urls of pki.get_authority.',
  });
}

async function authorityOf(
  { directory }: PublicRoutesParts,
  { params }: PublicRequest,
): Promise<Authority | undefined> {
  const name = parsePublicName(params['authority'] ?? '');
  return name && directory.authority(name.namespace, name.authority);
}

/** Roots of the namespace `root` that are in force and not revoked: both of them while one succeeds the other. */
async function rootsPem(parts: PublicRoutesParts): Promise<Cached> {
  const now = parts.clock.now();
  const pems: string[] = [];
  for (const authority of await parts.directory.authorities('root')) {
    if (authority.row.kind !== 'root') continue;
    for (const issuer of authority.issuers) {
      const pem = issuer.chainPem[0];
      if (pem === undefined || (issuer.row.not_after ?? 0) <= now || (await isRevoked(parts.store, issuer))) continue;
      pems.push(`# ${authority.row.name} ${issuer.row.number}\n${pem}`);
    }
  }
  return pemFile(pems.join(''), now);
}

async function isRevoked(store: Store, { row }: SigningIssuer): Promise<boolean> {
  const sql = 'SELECT status FROM pki_certificates WHERE serial_number = ? AND namespace = ?';
  const found = await store.first<{ status: string }>(sql, [row.serial_number, row.namespace]);
  return found?.status === 'revoked';
}

async function chainPem(parts: PublicRoutesParts, request: PublicRequest): Promise<Cached | undefined> {
  const authority = await authorityOf(parts, request);
  const current = authority?.active ?? authority?.issuers.findLast((issuer) => issuer.certificate !== undefined);
  return current && pemFile(current.chainPem.join(''), parts.clock.now());
}

async function issuerCertificate(parts: PublicRoutesParts, request: PublicRequest): Promise<Cached | undefined> {
  const number = /^([1-9]\d{0,5})\.cer$/.exec(request.params['file'] ?? '')?.[1];
  const authority = number === undefined ? undefined : await authorityOf(parts, request);
  const certificate = authority?.issuers.find(({ row }) => row.number === Number(number))?.certificate;
  return certificate && file(certificate.der, 'application/pkix-cert', parts.clock.now());
}

const day = 86_400_000;

function pemFile(text: string, now: number): Cached {
  return file(Buffer.from(text), 'application/x-pem-file', now);
}

/** Not dated: the ETag says whether it is another. */
function file(body: Uint8Array, mediaType: string, now: number): Cached {
  const etag = `"${hash('sha256', body).slice(0, 32)}"`;
  return { body, mediaType, etag, madeAt: now, nextUpdate: now + day };
}

const crlFile = /^([1-9]\d{0,5})-(0|[1-9]\d{0,8})(-delta)?\.crl$/;

async function crl(parts: PublicRoutesParts, request: PublicRequest): Promise<Cached | undefined> {
  const match = crlFile.exec(request.params['file'] ?? '');
  const authority = match ? await authorityOf(parts, request) : undefined;
  if (!match || !authority) return undefined;
  const kind = match[3] === undefined ? 'full' : 'delta';
  const found = await parts.crls.find(authority, Number(match[1]), Number(match[2]), kind);
  if (!found) return undefined;
  const { der, number, madeAt, nextUpdate } = found;
  return { body: der, mediaType: 'application/pkix-crl', etag: `"${number}"`, madeAt, nextUpdate };
}
