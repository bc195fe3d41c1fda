import type { Command } from './command.ts';
import { usageFailure } from './failure.ts';
import { didYouMean } from '#core/suggest.ts';

/** Areas in the order of the operations. */
export function areasOf(commands: readonly Command[]): string[] {
  return [...new Set(commands.map((command) => command.area))];
}

/** Throws a usage failure that says what was probably meant. `others`: names beside the areas. */
export function findArea(commands: readonly Command[], others: readonly string[], word: string): string {
  const areas = areasOf(commands);
  if (areas.includes(word)) return word;
  // Somebody may have left the area out: `chancery issue-certificate`.
  const bare = commands.find((command) => command.verb === word);
  const near = bare === undefined ? didYouMean(word, [...areas, ...others]) : `did you mean ${bare.area} ${bare.verb}?`;
  throw usageFailure(`there is no command "${word.slice(0, 60)}"`, {
    hint: near ?? 'chancery help lists the commands',
  });
}

/** By full name, or by the beginning of it where only one command begins so. Throws a usage failure. */
export function findCommand(commands: readonly Command[], area: string, word: string): Command {
  const inArea = commands.filter((command) => command.area === area);
  const verb = word.replaceAll('_', '-');
  const exact = inArea.find((command) => command.verb === verb || command.operation.cli?.alias === verb);
  if (exact !== undefined) return exact;
  const begun = verb === '' ? [] : inArea.filter((command) => command.verb.startsWith(verb));
  const [only] = begun;
  if (begun.length === 1 && only !== undefined) return only;
  if (begun.length > 1)
    throw usageFailure(`"${word}" begins several commands of ${area}`, {
      details: begun.map((command) => `${area} ${command.verb}`),
    });
  const near = didYouMean(
    verb,
    inArea.map((command) => command.verb),
  );
  throw usageFailure(`${area} has no command "${word.slice(0, 60)}"`, {
    hint: near ?? `chancery ${area} lists its commands`,
  });
}
