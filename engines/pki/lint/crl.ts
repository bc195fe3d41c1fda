import { oids } from '#pki/x509/oid.ts';
import { type CrlEntryView, entryFlaw } from './crl-entries.ts';
import { type CrlView, readCrlView } from './crl-view.ts';
import type { Finding, LintProfile } from './finding.ts';
import { nameFlaw } from './name-syntax.ts';
import { nameTag } from './names-view.ts';
import { judge, must, quoted, repeated, type Rule, should } from './rule.ts';
import { isBrokenScheme, isKnownScheme, isWebPkiScheme, parametersFault } from './signature-algorithm.ts';

/** RFC 5280 §5: certificate revocation lists. */

type CrlRule = Rule<CrlView>;

/**
 * What is wrong with a CRL, DER: what RFC 5280 §5 demands, and with the profile `web_pki` what the Baseline Requirements
 * §7.2 demand as well. At most 8 MiB are read. The signature is not verified. Never throws.
 */
export function lintCrl(
  der: Uint8Array,
  options: { readonly profile: LintProfile } = { profile: 'rfc5280' },
): Finding[] {
  const view = readCrlView(der);
  if ('severity' in view) return [view];
  const findings = [...view.malformed];
  judge(crlRules, view, findings);
  if (options.profile === 'web_pki') judge(webPkiCrlRules, view, findings);
  return findings;
}

const structureRules: readonly CrlRule[] = [
  must('crl_version', 'RFC 5280 §5.1.2.1', 'the CRL is not of version 2', ({ version }) => version !== 2),
  should(
    'crl_signature_algorithm_unknown',
    'RFC 5280 §5.1.1.2',
    'the signature algorithm is none of RFC 3279, 4055, 5758, 8410 and 9881',
    ({ signature }) => !isKnownScheme(signature) && signature.oid,
  ),
  should(
    'crl_signature_algorithm_broken',
    'RFC 6194 §3',
    'the signature algorithm uses a hash that is broken (MD2, MD5, SHA-1)',
    ({ signature }) => isBrokenScheme(signature),
  ),
  must(
    'crl_signature_parameters',
    'RFC 5280 §5.1.1.2',
    'the parameters of the signature algorithm are not as its standard has them',
    ({ signature }) => parametersFault(signature),
  ),
  must(
    'crl_signature_algorithm_differs',
    'RFC 5280 §5.1.2.2',
    'the signature algorithm is not the one that is signed',
    ({ signature, outerSignature: outer }) =>
      signature.oid !== outer.oid || signature.parameters?.toString('hex') !== outer.parameters?.toString('hex'),
  ),
  must('crl_issuer_empty', 'RFC 5280 §5.1.2.3', 'the issuer is empty', ({ issuer }) => issuer.rdns.length === 0),
  must('crl_next_update_missing', 'RFC 5280 §5.1.2.5', 'there is no nextUpdate', (view) => {
    return view.nextUpdate === undefined;
  }),
  must(
    'crl_next_update_early',
    'RFC 5280 §5.1.2.5',
    'nextUpdate is not after thisUpdate',
    ({ thisUpdate, nextUpdate }) => nextUpdate !== undefined && nextUpdate <= thisUpdate,
  ),
  must(
    'crl_generalized_time',
    'RFC 5280 §5.1.2.4',
    'a time before the year 2050 is encoded as GeneralizedTime and not as UTCTime',
    (view) => view.hasEarlyGeneralizedTime,
  ),
];

const number = 'RFC 5280 §5.2.3';
const delta = 'RFC 5280 §5.2.4';
const point = 'RFC 5280 §5.2.5';

function isNumber(octets: Buffer): boolean {
  return octets.length <= 20 && (octets[0] ?? 0) < 0x80;
}

