import { AppError } from '#core/errors.ts';
import { DerError } from '#pki/asn1/der-error.ts';
import type { GeneralName } from '#pki/x509/general-name.ts';
import { attributeValues } from '#pki/x509/name.ts';
import { decodeOnePem } from '#pki/x509/pem.ts';
import {
  type CertificateRequest,
  decodeRequest,
  decodeUnprovenRequest,
  type UnprovenRequest,
} from '#pki/x509/request.ts';
import { spkiSha256 } from '#pki/x509/spki.ts';
import type { PlanCertificateInput } from './certificate-schema.ts';
import type { CsrRequest, IssuanceRequest } from './ruling.ts';

/** What is asked, from parameters and CSR together, in the form that the rules judge. */
export interface AskedCertificate {
  readonly request: IssuanceRequest;
  /** Its proof is left to whoever goes on with it: `proveRequest` here, or the signing thread. */
  readonly csr: UnprovenRequest | undefined;
}

const maxCsrCharacters = 65_536;

/** Throws `invalid_request` for a CSR that is malformed, `refused` for a weak key. */
export function readAsked(input: PlanCertificateInput, blockedKeys: ReadonlySet<string>): AskedCertificate {
  if (input.csr !== undefined && input.key_type !== undefined)
    throw new AppError('invalid_request', 'csr and key_type are given together, but the key comes with the CSR.', {
      hint: 'Leave key_type out, or leave csr out to have a key made.',
    });
  const csr = input.csr === undefined ? undefined : readPem(input.csr, decodeUnprovenRequest);
  return {
    csr,
    request: {
      dns: input.dns_names ?? [],
      ip: input.ip_addresses ?? [],
      uri: input.uris ?? [],
      email: input.emails ?? [],
      commonName: input.common_name,
      ttl: input.ttl,
      notAfter: input.not_after === undefined ? undefined : Date.parse(input.not_after),
      keyType: input.key_type,
      csr: csr && askedByRequest(csr, blockedKeys),
    },
  };
}

/** Reads a PEM CSR and verifies its signature. Throws `invalid_request` with what is wrong and where. */
export function readRequest(pem: string): CertificateRequest {
  return readPem(pem, decodeRequest);
}

function readPem<Request>(pem: string, decode: (der: Buffer) => Request): Request {
  const der = decodeOnePem(pem, 'CERTIFICATE REQUEST', maxCsrCharacters, true);
  try {
    return decode(der);
  } catch (error) {
    if (!(error instanceof DerError)) throw error;
    throw new AppError('invalid_request', `The CSR is not valid: ${error.message}.`, {
      hint: 'Make a new one, for example with openssl req -new, and send it unchanged.',
      details: [{ at: '/csr', message: error.message }],
    });
  }
}

function askedByRequest(csr: UnprovenRequest, blockedKeys: ReadonlySet<string>): CsrRequest {
  const { key } = csr;
  return {
    dns: valuesOf(csr.names, 'dns'),
    ip: valuesOf(csr.names, 'ip'),
    uri: valuesOf(csr.names, 'uri'),
    email: [...valuesOf(csr.names, 'email'), ...attributeValues(csr.subject, 'email_address')],
    commonNames: attributeValues(csr.subject, 'common_name'),
    unsupported: csr.names.flatMap(unsupportedName),
    keyType: key.keyType ?? null,
    keyLabel: `${key.curve ?? key.algorithm.toUpperCase()} ${key.bits}`,
    weakness: weaknessOf(csr, blockedKeys),
  };
}

function valuesOf(names: readonly GeneralName[], kind: 'dns' | 'ip' | 'uri' | 'email'): string[] {
  return names.flatMap((name) => (name.kind === kind ? [name.value] : []));
}

const supported: ReadonlySet<GeneralName['kind']> = new Set(['dns', 'ip', 'uri', 'email']);

function unsupportedName(name: GeneralName): string[] {
  if (supported.has(name.kind)) return [];
  return [name.kind === 'other' ? `otherName ${name.typeId}` : name.kind];
}

function weaknessOf({ key, keyFaults }: UnprovenRequest, blockedKeys: ReadonlySet<string>): string | undefined {
  if (blockedKeys.size > 0 && blockedKeys.has(spkiSha256(key.spki)))
    return 'was reported as compromised and is blocked';
  return keyFaults.some(({ code }) => code === 'rsa_exponent') ? 'has an exponent other than 65537' : undefined;
}
