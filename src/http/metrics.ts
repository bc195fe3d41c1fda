import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import type { Call } from '#core/dispatch.ts';
import type { AppError } from '#core/errors.ts';
import type { Gauge as GaugeSource } from '#core/gauge.ts';

/**
 * What Prometheus may read. The counts of the hot path are plain numbers in objects that each route holds; they become
 * text only when somebody asks (prom-client hashes its labels on every observation, which costs more than all this).
 */
export interface Metrics {
  /** For gauges and counters of other areas. */
  readonly registry: Registry;
  /** The meter of one route; the same object for the same name. */
  readonly meter: (route: string) => Meter;
  /** For `DispatchDeps.observe`: counts every call by operation, transport and outcome. */
  readonly observe: (call: Call, principal: unknown, error: AppError | undefined) => void;
  /** Sources of gauges that only the server knows. */
  readonly watchServer: (source: ServerGauges) => void;
  /** Shows what an engine counts. */
  readonly watch: (gauges: readonly GaugeSource[]) => void;
  /** The exposition text (`contentType`). */
  readonly render: () => Promise<string>;
  readonly contentType: string;
}

export interface ServerGauges {
  readonly connections: () => number;
}

/** Counts one route: how many are under way, how they ended, how long they took. */
export interface Meter {
  inFlight: number;
  /** Requests by HTTP status. */
  readonly statuses: Map<number, number>;
  /** Requests per bucket of `bounds`, not cumulated; the last is what was slower than all. */
  readonly buckets: Float64Array;
  seconds: number;
}

/** Upper bounds in seconds: 0.5 ms is a quarter of the budget of one request, 30 s the longest request. */
const bounds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

export function createMetrics(version: string): Metrics {
  const registry = new Registry();
  const meters = new Map<string, Meter>();
  const calls = new Map<string, Map<string, number>>();
  collectDefaultMetrics({ register: registry });
  new Gauge({
    name: 'chancery_build_info',
    help: 'Version of this server; the value is always 1',
    labelNames: ['version'],
    registers: [registry],
  }).set({ version }, 1);
  registerCalls(registry, calls);
  return {
    registry,
    contentType: registry.contentType,
    meter: (route) => meters.get(route) ?? newMeter(meters, route),
    observe: (call, _principal, error) => countCall(calls, call, error),
    watchServer: ({ connections }) => {
      const gauge = new Gauge({
        name: 'chancery_http_connections',
        help: 'Open connections of clients',
        registers: [],
        collect() {
          this.set(connections());
        },
      });
      registry.registerMetric(gauge);
    },
    watch: (gauges) => {
      for (const gauge of gauges) registerSource(registry, gauge);
    },
    render: async () => `${await registry.metrics()}\n${renderMeters(meters)}`,
  };
}

/** What cannot be read is left out, so that a store that is away does not hide everything else. */
function registerSource(registry: Registry, { name, help, kind, labels, read }: GaugeSource): void {
  const Kind = kind === 'counter' ? Counter : Gauge;
  const metric = new Kind({
    name,
    help,
    labelNames: [...labels],
    registers: [],
    async collect() {
      const samples = await Promise.resolve()
        .then(read)
        .catch(() => []);
      metric.reset();
      for (const sample of samples) metric.inc(sample.labels ?? {}, sample.value);
    },
  });
  registry.registerMetric(metric);
}

function newMeter(meters: Map<string, Meter>, route: string): Meter {
  const meter = { inFlight: 0, statuses: new Map(), buckets: new Float64Array(bounds.length + 1), seconds: 0 };
  meters.set(route, meter);
  return meter;
}

/** Marks a request as ended. `started` is of `performance.now()`. */
export function finish(meter: Meter, started: number, status: number): void {
  const seconds = (performance.now() - started) / 1000;
  meter.inFlight -= 1;
  meter.seconds += seconds;
  count(meter, status);
  let bucket = 0;
  while (bucket < bounds.length && seconds > (bounds[bucket] as number)) bucket += 1;
  meter.buckets[bucket] = (meter.buckets[bucket] as number) + 1;
}

/** Counts an answer whose time nobody measured. */
export function count(meter: Meter, status: number): void {
  meter.statuses.set(status, (meter.statuses.get(status) ?? 0) + 1);
}

function countCall(calls: Map<string, Map<string, number>>, call: Call, error: AppError | undefined): void {
  let outcomes = calls.get(call.operation.id);
  if (!outcomes) {
    outcomes = new Map();
    calls.set(call.operation.id, outcomes);
  }
  const outcome = `${call.transport} ${error?.code ?? 'ok'}`;
  outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
}

function registerCalls(registry: Registry, calls: Map<string, Map<string, number>>): void {
  const counter = new Counter({
    name: 'chancery_operations_total',
    help: 'Calls of operations over all transports, by outcome (ok or the error code)',
    labelNames: ['operation', 'transport', 'outcome'],
    registers: [],
    collect() {
      this.reset();
      for (const [operation, outcomes] of calls) {
        for (const [key, times] of outcomes) {
          const [transport = '', outcome = ''] = key.split(' ');
          this.inc({ operation, transport, outcome }, times);
        }
      }
    },
  });
  registry.registerMetric(counter);
}

/** Prometheus text format 0.0.4. Route names are ours, so that no label needs escaping. */
function renderMeters(meters: ReadonlyMap<string, Meter>): string {
  const used = [...meters].filter(([, meter]) => meter.statuses.size > 0 || meter.inFlight > 0);
  const family = (name: string, type: string, help: string, lines: string[]): string[] => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${type}`,
    ...lines,
  ];
  return `${[
    ...family(
      'chancery_http_requests_total',
      'counter',
      'HTTP requests answered, by route and status',
      used.flatMap(([route, { statuses }]) =>
        [...statuses].map(([status, n]) => `chancery_http_requests_total{route="${route}",status="${status}"} ${n}`),
      ),
    ),
    ...family(
      'chancery_http_requests_in_flight',
      'gauge',
      'HTTP requests under way, by route',
      used.map(([route, { inFlight }]) => `chancery_http_requests_in_flight{route="${route}"} ${inFlight}`),
    ),
    ...family(
      'chancery_http_request_duration_seconds',
      'histogram',
      'Time from the whole request to its answer',
      used.flatMap(([route, meter]) => renderHistogram('chancery_http_request_duration_seconds', route, meter)),
    ),
  ].join('\n')}\n`;
}

function renderHistogram(name: string, route: string, meter: Meter): string[] {
  let sum = 0;
  const lines = [...bounds, '+Inf'].map((bound, index) => {
    sum += meter.buckets[index] ?? 0;
    return `${name}_bucket{route="${route}",le="${bound}"} ${sum}`;
  });
  return [...lines, `${name}_sum{route="${route}"} ${meter.seconds}`, `${name}_count{route="${route}"} ${sum}`];
}
