import { writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import type { Clock } from '#core/clock.ts';
import type { Dispatch } from '#core/dispatch.ts';
import { AppError } from '#core/errors.ts';
import type { BoundOperation } from '#core/operation.ts';
import { createSystemCaller } from '#core/system-call.ts';
import type { TlsProvider } from '#http/tls.ts';

/** Both the authority and the role that `CHANCERY_TLS=self` makes. */
const name = 'chancery-tls';
const life = 7 * 86_400_000;

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
export function selfSignedTls(options: SelfTlsOptions): TlsProvider {
  const call = createSystemCaller({ ...options, job: 'system.serve_tls' });
  return {
    async load() {
      const { certificate: root } = await ensure<{ certificate: string }>(
        () => call('pki.get_authority', { name }),
        () =>
          call('pki.create_authority', {
            name,
            kind: 'root',
            common_name: 'Chancery TLS root',
            ttl: '10y',
            max_path_length: 0,
          }),
      );
      const role = roleFor(options.hosts);
      const known = await ensure<Pick<Role, 'allowed_domains' | 'allowed_ip_ranges'>>(
        () => call('pki.get_role', { name }),
        () => call('pki.create_role', role),
      );
      // The server is called otherwise than when the role was made.
      if (namesIn(known) !== namesIn(role)) await call('pki.update_role', { name, ...allowedBy(role) });
      const issued = await call<{ certificate: string; private_key: string }>('pki.issue_certificate', {
        role: name,
        ...namesOf(options.hosts),
      });
      await writeFile(options.rootFile, root, { mode: 0o644 });
      return { cert: issued.certificate, key: issued.private_key };
    },
    watch(changed) {
      const timer = setInterval(changed, life / 2);
      timer.unref();
      return () => clearInterval(timer);
    },
  };
}

async function ensure<Output>(get: () => Promise<Output>, create: () => Promise<Output>): Promise<Output> {
  try {
    return await get();
  } catch (error) {
    if (error instanceof AppError && error.code === 'not_found') return create();
    throw error;
  }
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

function allowedBy({ allowed_domains, allowed_ip_ranges }: Pick<Role, 'allowed_domains' | 'allowed_ip_ranges'>) {
  return { allowed_domains, allowed_ip_ranges };
}

function namesIn(role: Parameters<typeof allowedBy>[0]): string {
  return JSON.stringify(allowedBy(role));
}

function roleFor(hosts: readonly string[]): Role {
  const { dns_names, ip_addresses } = namesOf(hosts);
  return {
    name,
    authority: name,
    description: 'Certificate of this server (CHANCERY_TLS=self)',
    allowed_domains: dns_names,
    allowed_ip_ranges: ip_addresses.map((address) => `${address}/${isIP(address) === 4 ? 32 : 128}`),
    default_ttl: life / 1000,
    max_ttl: life / 1000,
  };
}
