import type { DerReader } from '#pki/asn1/reader.ts';
import { contextConstructed, contextPrimitive } from '#pki/asn1/tag.ts';
import { contextOctets, element, namedBits, sequence } from '#pki/asn1/writer.ts';
import { type DistributionPointName, encodeFullName, readDistributionPointName } from './access-extensions.ts';
import type { GeneralNameInput } from './general-name.ts';

/** issuingDistributionPoint (RFC 5280 §5.2.5): which certificates and reasons a CRL covers. */
export interface IssuingDistributionPoint {
  readonly name?: DistributionPointName | undefined;
  readonly onlyContainsUserCerts: boolean;
  readonly onlyContainsCaCerts: boolean;
  readonly onlyContainsAttributeCerts: boolean;
  /** Bits of `reasonFlags`; undefined: all reasons. */
  readonly onlySomeReasons?: number | undefined;
  readonly indirectCrl: boolean;
}

/** At most one of the three `onlyContains…` may be true. */
export interface IssuingDistributionPointInput {
  /** Names of the distribution point, mostly URLs: the same as in the certificates that point here. */
  readonly fullName?: readonly GeneralNameInput[] | undefined;
  readonly onlyContainsUserCerts?: boolean | undefined;
  readonly onlyContainsCaCerts?: boolean | undefined;
  readonly onlyContainsAttributeCerts?: boolean | undefined;
  /** Bits of `reasonFlags`. */
  readonly onlySomeReasons?: number | undefined;
  readonly indirectCrl?: boolean | undefined;
}

const nameTag = contextConstructed(0);
const userCertsTag = contextPrimitive(1);
const caCertsTag = contextPrimitive(2);
const someReasonsTag = contextPrimitive(3);
const indirectTag = contextPrimitive(4);
const attributeCertsTag = contextPrimitive(5);

/** Throws `DerError`, also when more than one of the three `onlyContains…` is true: such a CRL covers nothing. */
export function readIssuingDistributionPoint(reader: DerReader): IssuingDistributionPoint {
  const start = reader.offset;
  const point = reader.readSequence(readFields);
  if (countScopes(point) > 1)
    reader.fail('an issuingDistributionPoint limits itself to two kinds of certificates', start);
  return point;
}

function readFields(reader: DerReader): IssuingDistributionPoint {
  return {
    name: reader.peek() === nameTag ? reader.readConstructed(nameTag, readDistributionPointName) : undefined,
    onlyContainsUserCerts: readFlag(reader, userCertsTag),
    onlyContainsCaCerts: readFlag(reader, caCertsTag),
    onlySomeReasons: reader.peek() === someReasonsTag ? reader.readNamedBits(someReasonsTag) : undefined,
    indirectCrl: readFlag(reader, indirectTag),
    onlyContainsAttributeCerts: readFlag(reader, attributeCertsTag),
  };
}

function readFlag(reader: DerReader, type: number): boolean {
  if (reader.peek() !== type) return false;
  if (!reader.readBoolean(type)) reader.fail('a BOOLEAN that has its default value is encoded');
  return true;
}

/** Throws `RangeError` when it says nothing (RFC 5280 §5.2.5 forbids that) or contradicts itself. */
export function encodeIssuingDistributionPoint(point: IssuingDistributionPointInput): Buffer {
  if (countScopes(point) > 1) throw new RangeError('a CRL can be limited to one kind of certificates only');
  const { fullName, onlySomeReasons } = point;
  const encoded = sequence([
    fullName && element(nameTag, [encodeFullName(fullName)]),
    encodeFlag(point.onlyContainsUserCerts, 1),
    encodeFlag(point.onlyContainsCaCerts, 2),
    onlySomeReasons === undefined ? undefined : namedBits(onlySomeReasons, someReasonsTag),
    encodeFlag(point.indirectCrl, 4),
    encodeFlag(point.onlyContainsAttributeCerts, 5),
  ]);
  if (encoded.length === 2) throw new RangeError('an issuingDistributionPoint must say something');
  return encoded;
}

function encodeFlag(value: boolean | undefined, number: number): Buffer | undefined {
  return value === true ? contextOctets(number, Uint8Array.of(0xff)) : undefined;
}

function countScopes(point: IssuingDistributionPointInput): number {
  const scopes = [point.onlyContainsUserCerts, point.onlyContainsCaCerts, point.onlyContainsAttributeCerts];
  return scopes.filter((only) => only === true).length;
}
