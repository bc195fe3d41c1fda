import { AppError } from '#core/errors.ts';
import type { EngineName, TargetKind } from './target.ts';

/** The kinds of servers that this build knows. */
export type Kinds = Readonly<Partial<Record<EngineName, TargetKind>>>;

/** Throws `refused` for a kind that is not among them. */
export function kindOf(kinds: Kinds, engine: EngineName): TargetKind {
  const kind = kinds[engine];
  if (kind !== undefined) return kind;
  throw new AppError('refused', `This server knows no databases of the kind ${engine}.`);
}
