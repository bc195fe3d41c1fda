import { alternativeNameRules } from './alternative-names.ts';
import type { CertificateView } from './certificate-view.ts';
import { constraintRules, endEntityConstraintRules } from './constraints.ts';
import {
  authorityExtensionRules,
  endEntityExtensionRules,
  extensionRules,
  ocspSignerRules,
  subjectKeyIdentifierRules,
} from './extensions.ts';
import type { LintKind, LintOptions } from './finding.ts';
import { keyRules } from './keys.ts';
import { authorityNameRules, endEntityNameRules, nameRules } from './names.ts';
import { pointerRules } from './pointers.ts';
import type { Rule } from './rule.ts';
import { structureRules } from './structure.ts';
import { validityRules } from './validity.ts';
import { webPkiAuthorityRules } from './web-pki-authority.ts';
import { subscriberNameRules } from './web-pki-names.ts';
import { subscriberSubjectRules } from './web-pki-subject.ts';
import { webPkiResponderRules, webPkiRules, webPkiSubscriberRules } from './web-pki.ts';

/** Which rules hold for which certificates. */

type CertificateRules = readonly Rule<CertificateView>[];

const everyCertificate: CertificateRules = [
  ...structureRules,
  ...validityRules,
  ...nameRules,
  ...keyRules,
  ...extensionRules,
  ...alternativeNameRules,
  ...constraintRules,
  ...pointerRules,
];

const endEntity: CertificateRules = [
  ...everyCertificate,
  ...endEntityNameRules,
  ...endEntityExtensionRules,
  ...endEntityConstraintRules,
];

const rfc5280: Readonly<Record<LintKind, CertificateRules>> = {
  leaf: [...endEntity, ...subjectKeyIdentifierRules],
  authority: [...everyCertificate, ...authorityNameRules, ...authorityExtensionRules],
  ocsp_signer: [...endEntity, ...ocspSignerRules],
};

/** Where RFC 5280 recommends the subjectKeyIdentifier, the Baseline Requirements do the opposite. */
const webPki: Readonly<Record<LintKind, CertificateRules>> = {
  leaf: [...endEntity, ...webPkiRules, ...webPkiSubscriberRules, ...subscriberNameRules, ...subscriberSubjectRules],
  authority: [...rfc5280.authority, ...webPkiRules, ...webPkiAuthorityRules],
  ocsp_signer: [...rfc5280.ocsp_signer, ...webPkiRules, ...webPkiResponderRules],
};

export function certificateRules({ kind, profile }: LintOptions): CertificateRules {
  return (profile === 'web_pki' ? webPki : rfc5280)[kind];
}
