import { schedule } from 'node-cron';
import type { Logger } from 'pino';
import type { Job } from '#core/engine.ts';

export interface RunningJobs {
  /** Stops the schedules and waits for the runs that are under way. */
  stop(): Promise<void>;
}

/**
 * Milliseconds by which a run may be late. node-cron leaves a run out that is more than a second late, so that a busy second
 * at night would cost a daily job its day; one that is later than the next is left out in any case.
 */
const latest = 86_400_000;

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
  const logger = cronLogger(log);
  const options = { logger, missedExecutionTolerance: latest, suppressMissedWarning: true };
  const tasks = jobs.map((job) => schedule(job.schedule, () => run(job), { ...options, name: job.name }));
  return {
    async stop() {
      for (const task of tasks) await task.destroy();
      await Promise.all(running.values());
    },
  };
}

/** node-cron's own remarks, as lines of our log instead of its own. */
function cronLogger(log: Logger) {
  return {
    info: (message: string) => log.info(message),
    warn: (message: string) => log.warn(message),
    error: (message: string | Error, err?: Error) => log.error({ err: err ?? message }, 'job schedule'),
    debug: (message: string | Error) => log.debug(String(message)),
  };
}