const extensionRules: readonly CrlRule[] = [
  must('crl_extension_repeated', 'RFC 5280 §4.2', 'an extension stands twice', ({ extensions }) => {
    return repeated(extensions.map(({ oid }) => oid)) ?? false;
  }),
  must(
    'crl_authority_key_identifier_missing',
    'RFC 5280 §5.2.1',
    'there is no authorityKeyIdentifier with a keyIdentifier',
    ({ values: { authorityKeyIdentifier: identifier } }) =>
      identifier === undefined || (identifier.value !== undefined && !identifier.value.keyIdentifier?.length),
  ),
  must(
    'crl_authority_key_identifier_critical',
    'RFC 5280 §4.2.1.1',
    'the authorityKeyIdentifier is critical',
    ({ values }) => values.authorityKeyIdentifier?.critical === true,
  ),
  should('crl_issuer_alt_name_critical', 'RFC 5280 §5.2.2', 'the issuerAltName is critical', ({ values }) => {
    return values.issuerAltName?.critical === true;
  }),
  must('crl_number_missing', number, 'there is no cRLNumber', ({ values }) => values.crlNumber === undefined),
  must('crl_number_critical', number, 'the cRLNumber is critical', ({ values }) => values.crlNumber?.critical === true),
  must('crl_number_range', number, 'the cRLNumber is negative or takes more than 20 octets', ({ values }) => {
    const octets = values.crlNumber?.value;
    return octets !== undefined && !isNumber(octets);
  }),
  must('crl_delta_not_critical', delta, 'the deltaCRLIndicator is not critical', ({ values }) => {
    return values.deltaCrlIndicator?.critical === false;
  }),
  must('crl_delta_base', delta, 'the deltaCRLIndicator is no number up to the cRLNumber', ({ values }) => {
    const base = values.deltaCrlIndicator?.value;
    const own = values.crlNumber?.value;
    return base !== undefined && own !== undefined && (!isNumber(base) || toNumber(base) > toNumber(own));
  }),
  must('crl_freshest_in_delta', 'RFC 5280 §5.2.6', 'a delta CRL has a freshestCRL', ({ values }) => {
    return values.deltaCrlIndicator !== undefined && values.freshestCrl !== undefined;
  }),
  must('crl_freshest_critical', 'RFC 5280 §5.2.6', 'the freshestCRL is critical', ({ values }) => {
    return values.freshestCrl?.critical === true;
  }),
  must('crl_info_access_critical', 'RFC 5280 §5.2.7', 'the authorityInfoAccess is critical', ({ values }) => {
    return values.authorityInfoAccess?.critical === true;
  }),
  must(
    'crl_info_access_method',
    'RFC 5280 §5.2.7',
    'the authorityInfoAccess has a method other than caIssuers',
    ({ values: { authorityInfoAccess } }) =>
      authorityInfoAccess?.value?.accesses.some(({ method }) => method !== oids.accessCaIssuers) ?? false,
  ),
  should(
    'crl_extension_unknown_critical',
    'RFC 5280 §5.2',
    'an extension is critical that is none of RFC 5280',
    (view) => {
      return view.extensions.find(({ oid, critical }) => critical && !known.has(oid))?.oid ?? false;
    },
  ),
];

function toNumber(octets: Buffer): bigint {
  return BigInt(`0x${octets.toString('hex')}`);
}

const known: ReadonlySet<string> = new Set([
  oids.authorityKeyIdentifier,
  oids.issuerAltName,
  oids.crlNumber,
  oids.deltaCrlIndicator,
  oids.issuingDistributionPoint,
  oids.freshestCrl,
  oids.authorityInfoAccess,
]);

const anyUriFlaw =
  nameFlaw.empty | nameFlaw.uriRelative | nameFlaw.uriNothing | nameFlaw.uriCharacter | nameFlaw.uriHost;

const issuingPointRules: readonly CrlRule[] = [
  must('crl_issuing_point_not_critical', point, 'the issuingDistributionPoint is not critical', ({ values }) => {
    return values.issuingDistributionPoint?.critical === false;
  }),
  must('crl_issuing_point_empty', point, 'the issuingDistributionPoint says nothing', ({ values }) => {
    const value = values.issuingDistributionPoint?.value;
    return value !== undefined && Object.values(value).every((part) => part === undefined || part === false);
  }),
  must(
    'crl_issuing_point_scopes',
    point,
    'the issuingDistributionPoint limits itself to two kinds of certificates',
    ({ values: { issuingDistributionPoint } }) => {
      const value = issuingDistributionPoint?.value;
      return [value?.onlyUserCerts, value?.onlyCaCerts, value?.onlyAttributeCerts].filter(Boolean).length > 1;
    },
  ),
  must('crl_issuing_point_uri', point, 'the issuingDistributionPoint has a URI that is none', ({ values }) => {
    const names = values.issuingDistributionPoint?.value?.fullName?.names ?? [];
    const first = names.find(({ tag, flaws }) => tag === nameTag.uri && (flaws & anyUriFlaw) !== 0);
    return first !== undefined && quoted(first.text);
  }),
];

const list = 'RFC 5280 §5.1.2.6';
const reason = 'RFC 5280 §5.3.1';
const issuer = 'RFC 5280 §5.3.3';

function serialOf(entry: CrlEntryView | undefined): string {
  return `serial number ${entry?.serial.toString('hex', 0, 20)}`;
}

function entryRule(
  rule: typeof must | typeof should,
  code: string,
  section: string,
  message: string,
  flaw: number,
  isExcused: (view: CrlView) => boolean = () => false,
): CrlRule {
  return rule(code, section, message, (view) => {
    if ((view.entryFlaws & flaw) === 0 || isExcused(view)) return false;
    return serialOf(view.entries.find(({ flaws }) => (flaws & flaw) !== 0));
  });
}

