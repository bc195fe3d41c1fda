import { AppError } from '#core/errors.ts';
import { randomOctets } from '#core/random.ts';

/**
 * Names of leased users: `chy_<tag>_<what the template says>`, lower-case ASCII letters, digits and `_` only, so that
 * no database needs to quote or fold them. The prefix tells the reconciler which users are ours; 65 random bits keep a
 * name from ever coming back.
 */

/** Crockford's alphabet in lower case, without i, l, o and u. */
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
/** 13 × 5 = 65 bits. */
const randomLength = 13;
/** Seconds since 1970, until 2286. */
const timeLength = 10;

export const defaultUsernameTemplate = '{{role}}_{{random}}';

/** Longest template in characters. */
export const usernameTemplateLimit = 100;

const placeholderNames = ['role', 'principal', 'random', 'time'] as const;
type Placeholder = (typeof placeholderNames)[number];

type Piece = { readonly text: string } | { readonly placeholder: Placeholder };

/** Five random characters, fixed per connection, so that two installations on one server never mix up their users. */
export function newUsernameTag(): string {
  return randomText(5);
}

/** Begins every name that is made with this tag, and no other. */
export function usernamePrefix(tag: string): string {
  return `chy_${tag}_`;
}

export interface UsernameFacts {
  readonly tag: string;
  readonly role: string;
  readonly principal: string;
  /** Milliseconds. */
  readonly now: number;
}

/**
 * A new name of at most `limit` bytes. Role and principal are shortened where it would be longer; what is random never
 * is. Throws `invalid_request` for a template that cannot fit.
 */
export function makeUsername(template: string, facts: UsernameFacts, limit: number): string {
  const pieces = parseTemplate(template);
  const room = spareRoom(pieces, limit);
  const names = pieces.filter((piece) => 'placeholder' in piece && isName(piece.placeholder)).length;
  const values: Record<Placeholder, string> = {
    role: '',
    principal: '',
    random: randomText(randomLength),
    time: String(Math.floor(facts.now / 1000)).padStart(timeLength, '0'),
  };
  let left = room;
  let waiting = names;
  const parts = pieces.map((piece) => {
    if ('text' in piece) return piece.text;
    if (!isName(piece.placeholder)) return values[piece.placeholder];
    const text = sanitise(piece.placeholder === 'role' ? facts.role : facts.principal).slice(
      0,
      Math.floor(left / waiting),
    );
    left -= text.length;
    waiting--;
    return text;
  });
  return usernamePrefix(facts.tag) + parts.join('');
}

/** Throws `invalid_request` when names by this template could not be made within `limit` bytes. */
export function checkUsernameTemplate(template: string, limit: number): void {
  spareRoom(parseTemplate(template), limit);
}

const tagLength = 5;
const shortestName = 4;

/** Characters that role and principal have between them. */
function spareRoom(pieces: readonly Piece[], limit: number): number {
  const fixed = pieces.reduce((sum, piece) => sum + fixedLength(piece), usernamePrefix('x'.repeat(tagLength)).length);
  const names = pieces.filter((piece) => 'placeholder' in piece && isName(piece.placeholder)).length;
  if (fixed + names * shortestName <= limit) return limit - fixed;
  throw new AppError(
    'invalid_request',
    `Names by this template need ${fixed + names * shortestName} characters, and the database allows ${limit}.`,
    {
      hint: `Use fewer placeholders or less text; the default is ${defaultUsernameTemplate}.`,
    },
  );
}

function fixedLength(piece: Piece): number {
  if ('text' in piece) return piece.text.length;
  if (piece.placeholder === 'random') return randomLength;
  return piece.placeholder === 'time' ? timeLength : 0;
}

function isName(placeholder: Placeholder): boolean {
  return placeholder === 'role' || placeholder === 'principal';
}

function parseTemplate(template: string): Piece[] {
  const refuse = (message: string): never => {
    throw new AppError('invalid_request', message, {
      hint: 'A template has a-z, 0-9, _, {{role}}, {{principal}}, {{time}}, and {{random}} once: {{role}}_{{random}}.',
    });
  };
  if (template.length > usernameTemplateLimit)
    refuse(`The template has more than ${usernameTemplateLimit} characters.`);
  const pieces = template
    .split(/(\{\{\s*[a-z]+\s*\}\})/)
    .filter((part) => part !== '')
    .map((part): Piece => {
      const name = /^\{\{\s*([a-z]+)\s*\}\}$/.exec(part)?.[1];
      const placeholder = placeholderNames.find((each) => each === name);
      if (placeholder !== undefined) return { placeholder };
      if (name !== undefined) refuse(`There is no {{${name.slice(0, 40)}}} in the template of user names.`);
      if (!/^[a-z0-9_]+$/.test(part)) refuse('The template holds a character other than a-z, 0-9 and _.');
      return { text: part };
    });
  if (pieces.filter((piece) => 'placeholder' in piece && piece.placeholder === 'random').length !== 1)
    refuse('The template does not have {{random}} exactly once.');
  return pieces;
}

/** `Größe 7/prod` → `gro_e_7_prod`. */
function sanitise(name: string): string {
  const plain = name
    .slice(0, 256)
    .normalize('NFKD')
    .replace(/\p{M}+/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '_')
    .replace(/^_+|_+$/g, '');
  return plain === '' ? 'x' : plain;
}

/** 256 is a multiple of 32, so the low five bits of an octet are unbiased. */
function randomText(length: number): string {
  let text = '';
  for (const octet of randomOctets(length)) text += alphabet[octet & 31];
  return text;
}
