/** Numbers that an area of the house shows to whoever watches it; read when somebody asks, not before. */
export interface Gauge {
  /** As Prometheus names it: `chancery_leases`. */
  readonly name: string;
  readonly help: string;
  /** A `counter` only grows until the process ends. */
  readonly kind: 'gauge' | 'counter';
  readonly labels: readonly string[];
  /** The samples now. Throws when they cannot be had; then the gauge is left out. */
  readonly read: () => Promise<readonly Sample[]> | readonly Sample[];
}

export interface Sample {
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}
