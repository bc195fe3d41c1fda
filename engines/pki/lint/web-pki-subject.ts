import { oids, oidName } from '#pki/x509/oid.ts';
import type { CertificateView } from './certificate-view.ts';
import { policiesOf } from './constraints.ts';
import { countryCodes } from './country-codes.ts';
import type { AttributeView } from './names-view.ts';
import { must, quoted, repeated, type Rule } from './rule.ts';

/** Baseline Requirements §7.1.4 and §7.1.2.7.2 to §7.1.2.7.5: the subject, and what the kind of validation puts in it. */

type CertificateRule = Rule<CertificateView>;

/** Reserved policy identifiers (§7.1.6.1). */
export const reservedPolicy = {
  extendedValidated: '2.23.140.1.1',
  domainValidated: '2.23.140.1.2.1',
  organizationValidated: '2.23.140.1.2.2',
  individualValidated: '2.23.140.1.2.3',
} as const;

export function hasPolicy(view: CertificateView, policy: string): boolean {
  return policiesOf(view).some(({ oid }) => oid === policy);
}

function attributesOf({ subject: { rdns } }: CertificateView): readonly AttributeView[] {
  return rdns.length === 0 ? noAttributes : rdns.flat();
}

const noAttributes: readonly AttributeView[] = [];

export function hasAttribute({ subject: { rdns } }: CertificateView, ...types: readonly string[]): boolean {
  return rdns.some((rdn) => rdn.some(({ oid }) => types.includes(oid)));
}

/** Order in which the attributes stand (§7.1.4.2, table of encodings). */
const order: readonly string[] = [
  oids.domainComponent,
  oids.countryName,
  oids.stateOrProvinceName,
  oids.localityName,
  oids.postalCode,
  oids.streetAddress,
  oids.organizationName,
  oids.surname,
  oids.givenName,
  oids.organizationalUnitName,
  oids.commonName,
];

const repeatable: ReadonlySet<string> = new Set([oids.domainComponent, oids.streetAddress]);

const subject = 'Baseline Requirements §7.1.4.2';

/** Every certificate. */
export const subjectRules: readonly CertificateRule[] = [
  must(
    'web_pki_multiple_attributes',
    'Baseline Requirements §7.1.4.1',
    'an RDN of the subject has two attributes',
    (view) => {
      return view.subject.rdns.some((rdn) => rdn.length > 1);
    },
  ),
  must(
    'web_pki_attribute_repeated',
    'Baseline Requirements §7.1.4.1',
    'an attribute stands twice in the subject',
    (view) => {
      const types = attributesOf(view).map(({ oid }) => oid);
      const twice = types.length > 1 ? repeated(types.filter((oid) => !repeatable.has(oid))) : undefined;
      return twice !== undefined && oidName(twice);
    },
  ),
  must('web_pki_country', subject, 'the countryName is no code of ISO 3166-1', (view) => {
    const other = attributesOf(view).find(({ oid, text }) => oid === oids.countryName && !countryCodes.has(text));
    return other !== undefined && quoted(other.text);
  }),
  must(
    'web_pki_attribute_says_nothing',
    subject,
    'an attribute of the subject says nothing: it has neither a letter nor a digit',
    (view) => {
      const other = attributesOf(view).find(({ text }) => text !== '' && !/[A-Za-z0-9\u0080-\u{10ffff}]/u.test(text));
      return other !== undefined && oidName(other.oid);
    },
  ),
  must('web_pki_unit', 'Baseline Requirements §7.1.2.7.2', 'the subject has an organizationalUnitName', (view) => {
    return hasAttribute(view, oids.organizationalUnitName);
  }),
];

const person = [oids.givenName, oids.surname] as const;
const place = [oids.localityName, oids.stateOrProvinceName] as const;
const identity = [oids.organizationName, ...person] as const;

const organization = 'Baseline Requirements §7.1.2.7.4';
const individual = 'Baseline Requirements §7.1.2.7.3';

/** Certificates of subscribers. */
export const subscriberSubjectRules: readonly CertificateRule[] = [
  must('web_pki_attribute_order', subject, 'the attributes of the subject are not in their order', (view) => {
    const places = attributesOf(view).map(({ oid }) => order.indexOf(oid));
    const known = places.filter((index) => index !== -1);
    return known.some((index, at) => at > 0 && index < (known[at - 1] ?? 0));
  }),
  must(
    'web_pki_domain_validated',
    'Baseline Requirements §7.1.2.7.2',
    'by its policy only the domain is validated, and the subject has more than countryName and commonName',
    (view) =>
      hasPolicy(view, reservedPolicy.domainValidated) &&
      attributesOf(view).some(({ oid }) => oid !== oids.countryName && oid !== oids.commonName),
  ),
  must(
    'web_pki_organization_name',
    organization,
    'by its policy the organization is validated, and the subject has no organizationName',
    (view) => hasPolicy(view, reservedPolicy.organizationValidated) && !hasAttribute(view, oids.organizationName),
  ),
  must(
    'web_pki_individual_name',
    individual,
    'by its policy a person is validated, and the subject has not both givenName and surname',
    (view) => hasPolicy(view, reservedPolicy.individualValidated) && !person.every((type) => hasAttribute(view, type)),
  ),
  must(
    'web_pki_person_policy',
    individual,
    'the subject names a person and no policy says that it was validated',
    (view) => {
      return hasAttribute(view, ...person) && !hasPolicy(view, reservedPolicy.individualValidated);
    },
  ),
  must(
    'web_pki_identity_place',
    subject,
    'the subject names an organization or a person, and not the country with a locality or province',
    (view) =>
      hasAttribute(view, ...identity) && !(hasAttribute(view, oids.countryName) && hasAttribute(view, ...place)),
  ),
  must(
    'web_pki_place_of_nobody',
    subject,
    'the subject has an address and neither an organization nor a person',
    (view) => hasAttribute(view, ...place, oids.postalCode, oids.streetAddress) && !hasAttribute(view, ...identity),
  ),
];

const authority = 'Baseline Requirements §7.1.2.10.2';

/** Certificates of authorities. */
export const authoritySubjectRules: readonly CertificateRule[] = [
  must('web_pki_authority_common_name', authority, 'the subject of an authority has no commonName', (view) => {
    return !hasAttribute(view, oids.commonName);
  }),
  must('web_pki_authority_country', authority, 'the subject of an authority has no countryName', (view) => {
    return !hasAttribute(view, oids.countryName);
  }),
  must('web_pki_authority_organization', authority, 'the subject of an authority has no organizationName', (view) => {
    return !hasAttribute(view, oids.organizationName);
  }),
];
