import { X509Certificate } from 'node:crypto';
import type { Clock } from '#core/clock.ts';
import { toRfc3339 } from '#core/clock.ts';
import type { Dispatch } from '#core/dispatch.ts';
import { AppError } from '#core/errors.ts';
import type { CertificateChoice, CertificateOrder, CertificatePlan, IssuedCertificate, Issuer } from '#core/issuer.ts';
import type { BoundOperation } from '#core/operation.ts';
import { createSystemCaller } from '#core/system-call.ts';
import { decodeOnePem } from '#pki/x509/pem.ts';
import type { Jobs } from '#policy/judge.ts';
import type { Store } from '#storage/store.ts';
import {
  alternateChains,
  certificateStatus,
  readCertificateFacts,
  readRequestFacts,
  authorityOf,
  roleSince,
} from '#pki/issuer-reading.ts';

/** The issuer that other engines see: the operations of the PKI, called through dispatch under names of their own. */
export interface IssuerOptions {
  readonly dispatch: Dispatch;
  /** Of the PKI. */
  readonly operations: readonly BoundOperation[];
  readonly clock: Clock;
  readonly store: Pick<Store, 'first' | 'all'>;
  /** The engine for which certificates are issued; its jobs are `<engine>.issue_certificates` and `….revoke_certificates`. */
  readonly engine: string;
}

/** What an engine may do by its issuer; every act of it is in the audit under the name of one of the two. */
export function issuerScopes(engine: string): Jobs {
  return {
    [`${engine}.issue_certificates`]: {
      operations: ['pki.plan_certificate', 'pki.issue_certificate', 'pki.get_role', 'pki.get_authority'],
      resources: ['pki/roles/*', 'pki/authorities/*'],
    },
    [`${engine}.revoke_certificates`]: { operations: ['pki.revoke_certificates'], resources: ['pki/certificates'] },
  };
}

interface Planned {
  readonly allowed: boolean;
  readonly refusals: readonly { readonly message: string; readonly rule: string; readonly at: string }[];
  readonly advice: string;
  readonly certificate: {
    readonly subject: string;
    readonly names: readonly string[];
    readonly not_after: string;
  } | null;
}

interface Issued {
  readonly serial_number: string;
  readonly certificate: string;
  readonly chain: readonly string[];
  readonly private_key?: string;
  readonly not_after: string;
}

export function createIssuer({ dispatch, operations, clock, store, engine }: IssuerOptions): Issuer {
  const caller = (act: string, namespace: string, onBehalfOf?: string) =>
    createSystemCaller({ dispatch, operations, clock, namespace, onBehalfOf, job: `${engine}.${act}_certificates` });
  const plan = (order: CertificateOrder) =>
    caller('issue', order.namespace)<Planned>('pki.plan_certificate', requestOf(order));
  return {
    async issue(order) {
      // Where the key comes with a request of somebody else, so may names.
      if (order.orderId !== undefined) refuseOtherNames(order);
      else if (order.csr !== undefined) refuseOthers(order, await plan(order));
      const call = caller('issue', order.namespace, order.principal);
      return toCertificate(await call<Issued>('pki.issue_certificate', requestOf(order), order.orderId));
    },
    async check(order) {
      const planned = await plan(order);
      if (!planned.allowed) throw refusal(order.role, planned);
      refuseOthers(order, planned);
    },
    async plan(order) {
      return viewPlan(order, await plan(order));
    },
    roleSince: (namespace, role) => roleSince(store, namespace, role),
    authorityOf: (namespace, role) => authorityOf(store, namespace, role),
    statusOf: (namespace, serialNumber) => certificateStatus(store, namespace, serialNumber),
    alternateChains: (namespace, chain) => alternateChains(store, namespace, chain),
    readRequest: readRequestFacts,
    readCertificate: readCertificateFacts,
    async revoke(namespace, which, reason) {
      const call = caller('revoke', namespace);
      try {
        const { revoked } = await call<{ revoked: number }>('pki.revoke_certificates', { ...filterOf(which), reason });
        return revoked;
      } catch (error) {
        // The role is gone, and whatever it issued as well: then nothing is left to revoke.
        if (error instanceof AppError && error.code === 'not_found') return 0;
        throw error;
      }
    },
    async chainOf(namespace, role) {
      const call = caller('issue', namespace);
      const { authority } = await call<{ authority: string }>('pki.get_role', { name: role });
      const found = await call<{ certificate: string; chain: string[] }>('pki.get_authority', { name: authority });
      return [found.certificate, ...found.chain];
    },
  };
}

