/**
 * A circuit breaker per target: when a target is away, its leases are left alone but one that probes, instead of each
 * of them failing in turn. In memory, per node: a node that starts finds out by itself.
 */
export interface Breakers {
  /** How many revocations of a target may be under way now, at most `room`. */
  admits(target: string, room: number): number;
  /** A revocation that probes begins; until it ends, no other is admitted. */
  begin(target: string): void;
  /** It ended; `reached` says whether the target answered. True when the target is back after it was away. */
  end(target: string, reached: boolean): boolean;
  /** Targets that are away, with the time of `monotonic` at which the next probe is due. */
  open(): readonly OpenBreaker[];
}

export interface OpenBreaker {
  readonly target: string;
  readonly failures: number;
  readonly probeAt: number;
}

/** Consecutive failures that open it. */
const openAfter = 5;
const firstProbe = 5_000;
const longestProbe = 30_000;

interface State {
  failures: number;
  pause: number;
  probeAt: number;
  probing: boolean;
}

/** `monotonic` is in milliseconds and never jumps. */
export function createBreakers(monotonic: () => number): Breakers {
  const states = new Map<string, State>();
  const isOpen = (state: State | undefined): state is State => state !== undefined && state.failures >= openAfter;
  return {
    admits(target, room) {
      const state = states.get(target);
      if (!isOpen(state)) return room;
      return state.probing || monotonic() < state.probeAt ? 0 : Math.min(1, room);
    },
    begin(target) {
      const state = states.get(target);
      if (isOpen(state)) state.probing = true;
    },
    end(target, reached) {
      const state = states.get(target);
      if (reached) {
        states.delete(target);
        return state !== undefined;
      }
      const next = state ?? { failures: 0, pause: 0, probeAt: 0, probing: false };
      const wasOpen = isOpen(state);
      next.failures += 1;
      // Those that were under way when it opened say nothing new; only a probe makes the next pause longer.
      if (next.probing || !wasOpen) {
        next.pause = wasOpen ? Math.min(next.pause * 2, longestProbe) : firstProbe;
        next.probeAt = monotonic() + next.pause;
      }
      next.probing = false;
      states.set(target, next);
      return false;
    },
    open: () =>
      [...states].flatMap(([target, state]) =>
        isOpen(state) ? [{ target, failures: state.failures, probeAt: state.probeAt }] : [],
      ),
  };
}

/** Targets of different namespaces have the same names. */
export function targetKey({ namespace, target }: { readonly namespace: string; readonly target: string }): string {
  return `${namespace} ${target}`;
}
