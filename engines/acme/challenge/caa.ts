import { DnsError } from '#acme/dns/exchange.ts';
import type { CaaProperty } from '#acme/dns/message.ts';
import { parentName } from '#acme/dns/name.ts';
import type { Perspective } from '#acme/dns/perspective.ts';
import type { CaaAttempt, ChallengeResult } from './contract.ts';
import { failed, passed, refused } from './outcome.ts';

/** Certification Authority Authorization (RFC 8659), bound to accounts and methods (RFC 8657). */

const knownTags: ReadonlySet<string> = new Set(['issue', 'issuewild', 'iodef', 'contactemail', 'contactphone']);

/** Whether the CAA records that hold for a name allow this CA to issue. A lookup that fails forbids (RFC 8659 §3). */
export async function judgeCaa(
  attempt: CaaAttempt,
  perspective: Perspective,
  signal: AbortSignal,
): Promise<ChallengeResult> {
  const { type, value } = attempt.identifier;
  if (type !== 'dns') return passed;
  try {
    const { at, properties } = await relevantProperties(value, perspective, signal);
    return judgeProperties(attempt, at, properties);
  } catch (thrown) {
    if (thrown instanceof DnsError)
      return failed('caa', `The CAA records of ${value} cannot be looked up: ${thrown.message}.`);
    throw thrown;
  }
}

/** RFC 8659 §3: the first name with any CAA records on the way from the name to the top; of aliases, the target's. */
async function relevantProperties(
  name: string,
  perspective: Perspective,
  signal: AbortSignal,
): Promise<{ at: string; properties: readonly CaaProperty[] }> {
  for (let at = name; at !== ''; at = parentName(at)) {
    const properties = await perspective.caa(at, signal);
    if (properties.length > 0) return { at, properties };
  }
  return { at: name, properties: [] };
}

function judgeProperties(attempt: CaaAttempt, at: string, properties: readonly CaaProperty[]): ChallengeResult {
  const unknown = properties.find(({ isCritical, tag }) => isCritical && !knownTags.has(tag));
  if (unknown !== undefined) return refused('caa', `A CAA record of ${at} is critical and of a kind not known here.`);
  const wild = properties.filter(({ tag }) => tag === 'issuewild');
  const plain = properties.filter(({ tag }) => tag === 'issue');
  const ruling = attempt.wildcard && wild.length > 0 ? wild : plain;
  if (ruling.length === 0 || ruling.some(({ value }) => allows(value, attempt))) return passed;
  return refused('caa', `The CAA records of ${at} do not allow this CA, this account or this method.`);
}

function allows(value: string, attempt: CaaAttempt): boolean {
  const issuer = parseIssuer(value);
  if (issuer === undefined || !attempt.issuerDomains.some((domain) => domain.toLowerCase() === issuer.domain))
    return false;
  const uris = issuer.parameters.filter(({ tag }) => tag === 'accounturi');
  const methods = issuer.parameters.filter(({ tag }) => tag === 'validationmethods');
  // Each at most once (RFC 8657 §3, §4); otherwise nothing satisfies the record.
  if (uris.length > 1 || methods.length > 1) return false;
  const [uri] = uris;
  const [method] = methods;
  if (uri !== undefined && uri.value !== attempt.accountUrl) return false;
  return method === undefined || (attempt.challengeType !== undefined && names(method.value, attempt.challengeType));
}

function names(list: string, method: string): boolean {
  return list.split(',').some((item) => item.trim() === method);
}

interface Issuer {
  readonly domain: string;
  readonly parameters: readonly { readonly tag: string; readonly value: string }[];
}

/** RFC 8659 §4.2: `domain; tag=value; tag=value`. Undefined for what does not follow the grammar, which allows nobody. */
function parseIssuer(text: string): Issuer | undefined {
  const [domain = '', ...rest] = text.split(';').map((part) => part.replace(/^[ \t]+|[ \t]+$/g, ''));
  if (!/^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(domain)) return undefined;
  const parameters: { tag: string; value: string }[] = [];
  for (const [index, part] of rest.entries()) {
    if (part === '' && index === rest.length - 1) continue;
    const match = /^([A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)[ \t]*=[ \t]*([\x21-\x3a\x3c-\x7e]*)$/.exec(part);
    if (match === null) return undefined;
    parameters.push({ tag: (match[1] ?? '').toLowerCase(), value: match[2] ?? '' });
  }
  return { domain: domain.toLowerCase(), parameters };
}
