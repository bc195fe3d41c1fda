import { contextConstructed } from '#pki/asn1/tag.ts';
import { context, integer, oid, retag, sequence, setOf } from '#pki/asn1/writer.ts';

const data = oid('1.2.840.113549.1.7.1');
const signedData = oid('1.2.840.113549.1.7.2');

/**
 * A bundle of certificates in PKCS#7 form (`.p7b`, `application/pkcs7-mime; smime-type=certs-only`): SignedData
 * without content and without signers (RFC 5652 §5.1, RFC 8551 §3.2.2). Certificates are a SET in it: they come out
 * in the order of their encodings, whatever order they are given in, and readers build the chain themselves.
 */
export function encodePkcs7Bundle(certificates: readonly Uint8Array[]): Buffer {
  const none = setOf([]);
  const set = retag(contextConstructed(0), setOf(certificates));
  return sequence([signedData, context(0, [sequence([integer(1), none, sequence([data]), set, none])])]);
}
