import { startJobs } from '#chancery/jobs.ts';
import { pino } from 'pino';
import { buildHouse, type HouseOptions } from './house.ts';

/**
 * A node for tests that kill it: a house with jobs. Says its address and runs until it is killed. SIGUSR2 sets its clock
 * forward by as long as a claim lasts.
 */
let offset = 0;
process.on('SIGUSR2', () => (offset += 61_000));
const clock = { now: () => Date.now() + offset };
const options = JSON.parse(process.argv[2] ?? '{}') as HouseOptions;
const house = await buildHouse({ ...options, clock, start: true });
startJobs(house.service.engine.jobs, pino({ level: 'warn' }, process.stderr));
process.stdout.write(`${house.url}\n`);
