import type { CertificateView } from './certificate-view.ts';
import { nameFlaw } from './name-syntax.ts';
import type { GeneralNamesView } from './names-view.ts';
import { must, quoted, type Rule, should } from './rule.ts';

/** RFC 5280 §4.2.1.6 and §4.2.1.7: subjectAltName and issuerAltName; and URIs wherever else they stand. */

type CertificateRule = Rule<CertificateView>;

type Flaw = readonly [code: string, text: string, flaw: number, rule?: typeof must | typeof should];

const uriFlawTable: readonly Flaw[] = [
  ['uri_relative', 'has a URI without a scheme', nameFlaw.uriRelative],
  ['uri_nothing', 'has a URI with nothing after its scheme', nameFlaw.uriNothing],
  ['uri_character', 'has a URI with a character that URIs have not (RFC 3986 §2)', nameFlaw.uriCharacter],
  ['uri_host', 'has a URI whose host is neither a fully qualified name nor an address', nameFlaw.uriHost],
  ['uri_unqualified', 'has a URI whose host is a single label', nameFlaw.uriUnqualified, should],
];

const flawTable: readonly Flaw[] = [
  ['empty', 'has a name that is empty', nameFlaw.empty],
  ['space', 'has the dNSName " "', nameFlaw.space],
  ['dns_too_long', 'has a dNSName of more than 253 characters', nameFlaw.tooLong],
  ['dns_empty_label', 'has a dNSName with an empty label', nameFlaw.emptyLabel],
  ['dns_label_too_long', 'has a dNSName with a label of more than 63 characters', nameFlaw.labelTooLong],
  ['dns_character', 'has a dNSName with a character other than letters, digits and hyphens', nameFlaw.character],
  ['dns_underscore', 'has a dNSName with an underscore', nameFlaw.underscore],
  ['dns_hyphen', 'has a dNSName with a label that begins or ends with a hyphen', nameFlaw.hyphen],
  ['dns_wildcard', 'has a dNSName with a * that is not its whole first label', nameFlaw.wildcard],
  ['dns_address', 'has an address as a dNSName', nameFlaw.address],
  ['dns_a_label', 'has a dNSName with a label that looks like an A-label and is none', nameFlaw.aLabel],
  ['email_mailbox', 'has an rfc822Name that is no mailbox', nameFlaw.mailbox],
  ['ip_length', 'has an iPAddress of neither 4 nor 16 octets', nameFlaw.ipLength],
  ...uriFlawTable,
];

type NamesOf = (view: CertificateView) => GeneralNamesView | undefined;

function rulesOf(prefix: string, label: string, section: string, table: readonly Flaw[], namesOf: NamesOf) {
  return table.map(([code, text, flaw, rule = must]) =>
    rule<CertificateView>(`${prefix}_${code}`, section, `the ${label} ${text}`, (view) => {
      const names = namesOf(view);
      return names !== undefined && (names.flaws & flaw) !== 0 && showFirst(names, flaw);
    }),
  );
}

function showFirst({ names }: GeneralNamesView, flaw: number): string {
  const first = names.find(({ flaws }) => (flaws & flaw) !== 0);
  return quoted(first?.octets?.toString('hex') ?? first?.text ?? '');
}

const subject = 'RFC 5280 §4.2.1.6';

export const alternativeNameRules: readonly CertificateRule[] = [
  ...rulesOf('subject_alt_name', 'subjectAltName', subject, flawTable, (view) => view.values.subjectAltName?.value),
  ...rulesOf('issuer_alt_name', 'issuerAltName', 'RFC 5280 §4.2.1.7', flawTable, (view) => {
    return view.values.issuerAltName?.value;
  }),
  must(
    'subject_alt_name_not_critical',
    subject,
    'the subject is empty and the subjectAltName is not critical',
    ({ subject: { rdns }, values: { subjectAltName } }) => rdns.length === 0 && subjectAltName?.critical === false,
  ),
  should(
    'subject_alt_name_critical',
    subject,
    'the subject is not empty and the subjectAltName is critical',
    ({ subject: { rdns }, values: { subjectAltName } }) => rdns.length > 0 && subjectAltName?.critical === true,
  ),
  ...rulesOf('distribution_point', 'cRLDistributionPoints', 'RFC 5280 §4.2.1.13', uriFlawTable, (view) => {
    return view.values.crlDistributionPoints?.value;
  }),
  ...rulesOf('freshest_crl', 'freshestCRL', 'RFC 5280 §4.2.1.15', uriFlawTable, (view) => {
    return view.values.freshestCrl?.value;
  }),
  ...rulesOf('authority_info', 'authorityInfoAccess', 'RFC 5280 §4.2.2.1', uriFlawTable, (view) => {
    return view.values.authorityInfoAccess?.value;
  }),
  ...rulesOf('subject_info', 'subjectInfoAccess', 'RFC 5280 §4.2.2.2', uriFlawTable, (view) => {
    return view.values.subjectInfoAccess?.value;
  }),
];
