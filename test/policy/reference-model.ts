import type { PolicyRequest } from '#policy/decide.ts';
import type { Rule } from '#policy/rules.ts';

/** The meaning of policies in few words, slow and obvious; `decide` must agree with it on every request. */

const segment = '(\\*|[a-z0-9]([a-z0-9._-]*[a-z0-9])?)';
const normal = new RegExp(`^(?!.*\\.\\.)${segment}(/${segment})*$`);
const expressions = new Map<string, RegExp>();

function like(glob: string, separator: '.' | '/', text: string): boolean {
  const words: Record<string, string> = { '**': '.+', '*': `[^${separator}]*`, '.': '[.]' };
  const known = expressions.get(separator + glob);
  const compile = () => new RegExp(`^${glob.replaceAll(/\*\*|\*|\./g, (word) => words[word] ?? '')}$`);
  if (known === undefined) expressions.set(separator + glob, compile());
  return (known ?? compile()).test(text);
}

function isInRange(address: string | null, cidr: string): boolean {
  const [base = '', length = '32'] = cidr.split('/');
  const bits = (ip: string) => ip.replace('::ffff:', '').split('.').map(byteBits).join('');
  return address !== null && bits(address).startsWith(bits(base).slice(0, Number(length)));
}
const byteBits = (byte: string): string => Number(byte).toString(2).padStart(8, '0');

function holds({ effect, conditions: c = {} }: Rule, q: PolicyRequest, end: number | undefined): boolean {
  const broken: boolean[] = [];
  if (c.max_ttl) broken.push(end !== undefined && end > q.now + c.max_ttl * 1000);
  if (c.not_after) broken.push(q.now > c.not_after || (end !== undefined && end > c.not_after));
  if (c.purpose_required) broken.push(q.purpose === undefined);
  if (c.approval) broken.push(!q.approved);
  const outside = c.source_cidrs && !c.source_cidrs.some((cidr) => isInRange(q.sourceAddress, cidr));
  if (effect === 'allow') return !broken.includes(true) && !outside;
  return !broken.includes(false) && (!outside || q.sourceAddress === null);
}

/** The outcome, and the latest end (milliseconds) that could have been asked for: the bound of what may be issued. */
export function reference(rules: readonly Rule[], q: PolicyRequest): { outcome: string; latest: number } {
  const matching = rules
    .filter((rule) => normal.test(q.resource) && rule.resources.some((glob) => like(glob, '/', q.resource)))
    .filter((rule) => rule.operations.some((glob) => like(glob === '*' ? '**' : glob, '.', q.operation)));
  const passes = (end: number | undefined, request = q): boolean =>
    matching.some((rule) => rule.effect === 'allow' && holds(rule, request, end)) &&
    !matching.some((rule) => rule.effect === 'deny' && holds(rule, request, end));
  const ends = [...(q.ttl ? [q.now + q.ttl * 1000] : []), ...(q.notAfter ? [q.notAfter] : [])];
  const asked = ends.length === 0 ? undefined : Math.max(...ends);
  const outcome = passes(asked) ? 'allowed' : passes(asked, { ...q, approved: true }) ? 'approval_required' : 'denied';
  const bounds = matching.flatMap(({ conditions: c = {} }) => [q.now + (c.max_ttl ?? 0) * 1000, c.not_after ?? 0]);
  return {
    outcome,
    latest: outcome === 'allowed' ? Math.max(...[Infinity, ...bounds].filter((end) => passes(end))) : 0,
  };
}
