import { startJobs } from '#chancery/jobs.ts';
import { pino } from 'pino';
import { buildHouse, type HouseOptions } from './house.ts';

/** A node for tests that kill it: a house with real clock and jobs. Says its address and runs until it is killed. */
const options = JSON.parse(process.argv[2] ?? '{}') as HouseOptions;
const house = await buildHouse({ ...options, start: true });
startJobs(house.service.engine.jobs, pino({ level: 'warn' }, process.stderr));
process.stdout.write(`${house.url}\n`);
