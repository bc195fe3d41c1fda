import { oids, oidName } from '#pki/x509/oid.ts';
import type { CertificateView } from './certificate-view.ts';
import { attributeFlaw, type NameView, nameTag } from './names-view.ts';
import { must, quoted, type Rule, should } from './rule.ts';

/** RFC 5280 §4.1.2.4 and §4.1.2.6, appendix A.1: issuer and subject. */

type CertificateRule = Rule<CertificateView>;

const issuer = 'RFC 5280 §4.1.2.4';
const subject = 'RFC 5280 §4.1.2.6';
const appendix = 'RFC 5280 appendix A.1';

const flaws = [
  ['empty_attribute', appendix, 'has an attribute without a character', attributeFlaw.empty],
  ['too_long', appendix, 'has an attribute above its upper bound', attributeFlaw.tooLong],
  ['string_type', appendix, 'has an attribute of another string type than the attribute has', attributeFlaw.stringType],
  ['control_character', appendix, 'has an attribute with a control character', attributeFlaw.control],
  ['country', appendix, 'has a countryName that is not two letters', attributeFlaw.country],
] as const;

const subjectFlaws = flaws.map(([code, section, text, flaw]) =>
  must<CertificateView>(`subject_${code}`, section, `the subject ${text}`, (view) => flawed(view.subject, flaw)),
);

/** The issuer's name is copied from its certificate, whatever it is (RFC 5280 §6.1 chains by it): its faults are told. */
const issuerFlaws = flaws.map(([code, section, text, flaw]) =>
  should<CertificateView>(`issuer_${code}`, section, `the issuer ${text}`, (view) => flawed(view.issuer, flaw)),
);

function flawed({ rdns }: NameView, flaw: number): false | string {
  for (const rdn of rdns) {
    for (const attribute of rdn) if ((attribute.flaws & flaw) !== 0) return oidName(attribute.oid);
  }
  return false;
}

export const nameRules: readonly CertificateRule[] = [
  must('issuer_empty', issuer, 'the issuer is empty', (view) => view.issuer.rdns.length === 0),
  must(
    'subject_empty_without_names',
    subject,
    'the subject is empty and there is no subjectAltName',
    ({ subject: { rdns }, values }) => rdns.length === 0 && values.subjectAltName === undefined,
  ),
  must(
    'subject_email_not_in_names',
    subject,
    'an emailAddress of the subject is not in the subjectAltName',
    emailOutsideNames,
  ),
  ...subjectFlaws,
  ...issuerFlaws,
];

const oldStringType = [
  `subject_old_string_type`,
  issuer,
  'the subject has a DirectoryString that is neither PrintableString nor UTF8String',
  (view: CertificateView) => flawed(view.subject, attributeFlaw.oldStringType),
] as const;

/** The other string types are for subjects that have had them before (RFC 5280 §4.1.2.4): authorities. */
export const endEntityNameRules: readonly CertificateRule[] = [must(...oldStringType)];

export const authorityNameRules: readonly CertificateRule[] = [
  must('authority_subject_empty', subject, 'the subject of an authority is empty', (view) => {
    return view.subject.rdns.length === 0;
  }),
  should(...oldStringType),
];

function emailOutsideNames({ subject: { rdns }, values }: CertificateView): boolean | string {
  for (const rdn of rdns) {
    for (const { oid, text } of rdn) {
      if (oid !== oids.emailAddress) continue;
      const names = values.subjectAltName?.value?.names ?? [];
      if (!names.some((name) => name.tag === nameTag.email && name.text === text)) return quoted(text);
    }
  }
  return false;
}
