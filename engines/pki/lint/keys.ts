import { oids } from '#pki/x509/oid.ts';
import type { CertificateView, PublicKeyView } from './certificate-view.ts';
import { usage } from './extension-values.ts';
import { must, type Rule, should } from './rule.ts';
import { isNull, parametersFault } from './signature-algorithm.ts';

/** RFC 5280 §4.1.2.7 with the standards of the algorithms: subjectPublicKeyInfo, and the key usages that a key can have. */

type CertificateRule = Rule<CertificateView>;

interface KeyForm {
  readonly section: string;
  readonly parameters: 'null' | 'absent' | 'curve' | 'pss' | 'any';
  /** Octets of keys that have a fixed size. */
  readonly octets?: number;
  /** Key usages that are allowed beside keyCertSign and cRLSign. */
  readonly usages: number;
  readonly usageSection: string;
}

const signing = usage.digitalSignature | usage.contentCommitment;
const enciphering = usage.keyEncipherment | usage.dataEncipherment;
const agreeing = usage.keyAgreement | usage.encipherOnly | usage.decipherOnly;
const certifying = usage.keyCertSign | usage.crlSign;
const allUsages = 0x1ff;

function fixed(section: string, octets: number, usageSection: string, usages = signing): KeyForm {
  return { section, parameters: 'absent', octets, usages, usageSection };
}

const forms: ReadonlyMap<string, KeyForm> = new Map([
  [oids.rsaEncryption, form('RFC 3279 §2.3.1', 'null', signing | enciphering)],
  [oids.rsassaPss, form('RFC 4055 §1.2', 'pss', signing)],
  [oids.dsa, form('RFC 3279 §2.3.2', 'any', signing)],
  [oids.ecPublicKey, { ...form('RFC 5480 §2.1.1', 'curve', signing | agreeing), usageSection: 'RFC 8813 §3' }],
  [oids.ed25519, fixed('RFC 8410 §4', 32, 'RFC 9295 §3')],
  [oids.ed448, fixed('RFC 8410 §4', 57, 'RFC 9295 §3')],
  ['1.3.101.110', fixed('RFC 8410 §4', 32, 'RFC 8410 §5', agreeing)],
  ['1.3.101.111', fixed('RFC 8410 §4', 56, 'RFC 8410 §5', agreeing)],
  [oids.mlDsa44, fixed('RFC 9881 §4', 1312, 'RFC 9881 §5')],
  [oids.mlDsa65, fixed('RFC 9881 §4', 1952, 'RFC 9881 §5')],
  [oids.mlDsa87, fixed('RFC 9881 §4', 2592, 'RFC 9881 §5')],
]);

function form(section: string, parameters: KeyForm['parameters'], usages: number): KeyForm {
  return { section, parameters, usages, usageSection: section };
}

/** Octets of a coordinate on the curves whose points can be checked. */
const coordinateOctets: ReadonlyMap<string, number> = new Map([
  [oids.p256, 32],
  [oids.p384, 48],
  [oids.p521, 66],
]);

function formOf({ algorithm }: PublicKeyView): KeyForm | undefined {
  return forms.get(algorithm.oid);
}

export const keyRules: readonly CertificateRule[] = [
  should(
    'public_key_algorithm_unknown',
    'RFC 5280 §4.1.2.7',
    'the algorithm of the public key is none of RFC 3279, 4055, 5480, 8410 and 9881',
    ({ key }) => formOf(key) === undefined && key.algorithm.oid,
  ),
  must(
    'public_key_parameters',
    'RFC 5280 §4.1.2.7',
    'the parameters of the public key are not as its standard has them',
    ({ key }) => keyParametersFault(key),
  ),
  must(
    'public_key_unused_bits',
    'RFC 5280 §4.1.2.7',
    'the public key is not a whole number of octets',
    ({ key }) => key.unusedBits !== 0,
  ),
  must('public_key_size', 'RFC 5280 §4.1.2.7', 'the public key has the wrong length', ({ key }) => {
    const octets = formOf(key)?.octets;
    return octets !== undefined && key.bits.length !== octets;
  }),
  must('ec_point', 'RFC 5480 §2.2', 'the point of the EC key is none of its curve, or in hybrid form', ({ key }) => {
    return key.algorithm.oid === oids.ecPublicKey && !isPoint(key);
  }),
  must('rsa_modulus', 'RFC 3279 §2.3.1', 'the RSA modulus is not positive and odd', ({ key }) => {
    return key.rsa !== undefined && !isPositiveAndOdd(key.rsa.modulus);
  }),
  must('rsa_exponent', 'RFC 3279 §2.3.1', 'the RSA exponent is not odd and at least 3', ({ key }) => {
    return key.rsa !== undefined && (!isPositiveAndOdd(key.rsa.exponent) || isOne(key.rsa.exponent));
  }),
  must(
    'key_usage_of_algorithm',
    'RFC 5280 §4.2.1.3',
    'the keyUsage has a bit that the standard of the key does not allow',
    ({ key, values }) => {
      const known = formOf(key);
      const others = (values.keyUsage?.value ?? 0) & allUsages & ~certifying;
      return known !== undefined && (others & ~known.usages) !== 0 && known.usageSection;
    },
  ),
];

function keyParametersFault(key: PublicKeyView): false | string {
  const known = formOf(key);
  const { parameters } = key.algorithm;
  switch (known?.parameters) {
    case 'null':
      return !isNull(parameters) && `they are not NULL (${known.section})`;
    case 'absent':
      return parameters !== undefined && `they are there and must be absent (${known.section})`;
    case 'curve':
      return key.curve === undefined && `they are not the name of a curve (${known.section})`;
    case 'pss':
      return parameters !== undefined && parametersFault(key.algorithm);
    default:
      return false;
  }
}

/** ECPoint, compressed or not (RFC 5480 §2.2); whether it lies on the curve is arithmetic, and done when keys come in. */
function isPoint({ curve, bits }: PublicKeyView): boolean {
  const size = coordinateOctets.get(curve ?? '');
  const first = bits[0];
  if (first === 0x04) return size === undefined || bits.length === 2 * size + 1;
  return (first === 0x02 || first === 0x03) && (size === undefined || bits.length === size + 1);
}

function isPositiveAndOdd(integer: Buffer): boolean {
  return (integer[0] ?? 0x80) < 0x80 && ((integer.at(-1) ?? 0) & 1) === 1;
}

function isOne(integer: Buffer): boolean {
  return integer.length === 1 && integer[0] === 1;
}
