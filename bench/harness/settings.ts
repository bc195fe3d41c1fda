/** What every benchmark is told. */
export interface Settings {
  /** Length of one measurement. */
  readonly seconds: number;
  /** Before the first measurement of a server: the compiler of V8 needs some thousand requests. */
  readonly warmUp: number;
  readonly connections: readonly number[];
  /** Also what takes longer than a minute: 1,000,000 rows. */
  readonly large: boolean;
  /** Whether a part was asked for: `sqlite`, `postgres`, `cfssl`. All are when none was named. */
  readonly wants: (part: string) => boolean;
}

export interface Benchmark {
  readonly name: string;
  /** One line for the list of benchmarks. */
  readonly summary: string;
  /** Measures, and prints its tables. */
  readonly run: (settings: Settings) => Promise<void>;
}
