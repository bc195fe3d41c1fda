import { AppError, type ErrorDetail } from '#core/errors.ts';
import { literalPieces } from './statement-lexer.ts';
import type { EngineName } from './target.ts';

/**
 * Statements that an operator writes instead of the preset. Each entry is one script: it goes to the server whole and
 * is never cut at `;`, so functions and DO blocks survive (vault#6098). Placeholders are quoted by where they stand:
 *
 * | where                   | `{{name}}`        | the others     |
 * |-------------------------|-------------------|----------------|
 * | bare                    | quoted identifier | quoted literal |
 * | in `'…'`, `"…"`, `` `…` `` | escaped for it  | escaped for it |
 * | in a comment or `$$…$$` | refused           | refused        |
 */

/** `username` is `name`. What `password` is, the target says: on PostgreSQL it is the SCRAM verifier. */
export type PlaceholderName = 'name' | 'username' | 'password' | 'expiration';

export const placeholdersOf = {
  creation: ['name', 'username', 'password', 'expiration'],
  revocation: ['name', 'username'],
} as const satisfies Record<string, readonly PlaceholderName[]>;

export type StatementPurpose = keyof typeof placeholdersOf;

/** Bounds of what a role may hold. */
export const statementLimits = { count: 20, length: 10_000 } as const;

/** A script cut at its placeholders; `renderStatement` puts the values in. */
export interface Statement {
  readonly pieces: readonly (string | Slot)[];
}

interface Slot {
  readonly placeholder: PlaceholderName;
  /** Quotes or escapes a value for the place where it goes. */
  readonly encode: (value: string) => string;
}

export interface StatementValues {
  readonly name: string;
  readonly password?: string | undefined;
  readonly expiration?: string | undefined;
}

/** Cuts a script at its placeholders. Throws `invalid_request` for one that is unknown or where no value may go. */
export function parseStatement(text: string, engine: EngineName, purpose: StatementPurpose): Statement {
  const problem = (message: string, hint: string) => {
    throw new AppError('invalid_request', message, { hint });
  };
  if (text.trim() === '') problem('A statement is empty.', 'Leave it out.');
  if (text.length > statementLimits.length)
    problem(`A statement has more than ${statementLimits.length} characters.`, 'Call a function of the database.');
  if (/[\0\uD800-\uDFFF]/.test(text.replace(/[\uD800-\uDBFF][\uDC00-\uDFFF]/g, '')))
    problem('A statement holds a NUL or half a character.', 'Write it in UTF-8 without NUL.');
  const allowed: readonly string[] = placeholdersOf[purpose];
  const pieces = literalPieces(text, engine).map((piece) => {
    if (typeof piece === 'string') return piece;
    if (!allowed.includes(piece.name)) {
      problem(
        `There is no {{${piece.name.slice(0, 40)}}} in ${purpose} statements.`,
        `The placeholders are ${allowed.map((name) => `{{${name}}}`).join(', ')}; for braces that are none, put a space between them.`,
      );
    }
    const placeholder = piece.name as PlaceholderName;
    const isName = placeholder === 'name' || placeholder === 'username';
    return { placeholder, encode: isName ? piece.encodeName : piece.encodeText };
  });
  return { pieces };
}

/** The script with the values in place. Throws RangeError for a value that no quoting can carry, or that is missing. */
export function renderStatement(statement: Statement, values: StatementValues): string {
  return statement.pieces
    .map((piece) => {
      if (typeof piece === 'string') return piece;
      const value = values[piece.placeholder === 'username' ? 'name' : piece.placeholder];
      if (value === undefined) throw new RangeError(`there is no value for {{${piece.placeholder}}}`);
      if (value.includes('\0')) throw new RangeError(`the value for {{${piece.placeholder}}} holds a NUL`);
      return piece.encode(value);
    })
    .join('');
}

/**
 * What is checked when a role is saved. Throws `invalid_request` with every finding; `at` is the index of the statement
 * below `pointer` (a JSON pointer: `/creation_statements`).
 */
export function checkStatements(
  statements: readonly string[],
  engine: EngineName,
  purpose: StatementPurpose,
  pointer: string,
): void {
  const details: ErrorDetail[] = [];
  const found = new Set<string>();
  let hint: string | undefined;
  for (const [index, text] of statements.entries()) {
    try {
      for (const piece of parseStatement(text, engine, purpose).pieces)
        if (typeof piece !== 'string') found.add(piece.placeholder);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      details.push({ at: `${pointer}/${index}`, message: error.message });
      hint ??= error.hint;
    }
  }
  if (statements.length > statementLimits.count)
    details.push({ at: pointer, message: `At most ${statementLimits.count} statements are allowed.` });
  if (details.length === 0 && statements.length > 0 && !found.has('name') && !found.has('username')) {
    details.push({ at: pointer, message: 'No statement names the user.' });
    hint = 'Write {{name}} where the name of the user belongs.';
  }
  const [first] = details;
  if (first) throw new AppError('invalid_request', `${first.at}: ${first.message}`, { details, ...(hint && { hint }) });
}
