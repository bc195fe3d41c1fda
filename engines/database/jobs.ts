import type { Clock } from '#core/clock.ts';
import type { Dispatch } from '#core/dispatch.ts';
import type { Job } from '#core/engine.ts';
import type { BoundOperation } from '#core/operation.ts';
import { createSystemCaller } from '#core/system-call.ts';
import type { Leases } from '#lease/contract.ts';
import type { Store } from '#storage/store.ts';
import { connectionResource, roleResource } from './directory.ts';
import { rotationDeadline } from './rotation.ts';

export interface JobParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly dispatch: Dispatch;
  readonly operations: readonly BoundOperation[];
  readonly leases: Leases;
}

interface Named {
  readonly namespace: string;
  readonly name: string;
}

/** Background work of the engine; each step is an operation of its own, and audited. */
export function databaseJobs(parts: JobParts): readonly Job[] {
  return [rotationJob(parts), drainJob(parts)];
}

/** At most so many at a time; the rest is due at the next run. */
const batch = 100;

/** Changes the passwords that are due, and finishes rotations that nobody saw the end of. */
function rotationJob(parts: JobParts): Job {
  const { store, clock } = parts;
  const job = 'database.rotate_passwords';
  return {
    name: job,
    schedule: '*/10 * * * * *',
    async run() {
      const now = clock.now();
      const unattended = now - rotationDeadline;
      const due = await store.all<Named>(
        `SELECT namespace, name FROM database_static_roles
         WHERE next_rotation_at <= ? AND (rotation IS NULL OR rotation_started_at <= ?)
         ORDER BY next_rotation_at LIMIT ${batch}`,
        [now, unattended],
      );
      const open = await store.all<Named>(
        `SELECT namespace, name FROM database_connections
         WHERE next_password IS NOT NULL AND rotation_started_at <= ? ORDER BY rotation_started_at LIMIT ${batch}`,
        [unattended],
      );
      await callAll(parts, job, [
        ...due.map((row) => ({ row, id: 'database.rotate_static_role', input: { name: row.name } })),
        ...open.map((row) => ({ row, id: 'database.rotate_root', input: { name: row.name } })),
      ]);
    },
  };
}

/** Deletes what was drained. */
function drainJob(parts: JobParts): Job {
  const { store, leases } = parts;
  const job = 'database.finish_drains';
  return {
    name: job,
    schedule: '*/5 * * * * *',
    async run() {
      const draining = (table: string) =>
        store.all<Named>(`SELECT namespace, name FROM ${table} WHERE state = 'draining' LIMIT ${batch}`, []);
      const roles = (await draining('database_roles')).map((row) => ({
        row,
        id: 'database.delete_role',
        scope: { role: roleResource(row.name) },
      }));
      const connections = (await draining('database_connections')).map((row) => ({
        row,
        id: 'database.delete_connection',
        scope: { target: connectionResource(row.name) },
      }));
      const calls = [];
      for (const { row, id, scope } of [...roles, ...connections])
        if ((await leases.count(row.namespace, scope)) === 0)
          calls.push({ row, id, input: { name: row.name, drain: true } });
      await callAll(parts, job, calls);
    },
  };
}

interface SystemCall {
  readonly row: Named;
  readonly id: string;
  readonly input: object;
}

/** Each of them, whatever the others come to. Rejects with the first failure at the end, for the log. */
async function callAll(parts: JobParts, job: string, calls: readonly SystemCall[]): Promise<void> {
  const failures: unknown[] = [];
  for (const { row, id, input } of calls) {
    const call = createSystemCaller({ ...parts, job, namespace: row.namespace });
    await call(id, input).catch((error: unknown) => failures.push(error));
  }
  if (failures.length > 0) throw failures[0];
}
