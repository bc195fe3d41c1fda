import type { CertificateView } from './certificate-view.ts';
import { must, repeated, type Rule, should } from './rule.ts';
import { isBrokenScheme, isKnownScheme, parametersFault } from './signature-algorithm.ts';

/** RFC 5280 §4.1: version, serial number, signature algorithm, unique identifiers, the list of extensions. */

type CertificateRule = Rule<CertificateView>;

const serial = 'RFC 5280 §4.1.2.2';

export const structureRules: readonly CertificateRule[] = [
  must(
    'version_not_3',
    'RFC 5280 §4.1.2.1',
    'the certificate has extensions and is not of version 3',
    ({ version, extensions }) => version !== 3 && extensions.length > 0,
  ),
  must('serial_zero', serial, 'the serial number is zero', (view) => view.serial.length === 1 && view.serial[0] === 0),
  must('serial_negative', serial, 'the serial number is negative', (view) => (view.serial[0] ?? 0) >= 0x80),
  must('serial_too_long', serial, 'the serial number takes more than 20 octets', (view) => view.serial.length > 20),
  should(
    'signature_algorithm_unknown',
    'RFC 5280 §4.1.1.2',
    'the signature algorithm is none of RFC 3279, 4055, 5758, 8410 and 9881',
    ({ signature }) => !isKnownScheme(signature) && signature.oid,
  ),
  should(
    'signature_algorithm_broken',
    'RFC 6194 §3',
    'the signature algorithm uses a hash that is broken (MD2, MD5, SHA-1)',
    ({ signature }) => isBrokenScheme(signature),
  ),
  must(
    'signature_parameters',
    'RFC 5280 §4.1.1.2',
    'the parameters of the signature algorithm are not as its standard has them',
    ({ signature }) => parametersFault(signature),
  ),
  must(
    'unique_identifiers',
    'RFC 5280 §4.1.2.8',
    'there is an issuerUniqueID or a subjectUniqueID',
    (view) => view.hasUniqueIdentifiers,
  ),
  must('extension_repeated', 'RFC 5280 §4.2', 'an extension stands twice', ({ extensions }) => {
    return repeatedExtension(extensions) ?? false;
  }),
];

function repeatedExtension(extensions: CertificateView['extensions']): string | undefined {
  return repeated(extensions.map(({ oid }) => oid));
}
