/** "Did you mean …": the candidates nearest to what was typed, nearest first, at most three. */
export function suggest(typed: string, candidates: Iterable<string>): string[] {
  const wanted = typed.slice(0, maxLength);
  const limit = Math.max(1, Math.floor(wanted.length / 3));
  const near = [...candidates]
    .map((candidate) => ({ candidate, distance: nearness(wanted, candidate) }))
    .filter(({ distance }) => distance <= limit)
    .sort((left, right) => left.distance - right.distance || left.candidate.localeCompare(right.candidate));
  // Where something is much nearer than the rest, the rest only confuses.
  const best = near[0]?.distance ?? 0;
  return near
    .filter(({ distance }) => distance <= best + 1)
    .slice(0, 3)
    .map(({ candidate }) => candidate);
}

/** `did you mean a, b or c?` for a hint; undefined when nothing is near. */
export function didYouMean(typed: string, candidates: Iterable<string>): string | undefined {
  const near = suggest(typed, candidates);
  if (near.length === 0) return undefined;
  const last = near.at(-1) ?? '';
  return `did you mean ${near.length === 1 ? last : `${near.slice(0, -1).join(', ')} or ${last}`}?`;
}

/** Longer input is cut: nobody mistypes a command of more, and the distance is quadratic. */
const maxLength = 64;

/** Something that merely begins or ends with what was typed is near, however much is missing. */
function nearness(typed: string, candidate: string): number {
  if (typed.length >= 3 && (candidate.startsWith(typed) || candidate.endsWith(typed))) return 1;
  return editDistance(typed, candidate.slice(0, maxLength));
}

/** Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours. */
function editDistance(left: string, right: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: right.length + 1 }, (_, index) => index);
  for (let row = 1; row <= left.length; row++) {
    const current = [row];
    for (let column = 1; column <= right.length; column++) {
      const same = left[row - 1] === right[column - 1];
      let best = Math.min(at(last, column) + 1, at(current, column - 1) + 1, at(last, column - 1) + (same ? 0 : 1));
      if (left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1])
        best = Math.min(best, at(beforeLast, column - 2) + 1);
      current.push(best);
    }
    beforeLast = last;
    last = current;
  }
  return at(last, right.length);
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Number.POSITIVE_INFINITY;
}
