import { type GuardedFetch, OutboundError, type OutboundRequest } from '#outbound/guarded-fetch.ts';
import type { CertificateList } from '#pki/x509/crl.ts';
import { encodeCertId, hashIssuer } from '#pki/x509/ocsp-cert-id.ts';
import { encodeOcspRequest } from '#pki/x509/ocsp-request.ts';
import { oids } from '#pki/x509/oid.ts';
import { decodePem } from '#pki/x509/pem.ts';
import { AppError } from '#core/errors.ts';
import { type GivenCrls, readCrls } from './crl-check.ts';
import { readOcspResponses } from './ocsp-check.ts';
import type { ParsedCertificate } from './parsed-certificate.ts';
import type { Evidence, EvidenceSource } from './revocation.ts';

/** Asking the OCSP responders that certificates name, and fetching their CRLs. */

/** Requests of one validation, all certificates of all paths together. */
const maxRequests = 6;
/** Addresses of one kind that are tried for one certificate. */
const maxUrls = 2;

const noCrls: GivenCrls = { lists: [], malformed: [] };
const noResponses = { responses: [], problems: [] };

/** One per validation. Round 0 asks OCSP, round 1 fetches CRLs; after that there is no more. */
export function askOverHttp(fetch: GuardedFetch): EvidenceSource {
  let left = maxRequests;
  const known = new Map<string, Promise<Buffer | string>>();
  const get = (request: OutboundRequest): Promise<Buffer | string> => {
    const key = `${request.url} ${Buffer.from(request.body ?? []).toString('latin1')}`;
    const answer = known.get(key);
    if (answer !== undefined) return answer;
    left -= 1;
    if (left < 0) return Promise.resolve(`no more than ${maxRequests} requests are made for one validation`);
    const made = bodyOf(fetch, request);
    known.set(key, made);
    return made;
  };
  return async (parsed, issuer, round) => {
    if (round === 0) return askOcsp(parsed, issuer, get);
    return round === 1 ? fetchCrls(parsed, get) : undefined;
  };
}

/** The body of a 200, or why there is none. */
async function bodyOf(fetch: GuardedFetch, request: OutboundRequest): Promise<Buffer | string> {
  try {
    const { status, body } = await fetch(request);
    return status === 200 ? body : `${hostOf(request.url)} answered ${status}`;
  } catch (thrown) {
    if (thrown instanceof OutboundError) return thrown.message;
    throw thrown;
  }
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : 'the server';
}

type Get = (request: OutboundRequest) => Promise<Buffer | string>;

const maxSerialOctets = 20;

async function askOcsp(parsed: ParsedCertificate, issuer: ParsedCertificate, get: Get): Promise<Evidence> {
  const { serialNumber, serialOctets } = parsed.certificate;
  const urls = (parsed.value('authority_info_access') ?? []).flatMap(({ method, location }) =>
    method === oids.accessOcsp && location.kind === 'uri' ? [location.value] : [],
  );
  const isAskable = issuer.key !== undefined && serialOctets.length <= maxSerialOctets && /^[^-]/.test(serialNumber);
  if (!isAskable) return { crls: noCrls, ocsp: noResponses };
  const hashes = hashIssuer(issuer.certificate.subject.der, issuer.certificate.spki);
  // SHA-1 names the certificate and protects nothing; it is what every responder knows (RFC 5019 §2.1.1).
  const body = encodeOcspRequest([encodeCertId('sha1', hashes, serialNumber)]);
  const problems: string[] = [];
  for (const url of urls.slice(0, maxUrls)) {
    const headers = { 'content-type': 'application/ocsp-request' };
    const answer = await get({ url, method: 'POST', headers, body });
    if (typeof answer === 'string') problems.push(answer);
    else {
      const read = readOcspResponses([answer]);
      if (read.responses.length > 0) return { crls: noCrls, ocsp: read };
      problems.push(...read.problems);
    }
  }
  return { crls: noCrls, ocsp: { responses: [], problems } };
}

/** One URL of every distribution point: those of one point are copies, those of several are parts. */
async function fetchCrls(parsed: ParsedCertificate, get: Get): Promise<Evidence> {
  const lists: CertificateList[] = [];
  const malformed: string[] = [];
  for (const point of parsed.value('crl_distribution_points') ?? [])
    for (const url of urlsOf(point.name?.fullName)) {
      const read = await fetchCrl(url, get);
      malformed.push(...read.malformed);
      lists.push(...read.lists);
      if (read.lists.length > 0) break;
    }
  // Deltas may tell of a revocation before the next complete CRL does (RFC 5280 §5.2.6).
  for (const { freshestCrl } of lists.slice())
    for (const url of urlsOf(freshestCrl?.[0]?.name?.fullName).slice(0, 1))
      lists.push(...(await fetchCrl(url, get)).lists);
  return { crls: { lists, malformed }, ocsp: noResponses };
}

function urlsOf(names: readonly { readonly kind: string }[] | undefined): string[] {
  const urls = (names ?? []).flatMap((name) =>
    name.kind === 'uri' && 'value' in name && typeof name.value === 'string' ? [name.value] : [],
  );
  return urls.filter((url) => /^https?:/i.test(url)).slice(0, maxUrls);
}

async function fetchCrl(url: string, get: Get): Promise<GivenCrls> {
  const body = await get({ url });
  if (typeof body === 'string') return { lists: [], malformed: [body] };
  return readCrls(body[0] === 0x2d ? fromPem(body) : [body]);
}

/** RFC 5280 §4.2.1.13 wants DER at such addresses; some give PEM. */
function fromPem(body: Buffer): readonly Buffer[] {
  try {
    return decodePem(body.toString('latin1'), { label: 'X509 CRL', maxLength: body.length, maxBlocks: 1 });
  } catch (thrown) {
    if (thrown instanceof AppError) return [body];
    throw thrown;
  }
}
