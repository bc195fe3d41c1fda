import type { CertificateView } from './certificate-view.ts';
import { must, type Rule } from './rule.ts';

/** RFC 5280 §4.1.2.5. The form of a time (seconds, Zulu, no fraction) is the DER reader's to check. */
export const validityRules: readonly Rule<CertificateView>[] = [
  must(
    'validity_reversed',
    'RFC 5280 §4.1.2.5',
    'the validity ends before it begins',
    (view) => view.notAfter < view.notBefore,
  ),
  must(
    'validity_generalized_time',
    'RFC 5280 §4.1.2.5',
    'a time before the year 2050 is encoded as GeneralizedTime and not as UTCTime',
    (view) => view.hasEarlyGeneralizedTime,
  ),
];
