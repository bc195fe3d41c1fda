import { oids } from '#pki/x509/oid.ts';
import type { CertificateView } from './certificate-view.ts';
import type { NameConstraintsView, NoticeView, PolicyView, SubtreeView } from './extension-values.ts';
import { tag } from '#pki/asn1/tag.ts';
import { nameFlaw } from './name-syntax.ts';
import { nameTag } from './names-view.ts';
import { must, quoted, repeated, type Rule, should } from './rule.ts';

/** RFC 5280 §4.2.1.4, §4.2.1.5, §4.2.1.10, §4.2.1.11 and §4.2.1.14: policies and constraints. */

type CertificateRule = Rule<CertificateView>;

const names = 'RFC 5280 §4.2.1.10';
const policies = 'RFC 5280 §4.2.1.4';
const mappings = 'RFC 5280 §4.2.1.5';

function anySubtree(value: NameConstraintsView | undefined, test: (subtree: SubtreeView) => boolean): boolean {
  return value !== undefined && (value.permitted.some(test) || value.excluded.some(test));
}

function flawedSubtree(value: NameConstraintsView | undefined, kind: number, flaws: number): false | string {
  const faulty = ({ tag: type, flaws: found }: SubtreeView) => type === kind && (found & flaws) !== 0;
  const first = value && (value.permitted.find(faulty) ?? value.excluded.find(faulty));
  return first !== undefined && quoted(first.octets?.toString('hex') ?? first.text);
}

const anyFlaw = ~0;

const nameConstraintRules: readonly CertificateRule[] = [
  must('name_constraints_empty', names, 'the nameConstraints hold no subtree', ({ values: { nameConstraints } }) => {
    const value = nameConstraints?.value;
    return value !== undefined && value.permitted.length === 0 && value.excluded.length === 0;
  }),
  must('name_constraints_minimum', names, 'a subtree has a minimum', ({ values: { nameConstraints } }) =>
    anySubtree(nameConstraints?.value, ({ hasMinimum }) => hasMinimum),
  ),
  must('name_constraints_maximum', names, 'a subtree has a maximum', ({ values: { nameConstraints } }) =>
    anySubtree(nameConstraints?.value, ({ hasMaximum }) => hasMaximum),
  ),
  must('name_constraints_dns', names, 'the dNSName of a subtree is none', ({ values: { nameConstraints } }) =>
    flawedSubtree(nameConstraints?.value, nameTag.dns, anyFlaw),
  ),
  must(
    'name_constraints_uri',
    names,
    'the URI of a subtree is no fully qualified name of a host or domain',
    ({ values: { nameConstraints } }) => flawedSubtree(nameConstraints?.value, nameTag.uri, anyFlaw),
  ),
  must(
    'name_constraints_email',
    names,
    'the rfc822Name of a subtree is neither a mailbox nor a host or domain',
    ({ values: { nameConstraints } }) => flawedSubtree(nameConstraints?.value, nameTag.email, anyFlaw),
  ),
  must(
    'name_constraints_ip',
    names,
    'the iPAddress of a subtree is no address with a mask of the form of a prefix',
    ({ values: { nameConstraints } }) => flawedSubtree(nameConstraints?.value, nameTag.ip, nameFlaw.ipLength),
  ),
  should(
    'name_constraints_dns_dot',
    names,
    'the dNSName of a subtree begins with a dot',
    ({ values: { nameConstraints } }) =>
      anySubtree(nameConstraints?.value, ({ tag: type, text }) => type === nameTag.dns && text.startsWith('.')),
  ),
  should(
    'name_constraints_kind',
    names,
    'a subtree is of a kind that cannot be constrained (x400Address, ediPartyName, registeredID)',
    ({ values: { nameConstraints } }) => anySubtree(nameConstraints?.value, ({ tag: type }) => unconstrained.has(type)),
  ),
];

const unconstrained: ReadonlySet<number> = new Set([nameTag.x400, nameTag.ediParty, nameTag.registeredId]);

const noPolicies: readonly PolicyView[] = [];

export function policiesOf({ values: { certificatePolicies } }: CertificateView): readonly PolicyView[] {
  return certificatePolicies?.value ?? noPolicies;
}

function noticeRule(
  rule: typeof must | typeof should,
  code: string,
  section: string,
  text: string,
  test: (notice: NoticeView) => boolean,
): CertificateRule {
  return rule(`policy_notice_${code}`, section, `the text of a policy's user notice ${text}`, (view) =>
    policiesOf(view).some(({ qualifiers }) => qualifiers.some(({ notice }) => notice !== undefined && test(notice))),
  );
}

