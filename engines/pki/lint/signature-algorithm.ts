import { DerError } from '#pki/asn1/der-error.ts';
import { type DerReader, readDer } from '#pki/asn1/reader.ts';
import { tag } from '#pki/asn1/tag.ts';
import { oids } from '#pki/x509/oid.ts';
import { type AlgorithmView, readAlgorithmView } from './certificate-view.ts';

/** What the standards say of the AlgorithmIdentifier of a signature; for certificates, CRLs and responses alike. */
interface SignatureScheme {
  readonly parameters: 'absent' | 'null' | 'pss';
  /** Where that stands. */
  readonly section: string;
  /** MD2, MD5 and SHA-1 have collisions (RFC 6151, RFC 6194). */
  readonly broken: boolean;
}

function scheme(parameters: SignatureScheme['parameters'], section: string, broken = false): SignatureScheme {
  return { parameters, section, broken };
}

const rsa = 'RFC 4055 §5';
const dsa = 'RFC 5758 §3.1';
const ecdsa = 'RFC 5758 §3.2';
const eddsa = 'RFC 8410 §3';
const mlDsa = 'RFC 9881 §2';

const schemes: ReadonlyMap<string, SignatureScheme> = new Map([
  [oids.md2WithRsa, scheme('null', 'RFC 3279 §2.2.1', true)],
  [oids.md5WithRsa, scheme('null', 'RFC 3279 §2.2.1', true)],
  [oids.sha1WithRsa, scheme('null', 'RFC 3279 §2.2.1', true)],
  [oids.sha256WithRsa, scheme('null', rsa)],
  [oids.sha384WithRsa, scheme('null', rsa)],
  [oids.sha512WithRsa, scheme('null', rsa)],
  ['1.2.840.113549.1.1.14', scheme('null', rsa)],
  [oids.rsassaPss, scheme('pss', 'RFC 4055 §3.1')],
  [oids.dsaWithSha1, scheme('absent', 'RFC 3279 §2.2.2', true)],
  ['2.16.840.1.101.3.4.3.1', scheme('absent', dsa)],
  [oids.dsaWithSha256, scheme('absent', dsa)],
  [oids.ecdsaWithSha1, scheme('absent', 'RFC 3279 §2.2.3', true)],
  ['1.2.840.10045.4.3.1', scheme('absent', ecdsa)],
  [oids.ecdsaWithSha256, scheme('absent', ecdsa)],
  [oids.ecdsaWithSha384, scheme('absent', ecdsa)],
  [oids.ecdsaWithSha512, scheme('absent', ecdsa)],
  [oids.ed25519, scheme('absent', eddsa)],
  [oids.ed448, scheme('absent', eddsa)],
  [oids.mlDsa44, scheme('absent', mlDsa)],
  [oids.mlDsa65, scheme('absent', mlDsa)],
  [oids.mlDsa87, scheme('absent', mlDsa)],
]);

/** Signature algorithms that the Baseline Requirements allow (§7.1.3.2). */
const webPkiSchemes: ReadonlySet<string> = new Set([
  oids.sha256WithRsa,
  oids.sha384WithRsa,
  oids.sha512WithRsa,
  oids.rsassaPss,
  oids.ecdsaWithSha256,
  oids.ecdsaWithSha384,
  oids.ecdsaWithSha512,
]);

export function isKnownScheme(algorithm: AlgorithmView): boolean {
  return schemes.has(algorithm.oid);
}

export function isBrokenScheme(algorithm: AlgorithmView): boolean {
  return schemes.get(algorithm.oid)?.broken === true;
}

export function isWebPkiScheme(algorithm: AlgorithmView): boolean {
  return webPkiSchemes.has(algorithm.oid);
}

/** What is wrong with the parameters of a known algorithm, with the section that says so; false when nothing is. */
export function parametersFault({ oid, parameters }: AlgorithmView): false | string {
  const known = schemes.get(oid);
  if (known === undefined) return false;
  const { section } = known;
  switch (known.parameters) {
    case 'absent':
      return parameters !== undefined && `they are there and must be absent (${section})`;
    case 'null':
      return !isNull(parameters) && `they are not NULL (${section})`;
    default:
      return pssFault(parameters) && `${pssFault(parameters)} (${section})`;
  }
}

export function isNull(parameters: Buffer | undefined): boolean {
  return parameters !== undefined && parameters.length === 2 && parameters[0] === tag.null && parameters[1] === 0;
}

const hashes: ReadonlySet<string> = new Set([oids.sha1, oids.sha256, oids.sha384, oids.sha512]);

function pssFault(parameters: Buffer | undefined): false | string {
  if (parameters === undefined) return 'RSASSA-PSS has none';
  try {
    return readDer(parameters, 256, (reader) => reader.readSequence(readPssFault));
  } catch (thrown) {
    if (thrown instanceof DerError) return `they cannot be read: ${thrown.reason}`;
    throw thrown;
  }
}

/** RSASSA-PSS-params (RFC 4055 §3.1): defaults are not encoded, and the mask hash is the hash. */
function readPssFault(reader: DerReader): false | string {
  const hash = reader.readOptionalContext(0, readAlgorithmView);
  const mask = reader.readOptionalContext(1, readAlgorithmView);
  const salt = reader.readOptionalContext(2, () => reader.readSmallInteger(1024));
  const trailer = reader.readOptionalContext(3, () => reader.readSmallInteger(255));
  if (hash?.oid === oids.sha1 || salt === 20 || trailer === 1) return 'a default value is encoded';
  if (trailer !== undefined) return 'the trailer field is none';
  if (hash !== undefined && !hashes.has(hash.oid)) return 'the hash is not known';
  if (mask !== undefined && (mask.oid !== oids.mgf1 || mask.parameters === undefined)) return 'the mask is not MGF1';
  const maskHash = mask?.parameters && readDer(mask.parameters, 64, readAlgorithmView).oid;
  return (maskHash ?? oids.sha1) !== (hash?.oid ?? oids.sha1) && 'the hash of the mask is another one';
}
