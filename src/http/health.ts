/** Asks one thing that the server cannot work without; rejects when it is not there. */
export type Probe = () => Promise<void>;
export type Probes = Readonly<Record<string, Probe>>;

export interface Readiness {
  readonly ready: boolean;
  /** `ok` or `failed` per probe. Why it failed is in the log: this answer is public. */
  readonly checks: Readonly<Record<string, 'ok' | 'failed'>>;
}

/** A probe that does not answer in this time has failed. */
const probeTimeout = 2000;
/** Everybody may ask, so the probes run at most this often, in milliseconds. */
const freshFor = 250;

/** Readiness over all probes; concurrent and quick successive questions share one run. */
export function createReadiness(probes: Probes, failed: (probe: string, error: unknown) => void) {
  let last: { readonly at: number; readonly result: Promise<Readiness> } | undefined;
  return (): Promise<Readiness> => {
    const now = performance.now();
    if (last === undefined || now - last.at > freshFor) last = { at: now, result: runAll(probes, failed) };
    return last.result;
  };
}

async function runAll(probes: Probes, failed: (probe: string, error: unknown) => void): Promise<Readiness> {
  const checks = await Promise.all(
    Object.entries(probes).map(async ([name, probe]): Promise<[string, 'ok' | 'failed']> => {
      try {
        await withTimeout(probe);
        return [name, 'ok'];
      } catch (error) {
        failed(name, error);
        return [name, 'failed'];
      }
    }),
  );
  return { ready: checks.every(([, outcome]) => outcome === 'ok'), checks: Object.fromEntries(checks) };
}

async function withTimeout(probe: Probe): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error('the probe did not answer in time')), probeTimeout);
  try {
    await Promise.race([probe(), promise]);
  } finally {
    clearTimeout(timer);
  }
}
