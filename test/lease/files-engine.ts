import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { rename, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { Clock } from '#core/clock.ts';
import { AppError } from '#core/errors.ts';
import { newId } from '#core/ids.ts';
import { defineOperation } from '#core/operation.ts';
import { type LeaseEngine, type Leases, RevocationError } from '#lease/contract.ts';
import type { LeaseRow } from '#lease/tables.ts';

/**
 * An engine whose subjects are files: a lease lives as long as its file is there. It is as real as a database for what
 * the lease manager does, and does what the test tells it: be away, be slow, refuse, die at a point.
 */
export interface Shelf {
  /** Subjects that exist at a target. */
  subjects(target: string): string[];
  /** Every subject that was really removed; one that is here twice was ended twice. */
  removed(): string[];
  /** How often a target was asked to remove something. */
  attempts(target: string): number;
  /** How the target behaves from now on, for all processes that share the folder. */
  behave(target: string, behaviour: Behaviour): void;
}

export interface Behaviour {
  /** Nothing reaches it. */
  readonly away?: boolean;
  /** Milliseconds that each call takes. */
  readonly slow?: number;
  /** Something is left of each subject. */
  readonly residue?: boolean;
  /** Each subject goes and something else of it is left. */
  readonly leaves?: boolean;
  /** Every removal throws what nobody expected. */
  readonly broken?: boolean;
  /** Milliseconds by which its clock differs; null: it has none. */
  readonly clock?: number | null;
  /** The process kills itself there. */
  readonly die?: 'before_making' | 'after_making' | 'before_removal' | 'after_removal';
  /** Making takes until it is not held any more. */
  readonly held?: boolean;
  /** Making fails there. */
  readonly fail?: 'before_making' | 'after_making';
}

/** Where subjects go, so that a process that is killed has either removed one and told so, or neither. */
const graves = 'graves';

export function openShelf(folder: string): Shelf {
  mkdirSync(join(folder, graves), { recursive: true });
  const lines = (file: string) =>
    existsSync(join(folder, file)) ? readFileSync(join(folder, file), 'utf8').split('\n').filter(Boolean) : [];
  return {
    subjects: (target) => (existsSync(join(folder, target)) ? readdirSync(join(folder, target)) : []),
    removed: () => readdirSync(join(folder, graves)).map((name) => name.slice(0, name.indexOf('.'))),
    attempts: (target) => lines('attempts.log').filter((line) => line === target).length,
    behave: (target, behaviour) => writeFileSync(join(folder, `${target}.json`), JSON.stringify(behaviour)),
  };
}

export interface FilesDeps {
  readonly leases: Leases;
  readonly folder: string;
}

export function filesEngine(folder: string, clock: Clock, refuses: () => boolean = () => false): LeaseEngine {
  const place = (lease: LeaseRow) => join(folder, targetName(lease.target), lease.subject);
  return {
    name: 'files',
    async revoke(lease) {
      const target = targetName(lease.target);
      appendFileSync(join(folder, 'attempts.log'), `${target}\n`);
      const behaviour = await behaviourOf(folder, target);
      dieAt(behaviour, 'before_removal');
      if (behaviour.broken) throw new TypeError('canary: an error that no engine should show');
      if (behaviour.residue) {
        const residue = [{ place: target, object: `note ${lease.subject}`, reason: 'It is held; let it go.' }];
        throw new RevocationError('Something is left.', { residue });
      }
      const grave = join(folder, graves, `${lease.subject}.${newId('end', clock.now())}`);
      const removed = await rename(place(lease), grave).then(
        () => true,
        (error: { code?: string }) => {
          if (error.code === 'ENOENT') return false;
          throw error;
        },
      );
      dieAt(behaviour, 'after_removal');
      if (behaviour.leaves) {
        const residue = [{ place: target, object: `shade of ${lease.subject}`, reason: 'It fades.' }];
        throw new RevocationError('Something is left.', { residue, removed });
      }
      return { ended: removed ? 'removed' : 'already_absent', sessions: 0 };
    },
    async extend(lease, expiresAt) {
      await behaviourOf(folder, targetName(lease.target));
      if (!existsSync(place(lease))) throw new AppError('wrong_state', 'The subject is gone.');
      await utimes(place(lease), expiresAt / 1000, expiresAt / 1000);
    },
    async mayRenew() {
      if (refuses()) throw new AppError('denied', 'The role may not be used any more.');
      return { maxTtl: 86_400 };
    },
    resources: async (_namespace, kind) => (kind === 'role' ? ['files/roles/reader'] : ['files/targets/shelf']),
    async targetTime(lease) {
      const { clock: offset } = await behaviourOf(folder, targetName(lease.target));
      return offset === null ? undefined : clock.now() + (offset ?? 0);
    },
  };
}

const step = z.enum(['before_making', 'after_making']);

export const mintFile = defineOperation({
  id: 'files.mint_file',
  title: 'Mint a file',
  summary: 'Makes a file that lives as long as its lease.',
  input: z.strictObject({
    role: z.string().default('reader').describe('Name of the role'),
    target: z.string().default('shelf').describe('Name of the target'),
    ttl: z.number().default(3600).describe('Seconds'),
    max_ttl: z.number().default(86_400).describe('Seconds'),
    role_cap: z.number().optional().describe('Most leases of the role'),
    principal_cap: z.number().optional().describe('Most leases of the principal'),
    late: z.number().default(0).describe('Milliseconds after which nothing can arrive at the target any more'),
    fail: step.optional().describe('Fails there'),
  }),
  output: z.strictObject({ lease_id: z.string(), subject: z.string(), expires_at: z.number() }),
  http: { method: 'POST', path: '/files', status: 201 },
  resource: ({ role }) => `files/roles/${role}`,
  effect: 'additive',
  openWorld: true,
  async intend(grant, input, { leases }: FilesDeps) {
    const subject = newId('sub', grant.now);
    const { lease, changes } = await leases.begin(grant, {
      engine: 'files',
      role: `files/roles/${input.role}`,
      target: `files/targets/${input.target}`,
      subject,
      facts: { shelf: input.target },
      revocation: {},
      ttl: input.ttl,
      maxTtl: input.max_ttl,
      caps: { role: input.role_cap, principal: input.principal_cap },
    });
    return { plan: lease, changes, audit: { lease_id: lease.id } };
  },
  async run(_grant, input, { leases, folder }, lease) {
    try {
      const behaviour = await behaviourOf(folder, input.target);
      const fail = input.fail ?? behaviour.fail;
      dieAt(behaviour, 'before_making');
      if (fail === 'before_making') throw new AppError('unavailable', 'The target refused.');
      mkdirSync(join(folder, input.target), { recursive: true });
      while ((await behaviourOf(folder, input.target)).held === true) await sleep(10);
      await writeFile(join(folder, input.target, lease.subject), String(lease.expires_at));
      dieAt(behaviour, 'after_making');
      if (fail === 'after_making') throw new AppError('unavailable', 'The target did not answer.');
    } catch (error) {
      await leases.abandon(lease, input.late);
      throw error;
    }
    const { id, subject, expires_at } = lease;
    return { output: { lease_id: id, subject, expires_at }, changes: leases.activate(lease, { made: true }) };
  },
});

/** Ends all leases of a role, and answers how many are left. */
export const drainRole = defineOperation({
  id: 'files.drain_role',
  title: 'Drain a role',
  summary: 'Ends all leases of a role.',
  input: z.strictObject({ role: z.string().describe('Name of the role') }),
  output: z.strictObject({ left: z.number() }),
  http: { method: 'POST', path: '/files/roles/{role}/drain' },
  resource: ({ role }) => `files/roles/${role}`,
  effect: 'destructive',
  intend: async (grant, { role }, { leases }: FilesDeps) => ({
    plan: undefined,
    changes: leases.drain(grant.namespace, { role: `files/roles/${role}` }),
  }),
  async run(grant, { role }, { leases }) {
    leases.wake();
    return { output: { left: await leases.count(grant.namespace, { role: `files/roles/${role}` }) } };
  },
});

function targetName(resource: string): string {
  return resource.slice(resource.lastIndexOf('/') + 1);
}

async function behaviourOf(folder: string, target: string): Promise<Behaviour> {
  const file = join(folder, `${target}.json`);
  const behaviour = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Behaviour) : {};
  if (behaviour.slow !== undefined) await sleep(behaviour.slow);
  if (behaviour.away) throw new RevocationError('The target does not answer.', { unavailable: true });
  return behaviour;
}

function dieAt({ die }: Behaviour, point: NonNullable<Behaviour['die']>): void {
  if (die === point) process.kill(process.pid, 'SIGKILL');
}