function requestOf({ role, commonName, dnsNames, ipAddresses, notAfter, csr, purpose }: CertificateOrder): object {
  return {
    role,
    purpose,
    ...(commonName === undefined ? {} : { common_name: commonName }),
    ...(dnsNames === undefined ? {} : { dns_names: dnsNames }),
    ...(ipAddresses === undefined ? {} : { ip_addresses: ipAddresses }),
    ...(notAfter === undefined ? {} : { not_after: toRfc3339(notAfter) }),
    ...(csr === undefined ? {} : { csr }),
  };
}

/** A plan that refuses says nothing of names; issuing is refused then, with everything that a requester is told. */
function refuseOthers(order: CertificateOrder, { certificate }: Planned): void {
  if (certificate === null) return;
  const ordered = new Set(
    [order.commonName, ...(order.dnsNames ?? []), ...(order.ipAddresses ?? [])].map((name) => name?.toLowerCase()),
  );
  const [, commonName] = /(?:^|, )common_name=(.*)$/s.exec(certificate.subject) ?? [];
  const found = [...certificate.names.map((name) => name.slice(name.indexOf(':') + 1)), commonName];
  const other = found.find((name) => name !== undefined && !ordered.has(name.toLowerCase()));
  if (other !== undefined) throw notOrdered(other);
}

function notOrdered(name: string): AppError {
  return new AppError('refused', 'The CSR asks for a name that is not part of this order.', {
    details: [{ at: '/csr', message: `${JSON.stringify(name.slice(0, 100))} is not ordered` }],
    hint: 'Make it with an empty subject and without alternative names: openssl req -new -key KEY -subj /',
  });
}

/** As `refuseOthers`, without a plan: an order that is asked for again may be one that the role refuses by now. */
function refuseOtherNames(order: CertificateOrder): void {
  if (order.csr === undefined) return;
  const { dnsNames, ipAddresses, otherNames, commonNames } = readRequestFacts(
    decodeOnePem(order.csr, 'CERTIFICATE REQUEST', 65_536, true),
  );
  const ordered = new Set(
    [order.commonName, ...(order.dnsNames ?? []), ...(order.ipAddresses ?? [])].map((name) => name?.toLowerCase()),
  );
  const other = [...dnsNames, ...ipAddresses, ...commonNames].find((name) => !ordered.has(name.toLowerCase()));
  if (other !== undefined || otherNames > 0) throw notOrdered(other ?? 'a name of another kind');
}

/** The name that a refusal is about is told by a pointer into the request. */
function viewPlan(order: CertificateOrder, planned: Planned): CertificatePlan {
  const nameAt = (at: string): string | undefined => {
    const [, field, index] = /^\/(dns_names|ip_addresses)\/(\d+)$/.exec(at) ?? [];
    const names = field === 'dns_names' ? order.dnsNames : field === 'ip_addresses' ? order.ipAddresses : undefined;
    return names?.[Number(index)];
  };
  return {
    refusals: planned.refusals.map(({ rule, at, message }) => ({ rule, name: nameAt(at), message })),
    advice: planned.advice,
    notAfter: planned.certificate === null ? undefined : Date.parse(planned.certificate.not_after),
  };
}

function refusal(role: string, { refusals, advice }: Planned): AppError {
  return new AppError('refused', `The role ${role} of the PKI refuses this: ${refusals[0]?.message ?? advice}`, {
    details: refusals.map(({ rule, message }) => ({ at: rule, message })),
    hint: advice,
  });
}

function filterOf(which: CertificateChoice): object {
  if ('serialNumber' in which) return { serial_numbers: [which.serialNumber] };
  return { role: which.role, name: `cn:${which.commonName}` };
}

function toCertificate(issued: Issued): IssuedCertificate {
  const { subject, issuer } = new X509Certificate(issued.certificate);
  return {
    serialNumber: issued.serial_number,
    certificate: issued.certificate,
    chain: issued.chain,
    privateKey: issued.private_key,
    subject: rfc4514(subject),
    issuer: rfc4514(issuer),
    notAfter: Date.parse(issued.not_after),
  };
}

/** Node writes a line per attribute in the order of the certificate, escaped as RFC 4514 does, which writes them backwards (§2.1). */
function rfc4514(lines: string | undefined): string {
  // An empty name is told as undefined.
  return (lines ?? '').split('\n').toReversed().join(',');
}