const control = /\p{Cc}/u;

const policyRules: readonly CertificateRule[] = [
  must('policy_repeated', policies, 'a policy stands twice in the certificatePolicies', (view) => {
    const value = policiesOf(view);
    return value.length > 1 && (repeated(value.map(({ oid }) => oid)) ?? false);
  }),
  must(
    'any_policy_qualifier',
    policies,
    'anyPolicy has a qualifier other than a CPS pointer and a user notice',
    (view) => policiesOf(view).some(({ oid, qualifiers }) => oid === oids.anyPolicy && qualifiers.some(isUnknown)),
  ),
  must('policy_cps', policies, 'a CPS pointer is no URI', (view) =>
    policiesOf(view).some(({ qualifiers }) =>
      qualifiers.some(({ cps }) => cps !== undefined && !/^[A-Za-z][\w+.-]*:./.test(cps)),
    ),
  ),
  should('policy_notice_reference', policies, 'a user notice has a noticeRef', (view) =>
    policiesOf(view).some(({ qualifiers }) => qualifiers.some(({ notice }) => notice?.hasReference === true)),
  ),
  noticeRule(must, 'too_long', policies, 'has more than 200 characters', ({ text }) => {
    return text.length > 200 && Array.from(text).length > 200;
  }),
  noticeRule(must, 'string_type', 'RFC 6818 §3', 'is of a type that DisplayText has not', ({ tag: type }) => {
    return type !== -1 && !displayText.has(type);
  }),
  noticeRule(should, 'not_utf8', 'RFC 6818 §3', 'is no UTF8String', ({ tag: type }) => {
    return displayText.has(type) && type !== tag.utf8String;
  }),
  noticeRule(should, 'control_character', policies, 'has a control character', ({ text }) => control.test(text)),
  noticeRule(
    should,
    'normalization',
    policies,
    'is not in normal form C',
    ({ text }) => text !== text.normalize('NFC'),
  ),
];

/** IA5String stands in DisplayText, but conforming CAs must not use it (RFC 6818 §3). */
const displayText: ReadonlySet<number> = new Set([tag.utf8String, tag.visibleString, tag.bmpString]);

function isUnknown({ cps, notice }: PolicyView['qualifiers'][number]): boolean {
  return cps === undefined && notice === undefined;
}

const mappingRules: readonly CertificateRule[] = [
  must('policy_mappings_any_policy', mappings, 'anyPolicy is mapped', ({ values: { policyMappings } }) => {
    const value = policyMappings?.value ?? [];
    return value.some((pair) => pair.issuerPolicy === oids.anyPolicy || pair.subjectPolicy === oids.anyPolicy);
  }),
  should(
    'policy_mappings_not_asserted',
    mappings,
    'a policy is mapped that is not among the certificatePolicies',
    (view) => {
      const mapped = view.values.policyMappings?.value ?? [];
      const asserted = new Set(mapped.length === 0 ? [] : policiesOf(view).map(({ oid }) => oid));
      return mapped.find(({ issuerPolicy }) => !asserted.has(issuerPolicy))?.issuerPolicy ?? false;
    },
  ),
  must(
    'policy_constraints_empty',
    'RFC 5280 §4.2.1.11',
    'the policyConstraints constrain nothing',
    ({ values: { policyConstraints } }) => {
      const value = policyConstraints?.value;
      return value !== undefined && (value.requireExplicitPolicy ?? value.inhibitPolicyMapping) === undefined;
    },
  ),
];

export const constraintRules: readonly CertificateRule[] = [...nameConstraintRules, ...policyRules, ...mappingRules];

/** What only authorities can be bound by. */
export const endEntityConstraintRules: readonly CertificateRule[] = [
  must('name_constraints_not_in_ca', names, 'nameConstraints stand in a certificate of no authority', ({ values }) => {
    return values.nameConstraints !== undefined;
  }),
  must('policy_mappings_not_in_ca', mappings, 'policyMappings stand in a certificate of no authority', (view) => {
    return view.values.policyMappings !== undefined;
  }),
  must(
    'policy_constraints_not_in_ca',
    'RFC 5280 §4.2.1.11',
    'policyConstraints stand in a certificate of no authority',
    ({ values }) => values.policyConstraints !== undefined,
  ),
  must(
    'inhibit_any_policy_not_in_ca',
    'RFC 5280 §4.2.1.14',
    'inhibitAnyPolicy stands in a certificate of no authority',
    ({ values }) => values.inhibitAnyPolicy !== undefined,
  ),
];
