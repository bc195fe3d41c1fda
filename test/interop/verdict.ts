import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import type { KeyType } from '#pki/x509/algorithm.ts';
import type { Outcome } from './tools.ts';

/**
 * What each use of a tool knows. One that is not in the table accepts every key type. One that is either refuses the
 * types named there in just these words, or is of a version that knows them and then accepts; which, is printed.
 */
const ignorance = {
  'openssl verify': { 'ml-dsa': /unable to get certs public key/ },
  'openssl crl': { 'ml-dsa': /Error getting CRL issuer public key/ },
  'openssl ocsp': { 'ml-dsa': /no signer key/ },
  'openssl pkcs12': { 'ml-dsa': /unsupported private key algorithm/ },
} as const satisfies Record<string, Ignorance>;

type Ignorance = { readonly [Family in KeyType | 'ml-dsa']?: RegExp };

function familyOf(keyType: KeyType): KeyType | 'ml-dsa' {
  return keyType.startsWith('ml-dsa-') ? 'ml-dsa' : keyType;
}

/**
 * Whether the tool knows the key type. Fails when it refuses a type that it ought to know, or refuses in other words
 * than that it does not know the type: then something else is wrong with what it was given.
 */
export function knows(
  context: TestContext,
  use: string,
  keyType: KeyType,
  accepted: boolean,
  { output }: Pick<Outcome, 'output'>,
): boolean {
  const words: RegExp | undefined = (ignorance as Record<string, Ignorance>)[use]?.[familyOf(keyType)];
  if (words === undefined) {
    assert.ok(accepted, `${use} refuses what it ought to accept, ${keyType}:\n${output}`);
    return true;
  }
  if (accepted) {
    context.diagnostic(`${use} on this machine knows ${keyType}`);
    return true;
  }
  const said = words.exec(output)?.[0];
  assert.ok(said !== undefined, `${use} refuses ${keyType}, but not because it does not know it:\n${output}`);
  context.diagnostic(`${use} on this machine does not know ${keyType}: ${JSON.stringify(said)}`);
  return false;
}
