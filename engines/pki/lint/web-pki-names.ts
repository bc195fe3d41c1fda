import { isIP } from 'node:net';
import { oids } from '#pki/x509/oid.ts';
import type { CertificateView } from './certificate-view.ts';
import { nameFlaw } from './name-syntax.ts';
import { type GeneralNameView, nameTag } from './names-view.ts';
import { isReservedAddress } from './reserved-addresses.ts';
import { must, quoted, type Rule, should } from './rule.ts';
import { topLevelDomains } from './top-level-domains.ts';

/** Baseline Requirements §7.1.2.7.12 and §7.1.2.7.1: the names of subscribers. */

type CertificateRule = Rule<CertificateView>;

const names = 'Baseline Requirements §7.1.2.7.12';

const refusedKinds = [
  ['other', 'an otherName', nameTag.other],
  ['email', 'an rfc822Name', nameTag.email],
  ['x400', 'an x400Address', nameTag.x400],
  ['directory', 'a directoryName', nameTag.directory],
  ['edi_party', 'an ediPartyName', nameTag.ediParty],
  ['uri', 'a URI', nameTag.uri],
  ['registered_id', 'a registeredID', nameTag.registeredId],
] as const;

const kindRules = refusedKinds.map(([code, text, kind]) =>
  must<CertificateView>(`web_pki_${code}_name`, names, `the subjectAltName has ${text}`, (view) => {
    return namesOf(view).some(({ tag }) => tag === kind);
  }),
);

const noNames: readonly GeneralNameView[] = [];

export function namesOf({ values: { subjectAltName } }: CertificateView): readonly GeneralNameView[] {
  return subjectAltName?.value?.names ?? noNames;
}

/** The first dNSName that the test finds, quoted; dNSNames that are no names at all are told by other rules. */
function firstDns(view: CertificateView, test: (name: string) => boolean): false | string {
  for (const { tag, text, flaws } of namesOf(view)) {
    const isName = tag === nameTag.dns && (flaws & ~nameFlaw.reservedLabel) === 0;
    if (isName && test(text.toLowerCase())) return quoted(text);
  }
  return false;
}

function lastLabel(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}

export const subscriberNameRules: readonly CertificateRule[] = [
  must('web_pki_names_missing', names, 'there is no subjectAltName', ({ values }) => {
    return values.subjectAltName === undefined;
  }),
  ...kindRules,
  must('web_pki_reserved_address', names, 'the subjectAltName has a reserved address', (view) => {
    return namesOf(view).some(({ octets }) => octets !== undefined && isReservedAddress(octets));
  }),
  must(
    'web_pki_reserved_label',
    names,
    'a dNSName has a label with hyphens in third and fourth place that is no A-label',
    (view) => namesOf(view).some(({ flaws }) => (flaws & nameFlaw.reservedLabel) !== 0),
  ),
  must('web_pki_internal_name', names, 'a dNSName is below no top-level domain of the root zone', (view) =>
    firstDns(view, (name) => lastLabel(name) !== 'onion' && !topLevelDomains.has(lastLabel(name))),
  ),
  must('web_pki_bare_domain', names, 'a dNSName is a top-level domain', (view) =>
    firstDns(view, (name) => topLevelDomains.has(name)),
  ),
  should(
    'web_pki_wildcard_domain',
    'Baseline Requirements §3.2.2.6',
    'a dNSName is a wildcard for all of a top-level domain',
    (view) => firstDns(view, (name) => name.startsWith('*.') && topLevelDomains.has(name.slice(2))),
  ),
  must('web_pki_reverse_zone', 'Baseline Requirements §4.2.2', 'a dNSName is in the zone of reverse look-ups', (view) =>
    firstDns(view, (name) => /(?:^|\.)(?:in-addr|ip6)\.arpa$/.test(name)),
  ),
  must(
    'web_pki_onion',
    'Baseline Requirements appendix B',
    'a dNSName below onion is not the address of an onion service of version 3',
    (view) => firstDns(view, (name) => lastLabel(name) === 'onion' && !onionService.test(name)),
  ),
  must(
    'web_pki_common_name',
    'Baseline Requirements §7.1.4.3',
    'a commonName is none of the names of the subjectAltName, character for character',
    commonNameOutsideNames,
  ),
  should(
    'web_pki_common_name_present',
    'Baseline Requirements §7.1.2.7.1',
    'the subject has a commonName, which is not recommended',
    (view) => commonNames(view).length > 0,
  ),
];

const onionService = /(?:^|\.)[a-z2-7]{56}\.onion$/;

export function commonNames({ subject: { rdns } }: CertificateView): string[] {
  return rdns.flatMap((rdn) => rdn.filter(({ oid }) => oid === oids.commonName).map(({ text }) => text));
}

function commonNameOutsideNames(view: CertificateView): false | string {
  const found = commonNames(view).find((name) => !namesOf(view).some((other) => isSameName(name, other)));
  return found !== undefined && quoted(found);
}

function isSameName(text: string, name: GeneralNameView): boolean {
  if (name.tag === nameTag.dns) return name.text === text;
  return name.octets !== undefined && isIP(text) !== 0 && text === addressText(name.octets);
}

/** Dotted decimal, or RFC 5952: what a commonName must hold for an address (§7.1.4.3). */
function addressText(octets: Buffer): string {
  if (octets.length === 4) return octets.join('.');
  if (octets.length !== 16) return '';
  const host = new URL(`http://[${octets.toString('hex').replaceAll(/(....)(?=.)/g, '$1:')}]/`).hostname;
  return host.slice(1, -1);
}
