/** TXT records of dns-01 (RFC 8555 §8.4), as they are published and taken away. */
export interface TxtRecord {
  /** `_acme-challenge.example.com`, without a dot at the end. */
  readonly name: string;
  readonly value: string;
}

/** Publishes records at the provider of a name. Both are idempotent, and leave records of others alone. */
export interface RecordKeeper {
  /** Resolves when the provider took it; rejects with an Error whose message may be shown. */
  publish(namespace: string, provider: string, record: TxtRecord, signal: AbortSignal): Promise<void>;
  withdraw(namespace: string, provider: string, record: TxtRecord, signal: AbortSignal): Promise<void>;
  /** Whether the world can see it; undefined where nobody can tell. */
  isVisible(record: TxtRecord): Promise<boolean | undefined>;
}

export function recordName(identifier: string): string {
  return `_acme-challenge.${identifier}`;
}