const entryRules: readonly CrlRule[] = [
  must('crl_list_empty', list, 'there is a revokedCertificates without an entry', ({ hasList, entries }) => {
    return hasList && entries.length === 0;
  }),
  must('crl_entry_repeated', list, 'a certificate stands on the CRL twice', (view) => repeatedEntry(view.entries)),
  must('crl_entry_revoked_later', list, 'a certificate was revoked after thisUpdate', (view) => {
    if (view.lastRevocation <= view.thisUpdate) return false;
    return serialOf(view.entries.find(({ revokedAt }) => revokedAt > view.thisUpdate));
  }),
  entryRule(
    should,
    'crl_entry_serial',
    'RFC 5280 §4.1.2.2',
    'a serial number is not positive or takes more than 20 octets',
    entryFlaw.serial,
  ),
  entryRule(
    must,
    'crl_entry_generalized_time',
    list,
    'a revocation before the year 2050 is dated as GeneralizedTime and not as UTCTime',
    entryFlaw.earlyGeneralizedTime,
  ),
  entryRule(
    must,
    'crl_entry_extension_repeated',
    'RFC 5280 §4.2',
    'an extension of an entry stands twice',
    entryFlaw.extensionRepeated,
  ),
  entryRule(must, 'crl_entry_reason_critical', reason, 'a reasonCode is critical', entryFlaw.reasonCritical),
  entryRule(
    must,
    'crl_entry_reason_unspecified',
    reason,
    'a reasonCode is unspecified, which is said by leaving it out',
    entryFlaw.reasonUnspecified,
  ),
  entryRule(must, 'crl_entry_reason_unknown', reason, 'a reasonCode is none', entryFlaw.reasonUnknown),
  entryRule(
    must,
    'crl_entry_reason_remove',
    reason,
    'a CRL that is no delta CRL has removeFromCRL',
    entryFlaw.removeFromCrl,
    ({ values }) => values.deltaCrlIndicator !== undefined,
  ),
  entryRule(
    must,
    'crl_entry_invalidity_date_critical',
    'RFC 5280 §5.3.2',
    'an invalidityDate is critical',
    entryFlaw.invalidityDateCritical,
  ),
  entryRule(
    must,
    'crl_entry_issuer_not_critical',
    issuer,
    'a certificateIssuer is not critical',
    entryFlaw.issuerNotCritical,
  ),
  entryRule(
    must,
    'crl_entry_issuer_name',
    issuer,
    'a certificateIssuer has no directoryName',
    entryFlaw.issuerWithoutName,
  ),
  entryRule(
    must,
    'crl_entry_issuer_direct',
    issuer,
    'a CRL that is not indirect has a certificateIssuer',
    entryFlaw.issuer,
    ({ values }) => values.issuingDistributionPoint?.value?.indirect === true,
  ),
  entryRule(
    should,
    'crl_entry_unknown_critical',
    'RFC 5280 §5.3',
    'an extension of an entry is critical and not known',
    entryFlaw.unknownCritical,
  ),
];

/** Serial numbers are the issuer's own; on an indirect CRL the issuer is of the entry or the last before it that says so. */
function repeatedEntry(entries: readonly CrlEntryView[]): false | string {
  const seen = new Set<string>();
  let prefix = '';
  for (const { serial, issuer: own } of entries) {
    if (own !== undefined) prefix = own.names.map(({ directory }) => directory?.der.toString('latin1') ?? '').join('/');
    const key = prefix === '' ? serial.toString('latin1') : `${prefix}/${serial.toString('latin1')}`;
    if (seen.has(key)) return `serial number ${serial.toString('hex', 0, 20)}`;
    seen.add(key);
  }
  return false;
}

export const crlRules: readonly CrlRule[] = [...structureRules, ...extensionRules, ...issuingPointRules, ...entryRules];

const webPki = 'Baseline Requirements §7.2.2';
const day = 86_400_000;

export const webPkiCrlRules: readonly CrlRule[] = [
  must(
    'web_pki_crl_signature_algorithm',
    'Baseline Requirements §7.1.3.2',
    'the signature algorithm is neither RSA nor ECDSA with SHA-256, SHA-384 or SHA-512',
    ({ signature }) => !isWebPkiScheme(signature) && signature.oid,
  ),
  must(
    'web_pki_crl_key_identifier',
    'Baseline Requirements §7.1.2.11.1',
    'the authorityKeyIdentifier has authorityCertIssuer or authorityCertSerialNumber',
    ({ values: { authorityKeyIdentifier } }) => {
      const value = authorityKeyIdentifier?.value;
      return value !== undefined && (value.hasSerial || value.issuer !== undefined);
    },
  ),
  must(
    'web_pki_crl_next_update',
    'Baseline Requirements §4.9.7',
    'nextUpdate is more than 10 days after thisUpdate, or 12 months where only authorities are listed',
    ({ thisUpdate, nextUpdate, values: { issuingDistributionPoint } }) => {
      const most = issuingDistributionPoint?.value?.onlyCaCerts === true ? 366 : 10;
      return nextUpdate !== undefined && nextUpdate - thisUpdate > most * day;
    },
  ),
  entryRule(must, 'web_pki_crl_reason', webPki, 'a reasonCode is none of 1, 3, 4, 5 and 9', entryFlaw.reasonNotWebPki),
];
