import { setTimeout as sleep } from 'node:timers/promises';
import { DnsError } from './exchange.ts';
import type { Perspective } from './perspective.ts';

export interface TxtProof {
  /** `_acme-challenge.example.com`, without a dot at the end. */
  readonly name: string;
  readonly value: string;
}

const lookMs = 8000;

/** Whether every resolver sees the record now, after CNAMEs. One that fails does not see it. */
export async function isTxtVisible(
  { name, value }: TxtProof,
  perspectives: readonly Perspective[],
  signal: AbortSignal = AbortSignal.timeout(lookMs),
): Promise<boolean> {
  const sights = await Promise.all(
    perspectives.map(async (perspective) => {
      try {
        return (await perspective.texts(name, signal)).includes(value);
      } catch (thrown) {
        if (thrown instanceof DnsError) return false;
        throw thrown;
      }
    }),
  );
  return sights.length > 0 && sights.every(Boolean);
}

export interface PropagationLimits {
  readonly timeoutMs: number;
  readonly intervalMs: number;
}

/** Waits until every resolver sees the record; false when the time is over before. */
export async function waitForTxt(
  proof: TxtProof,
  perspectives: readonly Perspective[],
  { timeoutMs, intervalMs }: PropagationLimits,
): Promise<boolean> {
  const end = AbortSignal.timeout(timeoutMs);
  while (!end.aborted) {
    if (await isTxtVisible(proof, perspectives, AbortSignal.any([end, AbortSignal.timeout(lookMs)]))) return true;
    await sleep(intervalMs, undefined, { signal: end }).catch(() => undefined);
  }
  return false;
}
