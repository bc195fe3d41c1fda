import { writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import type { Clock } from '#core/clock.ts';
import type { Dispatch } from '#core/dispatch.ts';
import { AppError } from '#core/errors.ts';
import type { BoundOperation } from '#core/operation.ts';
import { createSystemCaller, type SystemCaller } from '#core/system-call.ts';
import type { TlsProvider } from '#http/tls.ts';

/** The role that `CHANCERY_TLS=self` makes, and its first authority; those after it are `chancery-tls-2` and so on. */
const name = 'chancery-tls';
const life = 7 * 86_400_000;
/** Milliseconds between two looks at the clock on the wall: a long timer stands still while the machine sleeps. */
const lookInterval = 60_000;
/** The first wait after a renewal that failed; it doubles up to the second. */
const firstRetry = 60_000;
const lastRetry = 30 * 60_000;

export interface SelfTlsOptions {
  readonly dispatch: Dispatch;
  readonly operations: readonly BoundOperation[];
  readonly clock: Clock;
  /** Host names and addresses that clients use. */
  readonly hosts: readonly string[];
  /** Where the root is written, so that clients can be told to trust it. */
  readonly rootFile: string;
}

/** The server's own certificate from an authority of its own, made on first start and renewed at half of its life. */
export function selfSignedTls(options: SelfTlsOptions, interval = lookInterval): TlsProvider {
  const { clock, hosts, rootFile } = options;
  const call = createSystemCaller({ ...options, job: 'system.serve_tls' });
  const renewal = renewalPlan();
  return {
    async load() {
      try {
        const authority = await usableAuthority(call, clock.now() + life);
        await ensureRole(call, roleFor(hosts, authority.name));
        const issued = await call<Issued>('pki.issue_certificate', { role: name, ...namesOf(hosts) });
        await writeFile(rootFile, authority.certificate, { mode: 0o644 });
        renewal.succeeded(clock.now(), Date.parse(issued.not_after));
        return { cert: issued.certificate, key: issued.private_key };
      } catch (error) {
        renewal.failed(clock.now());
        throw error;
      }
    },
    watch(changed) {
      const timer = setInterval(() => {
        if (renewal.begin(clock.now())) changed();
      }, interval);
      timer.unref();
      return () => clearInterval(timer);
    },
  };
}

interface Issued {
  readonly certificate: string;
  readonly private_key: string;
  readonly not_after: string;
}

/** When the certificate is renewed, by its end and by what failed. Times in milliseconds since the epoch. */
export function renewalPlan() {
  let due = 0;
  let failures = 0;
  return {
    /** Whether it is time; then not again before the attempt has ended. */
    begin(now: number): boolean {
      if (now < due) return false;
      due = now + lastRetry;
      return true;
    },
    succeeded(now: number, notAfter: number): void {
      failures = 0;
      due = now + (notAfter - now) / 2;
    },
    failed(now: number): void {
      due = now + Math.min(firstRetry * 2 ** failures, lastRetry);
      failures++;
    },
  };
}

interface Authority {
  readonly name: string;
  readonly certificate: string;
  readonly kind: string;
  readonly state: string;
  readonly not_after: string | null;
}

/**
 * The first of our authorities that signs until then. One that was retired, or whose certificate was revoked, is never
 * used again, and a server that cannot be reached helps nobody: so another is founded.
 */
async function usableAuthority(call: SystemCaller, until: number): Promise<Authority> {
  for (let number = 1; ; number++) {
    const each = number === 1 ? name : `${name}-${number}`;
    const authority = await ensure<Authority>(
      () => call('pki.get_authority', { name: each }),
      () =>
        call('pki.create_authority', {
          name: each,
          kind: 'root',
          common_name: number === 1 ? 'Chancery TLS root' : `Chancery TLS root ${number}`,
          ttl: '10y',
          max_path_length: 0,
        }),
    );
    const { kind, state, not_after } = authority;
    if (kind === 'root' && state === 'active' && not_after !== null && Date.parse(not_after) >= until) return authority;
  }
}

/** The server may be called otherwise than when the role was made, or have another authority. */
async function ensureRole(call: SystemCaller, role: Role): Promise<void> {
  const known = await ensure<Pick<Role, FollowedField>>(
    () => call('pki.get_role', { name }),
    () => call('pki.create_role', role),
  );
  if (textOf(known) !== textOf(role)) await call('pki.update_role', { name, ...followed(role) });
}

/** Another node on the same store may be making it at the same moment. */
async function ensure<Output>(get: () => Promise<Output>, create: () => Promise<Output>): Promise<Output> {
  try {
    return await get();
  } catch (error) {
    if (!hasCode(error, 'not_found')) throw error;
  }
  try {
    return await create();
  } catch (error) {
    if (hasCode(error, 'already_exists')) return get();
    throw error;
  }
}

function hasCode(error: unknown, code: AppError['code']): boolean {
  return error instanceof AppError && error.code === code;
}

function namesOf(hosts: readonly string[]) {
  return {
    dns_names: hosts.filter((host) => isIP(host) === 0),
    ip_addresses: hosts.filter((host) => isIP(host) !== 0),
  };
}

interface Role {
  readonly name: string;
  readonly authority: string;
  readonly description: string;
  readonly allowed_domains: readonly string[];
  readonly allowed_ip_ranges: readonly string[];
  /** Seconds. */
  readonly default_ttl: number;
  readonly max_ttl: number;
}

type FollowedField = 'authority' | 'allowed_domains' | 'allowed_ip_ranges';

function followed({ authority, allowed_domains, allowed_ip_ranges }: Pick<Role, FollowedField>) {
  return { authority, allowed_domains, allowed_ip_ranges };
}

function textOf(role: Pick<Role, FollowedField>): string {
  return JSON.stringify(followed(role));
}

function roleFor(hosts: readonly string[], authority: string): Role {
  const { dns_names, ip_addresses } = namesOf(hosts);
  return {
    name,
    authority,
    description: 'Certificate of this server (CHANCERY_TLS=self)',
    allowed_domains: dns_names,
    allowed_ip_ranges: ip_addresses.map((address) => `${address}/${isIP(address) === 4 ? 32 : 128}`),
    default_ttl: life / 1000,
    max_ttl: life / 1000,
  };
}
