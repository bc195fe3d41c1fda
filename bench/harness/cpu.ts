import { readdirSync, readFileSync } from 'node:fs';

/**
 * CPU time of a process by thread, from the scheduler's own account (/proc/<pid>/task/<tid>/schedstat: nanoseconds on a
 * core, see Documentation/scheduler/sched-stats.rst of Linux). Machines are shared and noisy; what a request costs is not.
 */

/** Nanoseconds by thread. */
export type CpuTimes = ReadonlyMap<string, { readonly name: string; readonly spent: number }>;

export function readCpu(pid: number): CpuTimes {
  const times = new Map<string, { name: string; spent: number }>();
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      const base = `/proc/${pid}/task/${thread}`;
      const [spent = '0'] = readFileSync(`${base}/schedstat`, 'utf8').split(' ');
      times.set(thread, { name: readFileSync(`${base}/comm`, 'utf8').trim(), spent: Number(spent) });
    } catch {
      // The thread ended between the two looks.
    }
  }
  return times;
}

/** Where the time went. `other`: V8's helpers (garbage collection, compilation), libuv's pool, threads without a name. */
export interface CpuShares {
  readonly main: number;
  readonly signing: number;
  readonly writer: number;
  readonly other: number;
  readonly total: number;
}

/** Microseconds per request of a server of ours between two looks. */
export function cpuPerRequest(pid: number, before: CpuTimes, after: CpuTimes, requests: number): CpuShares {
  const sums = { main: 0, signing: 0, writer: 0, other: 0 };
  for (const [thread, { name, spent }] of after) {
    const used = spent - (before.get(thread)?.spent ?? 0);
    sums[roleOf(pid, thread, name)] += used / 1000 / Math.max(1, requests);
  }
  return { ...sums, total: sums.main + sums.signing + sums.writer + sums.other };
}

function roleOf(pid: number, thread: string, name: string): 'main' | 'signing' | 'writer' | 'other' {
  if (thread === String(pid)) return 'main';
  if (name.startsWith('chancery signi')) return 'signing';
  return name.startsWith('chancery write') ? 'writer' : 'other';
}

/** Milliseconds of CPU that all threads of a process have used. */
export function totalCpu(times: CpuTimes): number {
  return [...times.values()].reduce((sum, { spent }) => sum + spent, 0) / 1e6;
}

/** Resident set of a process in MiB (VmRSS), and the most it ever was (VmHWM). */
export function readMemory(pid: number): { readonly resident: number; readonly peak: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) / 1024;
  return { resident: field('VmRSS'), peak: field('VmHWM') };
}
