import { BlockList, isIP } from 'node:net';
import { toRfc3339 } from '#core/clock.ts';
import { formatDuration } from '#core/duration.ts';
import type { RuleConditions } from './rules.ts';

/**
 * What the conditions of a rule mean. Each is a requirement on the request:
 *
 * | condition          | met when                                                            |
 * |--------------------|---------------------------------------------------------------------|
 * | `max_ttl`          | no life is asked for, or one that is not longer                     |
 * | `not_after`        | it is not past that time, and no end after it is asked for          |
 * | `purpose_required` | a purpose is stated that is not blank                               |
 * | `approval`         | somebody else has approved exactly this request                     |
 * | `source_cidrs`     | the source address is known and in one of the ranges                |
 *
 * An *allow* holds when all its conditions are met. Where no life is asked for, `max_ttl` and `not_after` bound what may
 * be issued instead (`Grant.limits`).
 *
 * A *deny* applies when all its conditions hold, and there each is read the other way round: the life is longer than
 * `max_ttl`; it is past `not_after`, or a later end is asked for; no purpose is stated; nobody has approved. Only
 * `source_cidrs` reads the same in both: a deny with ranges is about requests *from* these ranges; an unknown source
 * counts as being in them. A deny that only a life could trigger, where none is asked for, bounds what may be issued to
 * what it would not have denied.
 *
 * Addresses: an IPv4-mapped IPv6 address is the IPv4 address, and never in an IPv6 range.
 */

/** What is asked, as far as conditions look at it. */
export interface Circumstances {
  readonly now: number;
  /** Seconds that are asked for; absent when none are. */
  readonly life: number | undefined;
  /** Milliseconds at which what is asked for would end. */
  readonly end: number | undefined;
  readonly hasPurpose: boolean;
  readonly approved: boolean;
  readonly sourceAddress: string | null;
}

export interface Conditions {
  readonly source: RuleConditions;
  readonly maxTtl: number | undefined;
  readonly notAfter: number | undefined;
  readonly purposeRequired: boolean;
  readonly approval: boolean;
  readonly fromSource: ((address: string | null) => boolean | undefined) | undefined;
}

export function compileConditions(source: RuleConditions): Conditions {
  return {
    source,
    maxTtl: source.max_ttl,
    notAfter: source.not_after,
    purposeRequired: source.purpose_required ?? false,
    approval: source.approval ?? false,
    fromSource: source.source_cidrs === undefined ? undefined : compileRanges(source.source_cidrs),
  };
}

/** Whether an allow holds. */
export function areMet(conditions: Conditions, asked: Circumstances): boolean {
  const { maxTtl, notAfter } = conditions;
  return (
    (maxTtl === undefined || asked.life === undefined || asked.life <= maxTtl) &&
    (notAfter === undefined || !isPast(notAfter, asked)) &&
    (!conditions.purposeRequired || asked.hasPurpose) &&
    (!conditions.approval || asked.approved) &&
    (conditions.fromSource === undefined || conditions.fromSource(asked.sourceAddress) === true)
  );
}

/** Whether a deny applies: yes, no, or only to what lasts longer than the returned time in milliseconds. */
export function applies(conditions: Conditions, asked: Circumstances): boolean | number {
  const { maxTtl, notAfter } = conditions;
  if (conditions.purposeRequired && asked.hasPurpose) return false;
  if (conditions.approval && asked.approved) return false;
  if (conditions.fromSource?.(asked.sourceAddress) === false) return false;
  if (maxTtl === undefined && notAfter === undefined) return true;
  const tooLong = maxTtl === undefined || (asked.life !== undefined && asked.life > maxTtl);
  const tooLate = notAfter === undefined || isPast(notAfter, asked);
  if (tooLong && tooLate) return true;
  // What lasts no longer than either bound breaks only one of the two, so the later one is where the deny begins.
  return Math.max(maxTtl === undefined ? 0 : asked.now + maxTtl * 1000, notAfter ?? 0);
}

function isPast(notAfter: number, asked: Circumstances): boolean {
  return asked.now > notAfter || (asked.end !== undefined && asked.end > notAfter);
}

/** One condition of an allow that a request does not meet, and what would meet it. */
export interface Lack {
  readonly condition: keyof RuleConditions;
  readonly message: string;
}

/** Which conditions of an allow are not met. For explanations. */
export function unmet(conditions: Conditions, asked: Circumstances): Lack[] {
  const { maxTtl, notAfter } = conditions;
  const lacks: Lack[] = [];
  if (maxTtl !== undefined && asked.life !== undefined && asked.life > maxTtl)
    lacks.push({
      condition: 'max_ttl',
      message: `${formatDuration(Math.ceil(asked.life))} is asked for and at most ${formatDuration(maxTtl)} is allowed`,
    });
  if (notAfter !== undefined && isPast(notAfter, asked))
    lacks.push({ condition: 'not_after', message: lateness(notAfter, asked) });
  if (conditions.purposeRequired && !asked.hasPurpose)
    lacks.push({ condition: 'purpose_required', message: 'no purpose is stated and one is required' });
  if (conditions.approval && !asked.approved)
    lacks.push({ condition: 'approval', message: 'somebody else must approve this request first' });
  if (conditions.fromSource !== undefined && conditions.fromSource(asked.sourceAddress) !== true)
    lacks.push({
      condition: 'source_cidrs',
      message: `the request comes from ${asked.sourceAddress === null ? 'an unknown address' : asked.sourceAddress.slice(0, 64)}, allowed is ${(conditions.source.source_cidrs ?? []).join(', ')}`,
    });
  return lacks;
}

function lateness(notAfter: number, asked: Circumstances): string {
  if (asked.now > notAfter) return `the rule ended at ${toRfc3339(notAfter)}`;
  const end = asked.end === undefined ? '' : toRfc3339(asked.end);
  return `validity until ${end} is asked for and the rule ends at ${toRfc3339(notAfter)}`;
}

/** Tells of an address whether it is in one of the ranges; undefined when it is no address. */
function compileRanges(cidrs: readonly string[]): (address: string | null) => boolean | undefined {
  const four = new BlockList();
  const six = new BlockList();
  for (const cidr of cidrs) {
    const [address = '', prefix] = cidr.split('/');
    if (isIP(address) === 4) four.addSubnet(address, Number(prefix ?? 32), 'ipv4');
    else six.addSubnet(address, Number(prefix ?? 128), 'ipv6');
  }
  return (address) => {
    if (address === null) return undefined;
    const family = isIP(address);
    if (family === 0) return undefined;
    if (family === 4) return four.check(address, 'ipv4');
    const bare = address.includes('%') ? address.slice(0, address.indexOf('%')) : address;
    // A BlockList looks through the mapping by itself; `anyFour` only keeps mapped addresses out of IPv6 ranges.
    return anyFour.check(bare, 'ipv6') ? four.check(bare, 'ipv6') : six.check(bare, 'ipv6');
  };
}

const anyFour = new BlockList();
anyFour.addSubnet('0.0.0.0', 0, 'ipv4');
