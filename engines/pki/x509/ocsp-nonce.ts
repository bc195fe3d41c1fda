import { type DerReader, readDer } from '#pki/asn1/reader.ts';
import { octetString } from '#pki/asn1/writer.ts';
import { encodeRawExtension, type Extensions } from './extension.ts';
import { oids } from './oid.ts';

/** Most octets of a nonce; at least one (RFC 9654 §2.1). */
const maxNonce = 128;

/** The octets of the nonce extension; undefined when there is none. Throws `DerError` unless they are 1 to 128. */
export function readNonce(extensions: Extensions | undefined): Buffer | undefined {
  const extension = extensions?.get(oids.ocspNonce);
  return extension && readDer(extension.value, extension.value.length, readNonceOctets);
}

function readNonceOctets(reader: DerReader): Buffer {
  const nonce = reader.readOctetString();
  if (nonce.length === 0 || nonce.length > maxNonce) reader.fail(`a nonce does not have 1 to ${maxNonce} octets`);
  return nonce;
}

/** The nonce extension, DER. Throws `RangeError` unless the nonce has 1 to 128 octets. */
export function encodeNonce(nonce: Uint8Array): Buffer {
  if (nonce.length === 0 || nonce.length > maxNonce) throw new RangeError(`a nonce has 1 to ${maxNonce} octets`);
  return encodeRawExtension(oids.ocspNonce, false, octetString(nonce));
}
