import type { OfferedOperation } from './backend.ts';
import { toolNameOf } from './catalogue.ts';
import { always, everyday } from './everyday.ts';
import { everydayWords, meanings } from './texts/search-words.ts';

/** Which operations a question is about: by their words, by other words for the same, and what is done every day first. */

export interface SearchResult {
  /** Best first; equals in the order of the list. */
  readonly found: readonly OfferedOperation[];
  readonly total: number;
}

export function searchOperations(operations: readonly OfferedOperation[], query: string, limit: number): SearchResult {
  const named = query.trim().toLowerCase();
  const asked = termsOf(query);
  const scored = operations
    .map((operation) => ({
      operation,
      score: isNamed(operation, named) ? Number.MAX_VALUE : scoreOf(operation, asked),
    }))
    .filter(({ score }) => score > 0)
    .sort((left, right) => right.score - left.score);
  return { found: scored.slice(0, limit).map(({ operation }) => operation), total: scored.length };
}

function isNamed(operation: OfferedOperation, named: string): boolean {
  return operation.id === named || toolNameOf(operation) === named;
}

/** A word of the question, with the words that mean the same. */
interface Term {
  readonly words: readonly Word[];
}

interface Word {
  readonly stem: string;
  /** 1 as it was asked, less for another word of the same meaning. */
  readonly weight: number;
}

const mostTerms = 20;
const otherWord = 0.8;

function termsOf(query: string): Term[] {
  const stems = stemsOf(query);
  return [...new Set(stems)].slice(0, mostTerms).map((stem) => ({
    words: [{ stem, weight: 1 }, ...(meaningsOf.get(stem) ?? []).map((other) => ({ stem: other, weight: otherWord }))],
  }));
}

/** Words that every question has. */
const empty = new Set(
  (
    'a about am an and any are as at be before but by can do does for from give have how i if in into is it its let ' +
    'make me my need of on one or our out please should so some soon still that the their them there this to up use want was we ' +
    'what when where which whom whose why will with without you your'
  ).split(' '),
);

function stemsOf(text: string): string[] {
  return text
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '' && !empty.has(word))
    .map(stemOf);
}

/** Without the endings of plural and time: certificates, expires, expiring, expired, renewal, policies. */
function stemOf(word: string): string {
  if (word.length <= 3) return word;
  const stem = word.replace(/(?:ies|ied|ying|ing|edly|ed|es|s|y|e|al)$/, '');
  return stem.length >= 3 ? stem.replace(/([bdglmnprt])\1$/, '$1') : word;
}

const meaningsOf: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries(meanings).map(([word, others]) => [stemOf(word), stemsOf(others)]),
);

/** Where a word stands, and what it counts there: in a title more than in a text. */
interface Entry {
  readonly fields: readonly { readonly stems: ReadonlySet<string>; readonly weight: number }[];
  readonly isEveryday: boolean;
}

const entries = new WeakMap<OfferedOperation, Entry>();

function entryOf(operation: OfferedOperation): Entry {
  const known = entries.get(operation);
  if (known !== undefined) return known;
  const { id, title, summary } = operation;
  const entry = {
    fields: [
      { stems: new Set(stemsOf(id)), weight: 4 },
      { stems: new Set(stemsOf(title)), weight: 4 },
      { stems: new Set(stemsOf(everydayWords[id] ?? '')), weight: 4 },
      { stems: new Set(stemsOf(summary)), weight: 1 },
    ],
    isEveryday: id === always || everyday.includes(id),
  };
  entries.set(operation, entry);
  return entry;
}

/** What each part of the question that is found adds; all parts found are worth more than one found often. */
function scoreOf(operation: OfferedOperation, asked: readonly Term[]): number {
  const { fields, isEveryday } = entryOf(operation);
  let score = 0;
  let found = 0;
  for (const { words } of asked) {
    let best = 0;
    for (const { stem, weight } of words) {
      let sum = 0;
      for (const field of fields) sum = Math.max(sum, field.weight * matchOf(field.stems, stem)) + (sum > 0 ? 0.1 : 0);
      best = Math.max(best, sum * weight);
    }
    score += best;
    if (best > 0) found++;
  }
  if (found === 0) return 0;
  return score * (found / asked.length) + (isEveryday ? everydayBonus : 0);
}

const everydayBonus = 1;
/** Shorter words are whole or nothing: CA is no part of cancel. */
const shortestPart = 4;

function matchOf(stems: ReadonlySet<string>, asked: string): number {
  if (stems.has(asked)) return 1;
  if (asked.length < shortestPart) return 0;
  for (const stem of stems)
    if (stem.startsWith(asked) || (stem.length >= shortestPart && asked.startsWith(stem))) return 0.6;
  return 0;
}
