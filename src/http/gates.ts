import { randomInt } from 'node:crypto';
import type { Credentials, DispatchDeps } from '#core/dispatch.ts';
import { addressKey, addressMatcher, createRateLimiter, generations, refuseUntil } from './rate-limit.ts';
import type { Rate, RateSettings } from './settings.ts';

/** Who may go on to dispatch or to an open route, and who has to wait first. Every gate throws `rate_limited`. */
export interface Gates {
  /** For a route that needs no token. */
  readonly open: (address: string) => void;
  readonly authentication: AuthenticationGate;
}

/**
 * Bounds what failed authentications cost: each is a durable audit row, so without a bound anybody could fill the disk.
 * When an address has used up its failures, credentials that worked lately still pass; only unknown ones are refused,
 * so that nobody behind the same address is locked out by a neighbour.
 */
export interface AuthenticationGate {
  readonly admit: (address: string, credentials: Credentials) => void;
  readonly succeeded: (credentials: Credentials) => void;
  readonly failed: (address: string, credentials: Credentials) => void;
}

export function createGates(rates: RateSettings): Gates {
  return {
    open: rates.open ? openGate(rates.open, rates.exempt) : () => undefined,
    authentication: rates.failedAuthentication ? authenticationGate(rates.failedAuthentication) : noGate,
  };
}

function openGate(rate: Rate, exempt: readonly string[]): Gates['open'] {
  const limiter = createRateLimiter(rate);
  const isExempt = addressMatcher(exempt);
  const known = generations<string, boolean>(10_000);
  return (address) => {
    if (known.get(address) ?? known.put(address, isExempt(address))) return;
    refuseUntil(limiter.take(addressKey(address)), 'requests from this address');
  };
}

const noGate: AuthenticationGate = { admit: () => undefined, succeeded: () => undefined, failed: () => undefined };

function authenticationGate(rate: Rate): AuthenticationGate {
  const limiter = createRateLimiter(rate);
  const good = generations<number, true>(20_000);
  return {
    admit: (address, credentials) => {
      const wait = limiter.wait(addressKey(address));
      if (wait === 0) return;
      if (credentials.kind === 'bearer' && good.get(fingerprint(credentials.token))) return;
      refuseUntil(wait, 'failed authentications from this address');
    },
    succeeded: (credentials) => {
      if (credentials.kind !== 'bearer') return;
      const print = fingerprint(credentials.token);
      if (!good.get(print)) good.put(print, true);
    },
    failed: (address, credentials) => {
      limiter.take(addressKey(address));
      if (credentials.kind === 'bearer') good.delete(fingerprint(credentials.token));
    },
  };
}

const seed = randomInt(2 ** 32);

/**
 * FNV-1a with a random start. Not a proof of anything, and it need not be: whoever hits the print of a good token gets
 * no further than to having the token checked. It costs a tenth of a cryptographic hash, and keeps no token in memory.
 */
function fingerprint(token: string): number {
  let hash = 0x811c9dc5 ^ seed;
  for (let index = 0; index < token.length; index++) hash = Math.imul(hash ^ token.charCodeAt(index), 0x01000193);
  return hash;
}

/**
 * An `authorize` that counts first: no principal makes more calls than the rate allows, by whatever transport. For
 * main.ts to put around the policy's own; background work is not counted.
 */
export function limitPrincipals(authorize: DispatchDeps['authorize'], rate: Rate | null): DispatchDeps['authorize'] {
  if (!rate) return authorize;
  const limiter = createRateLimiter(rate);
  return async (request) => {
    const { principal } = request;
    if (principal.kind !== 'system') refuseUntil(limiter.take(principal.id), `requests by ${principal.name}`);
    return authorize(request);
  };
}
