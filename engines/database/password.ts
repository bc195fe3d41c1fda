import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { AppError } from '#core/errors.ts';
import { randomOctets } from '#core/random.ts';

/** Passwords of database users, and what a PostgreSQL server is given instead of them. */

export interface PasswordPolicy {
  /** Characters. */
  readonly length: number;
  /** The password is made of the characters of all classes, with at least `minimum` of each. */
  readonly classes: readonly CharacterClass[];
}

export interface CharacterClass {
  /** Printable ASCII: needs no SASLprep (RFC 4013) and no thought about encodings. */
  readonly characters: string;
  readonly minimum: number;
}

/** 32 characters that stand unescaped in a URL and a shell word; 191 bits. */
export const defaultPasswordPolicy: PasswordPolicy = {
  length: 32,
  classes: [
    { characters: 'abcdefghijklmnopqrstuvwxyz', minimum: 1 },
    { characters: 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', minimum: 1 },
    { characters: '0123456789', minimum: 1 },
    { characters: '-_', minimum: 1 },
  ],
};

export const passwordLimits = { shortest: 12, longest: 128, bits: 80 } as const;

/**
 * Throws `invalid_request` for a policy by which passwords would be weak, could not be made, or not be typed: fewer
 * than 80 bits, characters other than printable ASCII, minimums that leave little to chance.
 */
export function checkPasswordPolicy(policy: PasswordPolicy): void {
  const refuse = (message: string, hint: string): never => {
    throw new AppError('invalid_request', message, { hint });
  };
  const { shortest, longest, bits } = passwordLimits;
  if (!Number.isInteger(policy.length) || policy.length < shortest || policy.length > longest)
    refuse(`The length ${policy.length} is not between ${shortest} and ${longest}.`, 'The default is 32.');
  const all = policy.classes.map(({ characters }) => characters).join('');
  if (!/^[!-~]*$/.test(all)) refuse('A class holds a character that is not printable ASCII.', 'Use ! to ~ only.');
  if (new Set(all).size !== all.length) refuse('A character stands twice in the classes.', 'Name each of them once.');
  if (policy.classes.some(({ characters, minimum }) => characters === '' || !Number.isInteger(minimum) || minimum < 0))
    refuse('A class is empty, or its minimum is not a whole number from 0.', 'Leave it out, or mend it.');
  if (all.length < 2 || policy.length * Math.log2(all.length) < bits)
    refuse(
      `Passwords of ${policy.length} out of ${all.length} characters have fewer than ${bits} bits.`,
      'Make them longer.',
    );
  if (acceptance(policy) < leastAcceptance)
    refuse(
      'The minimums ask for more of a class than random passwords have.',
      'Lower them, or make the password longer.',
    );
}

/** A policy below it is refused, so that drawing again ends soon: 1,000 draws fail with a probability under 1e-21. */
const leastAcceptance = 0.05;

/**
 * A password that is uniform over all those that the policy allows: characters are drawn without bias, and the whole is
 * drawn again until it has enough of each class. Throws `invalid_request` for a policy that `checkPasswordPolicy` refuses.
 */
export function generatePassword(policy: PasswordPolicy = defaultPasswordPolicy): string {
  if (policy !== defaultPasswordPolicy) checkPasswordPolicy(policy);
  const alphabet = policy.classes.map(({ characters }) => characters).join('');
  for (;;) {
    const password = drawCharacters(alphabet, policy.length);
    if (policy.classes.every((each) => countOf(password, each.characters) >= each.minimum)) return password;
  }
}

/** Octets past the last whole multiple of the alphabet are thrown away: no character is likelier than another. */
function drawCharacters(alphabet: string, length: number): string {
  const bound = 256 - (256 % alphabet.length);
  let text = '';
  while (text.length < length) {
    for (const octet of randomOctets(length - text.length))
      if (octet < bound) text += alphabet[octet % alphabet.length];
  }
  return text;
}

function countOf(text: string, characters: string): number {
  let count = 0;
  for (const character of text) if (characters.includes(character)) count++;
  return count;
}

/** The probability that a draw has enough of each class: classes one by one, with what the earlier ones left over. */
function acceptance({ length, classes }: PasswordPolicy): number {
  const size = classes.reduce((sum, { characters }) => sum + characters.length, 0);
  const logFactorial = [0];
  for (let n = 1; n <= length; n++) logFactorial.push((logFactorial[n - 1] ?? 0) + Math.log(n));
  const logOf = (n: number) => logFactorial[n] ?? 0;
  // ways[used]: the share of all draws' arrangements in which `used` characters are of the classes so far, divided by length!
  let ways = [1, ...Array<number>(length).fill(0)];
  for (const { characters, minimum } of classes) {
    const share = Math.log(characters.length / size);
    const next = Array<number>(length + 1).fill(0);
    for (let used = 0; used <= length; used++)
      for (let count = minimum; used + count <= length; count++)
        next[used + count] = (next[used + count] ?? 0) + (ways[used] ?? 0) * Math.exp(count * share - logOf(count));
    ways = next;
  }
  return Math.exp(Math.log(ways[length] ?? 0) + logOf(length));
}

const deriveKey = promisify(pbkdf2);

/** RFC 7677 §4: at least 4096. */
export const leastScramIterations = 4096;

/**
 * What PostgreSQL stores for a password (src/common/scram-common.c, `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`
 * with base64). A string of this form is stored as it is, so the server, its log and pg_stat_statements never see the
 * password. RFC 5802 §3, RFC 7677. Throws RangeError unless the password is printable ASCII, which SASLprep leaves alone.
 */
export async function scramVerifier(
  password: string,
  iterations: number = leastScramIterations,
  salt: Uint8Array = randomBytes(16),
): Promise<string> {
  if (!/^[ -~]+$/.test(password)) throw new RangeError('the password is not printable ASCII');
  if (iterations < leastScramIterations) throw new RangeError(`fewer than ${leastScramIterations} iterations`);
  const { storedKey, serverKey } = scramKeys(await deriveKey(password, salt, iterations, 32, 'sha256'));
  const base64 = (octets: Uint8Array) => Buffer.from(octets).toString('base64');
  return `SCRAM-SHA-256$${iterations}:${base64(salt)}$${base64(storedKey)}:${base64(serverKey)}`;
}

/** RFC 5802 §3, from SaltedPassword. */
function scramKeys(saltedPassword: Buffer): { storedKey: Buffer; serverKey: Buffer } {
  const hmac = (text: string) => createHmac('sha256', saltedPassword).update(text).digest();
  return { storedKey: createHash('sha256').update(hmac('Client Key')).digest(), serverKey: hmac('Server Key') };
}
