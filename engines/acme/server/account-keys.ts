import { type JsonWebKey, parseJwk } from '#acme/jose/jwk.ts';

/** The keys of accounts as they are verified with, kept: making one of a JWK costs as much as two verifications. */
export type AccountKeys = (jwk: string) => JsonWebKey;

const mostKept = 2000;

export function createAccountKeys(): AccountKeys {
  const kept = new Map<string, JsonWebKey>();
  return (jwk) => {
    const known = kept.get(jwk);
    // Taken out and put in again, so that the first one is the one that was not used for longest.
    if (known !== undefined) kept.delete(jwk);
    const key = known ?? parseJwk(JSON.parse(jwk));
    if (kept.size >= mostKept) kept.delete(kept.keys().next().value as string);
    kept.set(jwk, key);
    return key;
  };
}
