import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { startJobs } from '#chancery/jobs.ts';

const period = 10_000;

test('a job whose moment comes while the process is busy runs late, and is not left out', async () => {
  const lines: string[] = [];
  const log = pino({ level: 'debug' }, { write: (line) => lines.push(line) });
  const ran = Promise.withResolvers<number>();
  const left = period - (Date.now() % period);
  // The moment after this one, where this one is too near.
  if (left < 500) await sleep(left + 100);
  const jobs = startJobs(
    [{ name: 'test.late', schedule: '*/10 * * * * *', run: async () => ran.resolve(Date.now()) }],
    log,
  );
  const due = Math.ceil(Date.now() / period) * period;
  await sleep(due - Date.now() - 100);
  while (Date.now() < due + 2500);
  const at = await ran.promise;
  await jobs.stop();
  assert.ok(at >= due && at < due + period, `due ${due}, ran ${at}`);
  for (const line of lines) assert.doesNotThrow(() => JSON.parse(line), line);
});

test('a job that fails is logged with its name, and runs again', async () => {
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line) => lines.push(line) });
  let runs = 0;
  const again = Promise.withResolvers<void>();
  const run = async () => {
    runs += 1;
    if (runs === 2) again.resolve();
    throw new Error('out of ink');
  };
  const jobs = startJobs([{ name: 'test.failing', schedule: '* * * * * *', run }], log);
  await again.promise;
  await jobs.stop();
  assert.match(lines[0] ?? '', /test\.failing.*out of ink/);
});
