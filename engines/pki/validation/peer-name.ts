import type { Identifier, IdentifierKind } from '#pki/identifier/identifier.ts';
import { kindTitles, parseIdentifier } from '#pki/identifier/identifier.ts';
import { formatGeneralName, type GeneralName } from '#pki/x509/general-name.ts';
import { type Finding, finding } from './finding.ts';
import { isHostName } from './constrained-name.ts';
import type { ParsedCertificate } from './parsed-certificate.ts';

/** Whom the certificate must name. */
export interface PeerName {
  readonly kind: IdentifierKind;
  readonly value: string;
}

const shownNames = 10;

/** Whether the leaf names the peer: by its subjectAltName alone, never by the common name (RFC 9525 §6.1). */
export function peerNameFindings(leaf: ParsedCertificate, peer: PeerName): Finding[] {
  const names = leaf.value('subject_alt_name') ?? [];
  const wanted = parsePeer(peer);
  if (wanted !== undefined && names.some((name) => matches(name, wanted)))
    return 'scheme' in wanted && wanted.scheme === 'spiffe' ? spiffeFindings(leaf, names) : [];
  const shown = names.slice(0, shownNames).map(formatGeneralName).join(', ');
  const rest = names.length > shownNames ? ` and ${names.length - shownNames} more` : '';
  return [
    finding(
      'name_mismatch',
      names.length === 0 ? 'no subjectAltName' : `${shown}${rest}`.slice(0, 2000),
      `the ${kindTitles[peer.kind]} ${peer.value.slice(0, 253)}`,
      'RFC 9525 §6',
      'Connect by a name that the certificate has, or have it reissued with this name.',
    ),
  ];
}

/** X509-SVID §2 and §5.2: one URI, and not of an authority, so that nobody has two identities or makes them. */
function spiffeFindings(leaf: ParsedCertificate, names: readonly GeneralName[]): Finding[] {
  const findings: Finding[] = [];
  const uris = names.filter(({ kind }) => kind === 'uri').length;
  const fix = 'Have it reissued as an X509-SVID: one URI, cA FALSE, and neither keyCertSign nor cRLSign.';
  if (uris > 1) findings.push(finding('name_mismatch', `${uris} URIs`, 'the SPIFFE ID alone', 'X509-SVID §2', fix));
  const usages = leaf.value('key_usage') ?? [];
  const issues = usages.includes('key_cert_sign') || usages.includes('crl_sign');
  if (issues || leaf.value('basic_constraints')?.ca === true)
    findings.push(finding('key_usage', 'a certificate of an authority', 'one of a leaf', 'X509-SVID §5.2', fix));
  return findings;
}

type Wanted = Identifier | { readonly kind: 'dns'; readonly value: string };

/** Host names with underscores are none, and yet in use; mailboxes may hold more than our own issuance allows. */
function parsePeer({ kind, value }: PeerName): Wanted | undefined {
  if (kind === 'dns') return isHostName(value.toLowerCase()) ? { kind, value: value.toLowerCase() } : undefined;
  const parsed = parseIdentifier(kind, value);
  return parsed.kind === 'malformed' ? undefined : parsed;
}

function matches(name: GeneralName, wanted: Wanted): boolean {
  if (name.kind !== wanted.kind) return false;
  if (name.kind === 'ip') return 'bytes' in wanted && Buffer.from(name.bytes).equals(wanted.bytes);
  if (name.kind === 'dns') return matchesDns(name.value.toLowerCase(), wanted.value);
  if (name.kind !== 'uri' && name.kind !== 'email') return false;
  const given = parseIdentifier(name.kind, name.value);
  return given.kind !== 'malformed' && given.value === wanted.value;
}

/** RFC 9525 §6.3: `*` is the whole leftmost label and stands for one label; two labels must follow it. */
function matchesDns(presented: string, wanted: string): boolean {
  if (presented === wanted) return isHostName(presented);
  if (!presented.startsWith('*.')) return false;
  const parent = presented.slice(2);
  const dot = wanted.indexOf('.');
  return parent.includes('.') && isHostName(parent) && dot > 0 && wanted.slice(dot + 1) === parent;
}
