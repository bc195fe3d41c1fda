import { type KeyType, sign, signatureAlgorithmOf } from '#engines/pki/x509/algorithm.ts';
import { assembleCertificate, encodeTbsCertificate } from '#engines/pki/x509/certificate.ts';
import { assembleCrl, encodeTbsCertList, type TbsCertListFields } from '#engines/pki/x509/crl.ts';
import { encodeExtension } from '#engines/pki/x509/extension.ts';
import type { GeneralNameInput } from '#engines/pki/x509/general-name.ts';
import { type GeneratedKey, generateKeyPair } from '#engines/pki/x509/key.ts';
import type { KeyUsage } from '#engines/pki/x509/key-extensions.ts';
import { encodeName } from '#engines/pki/x509/name.ts';
import { oids } from '#engines/pki/x509/oid.ts';
import { decodeSpki, keyIdentifierOf } from '#engines/pki/x509/spki.ts';
import {
  type ValidationRequest,
  type ValidationResult,
  validateCertificate,
} from '#engines/pki/validation/validate.ts';

/** Authorities and leaves made of the parts that a test is about; everything else is sound. */

export const at = Date.UTC(2026, 5, 1);
export const day = 86_400_000;

export interface Subject {
  readonly commonName: string;
  readonly name: Buffer;
  readonly key: GeneratedKey;
  readonly keyType: KeyType;
}

export interface Certified extends Subject {
  readonly der: Buffer;
}

export async function subject(commonName: string, keyType: KeyType = 'ec-p256'): Promise<Subject> {
  const name = encodeName([{ type: 'common_name', value: commonName }]);
  return { commonName, name, key: await generateKeyPair(keyType), keyType };
}

interface CertifyOptions {
  readonly ca?: boolean;
  readonly pathLength?: number;
  readonly usages?: readonly KeyUsage[];
  readonly purposes?: readonly string[];
  readonly names?: readonly GeneralNameInput[];
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly serialNumber?: string;
  /** Complete Extensions, DER, beside the usual ones. */
  readonly extensions?: readonly Buffer[];
}

let nextSerial = 1000;

/** A certificate for `of` by `by`; a CA certificate unless `ca` is false. */
export function certify(of: Subject, by: Subject, options: CertifyOptions = {}): Certified {
  const { ca = true, pathLength, usages, purposes, names, extensions = [] } = options;
  const signatureAlgorithm = signatureAlgorithmOf(by.keyType);
  const keyId = ({ key }: Subject) => keyIdentifierOf(decodeSpki(key.spki));
  const tbs = encodeTbsCertificate({
    serialNumber: options.serialNumber ?? (nextSerial += 1).toString(16).padStart(4, '0'),
    signatureAlgorithm,
    issuer: by.name,
    notBefore: options.notBefore ?? at - 10 * day,
    notAfter: options.notAfter ?? at + 10 * day,
    subject: of.name,
    spki: of.key.spki,
    extensions: [
      encodeExtension('subject_key_identifier', keyId(of)),
      encodeExtension('authority_key_identifier', { keyIdentifier: keyId(by) }),
      ...(ca ? [encodeExtension('basic_constraints', { ca: true, pathLength })] : []),
      encodeExtension('key_usage', usages ?? (ca ? ['key_cert_sign', 'crl_sign'] : ['digital_signature'])),
      ...(purposes === undefined ? [] : [encodeExtension('extended_key_usage', purposes)]),
      ...(names === undefined ? [] : [encodeExtension('subject_alt_name', names)]),
      ...extensions,
    ],
  });
  return { ...of, der: assembleCertificate(tbs, signatureAlgorithm, sign(by.key.privateKey, by.keyType, tbs)) };
}

export async function root(commonName = 'Root', options: CertifyOptions = {}): Promise<Certified> {
  const self = await subject(commonName);
  return certify(self, self, options);
}

export async function intermediate(by: Subject, commonName = 'CA', options: CertifyOptions = {}): Promise<Certified> {
  return certify(await subject(commonName), by, options);
}

/** A TLS server certificate for a.example.com, or other names. */
export async function leafOf(by: Subject, options: CertifyOptions = {}): Promise<Certified> {
  const names = [{ kind: 'dns', value: 'a.example.com' }] as const;
  return certify(await subject('leaf'), by, { ca: false, names, purposes: [oids.serverAuth], ...options });
}

export function crlOf(by: Subject, fields: Partial<TbsCertListFields> = {}): Buffer {
  const signatureAlgorithm = signatureAlgorithmOf(by.keyType);
  const tbs = encodeTbsCertList({
    signatureAlgorithm,
    issuer: by.name,
    thisUpdate: at - day,
    nextUpdate: at + day,
    crlNumber: 1,
    authorityKeyIdentifier: keyIdentifierOf(decodeSpki(by.key.spki)),
    entries: [],
    ...fields,
  });
  return assembleCrl(tbs, signatureAlgorithm, sign(by.key.privateKey, by.keyType, tbs));
}

interface Chain {
  readonly leaf: Certified;
  readonly between?: readonly Certified[];
  readonly anchors: readonly Certified[];
}

export function validate(chain: Chain, more: Partial<ValidationRequest> = {}): Promise<ValidationResult> {
  return validateCertificate({
    leaf: chain.leaf.der,
    intermediates: (chain.between ?? []).map(({ der }) => der),
    anchors: chain.anchors.map(({ der }) => der),
    at,
    profile: 'rfc5280',
    checkRevocation: 'none',
    ...more,
  });
}

/** `code@index` of every reason. */
export function codes({ reasons }: Pick<ValidationResult, 'reasons'>): string[] {
  return reasons.map(({ code, certificate }) => `${code}@${certificate?.index ?? '-'}`);
}
