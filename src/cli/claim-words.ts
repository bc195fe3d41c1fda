/** Whether words after `chancery claim` are for the local command, or for one of the area: `chancery claim list-claims`. */
export function isForClaim(words: readonly string[]): boolean {
  const first = words.find((word) => !word.startsWith('--'));
  return first === undefined || first === '-' || first.startsWith('chc_');
}
