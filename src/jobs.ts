import { schedule } from 'node-cron';
import type { Logger } from 'pino';
import type { Job } from '#core/engine.ts';

export interface RunningJobs {
  /** Stops the schedules and waits for the runs that are under way. */
  stop(): Promise<void>;
}

/** Runs each job on its schedule, one run of a job at a time. A run that fails is logged; the next one comes all the same. */
export function startJobs(jobs: readonly Job[], log: Logger): RunningJobs {
  const running = new Map<string, Promise<void>>();
  const run = async (job: Job): Promise<void> => {
    if (running.has(job.name)) return;
    const attempt = job
      .run()
      .catch((error: unknown) => log.error({ job: job.name, err: error }, 'job failed'))
      .finally(() => running.delete(job.name));
    running.set(job.name, attempt);
    await attempt;
  };
  const tasks = jobs.map((job) => schedule(job.schedule, () => run(job), { name: job.name }));
  return {
    async stop() {
      for (const task of tasks) await task.destroy();
      await Promise.all(running.values());
    },
  };
}
