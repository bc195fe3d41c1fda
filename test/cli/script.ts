import { mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { shellWords } from '#cli/shell-words.ts';
import { run } from './harness.ts';
import type { RunResult } from './harness.ts';

/**
 * A session as text. Lines: `# what it shows`; `%% FILE` begins a file, up to `%%`; `$ command`, after which come
 * `< stdin`, `| stdout`, `! stderr` and `= exit code` (absent: 0). Commands: `chancery`, `tty[:COLUMNS] chancery` (outputs
 * are terminals), and `cat`, `mode`, `ls` for files. `NAME=value` before a command sets its environment.
 * In outputs, ESC is `\e`, a request id is REQUEST_ID, and the server's port is PORT.
 */
export interface Step {
  readonly title: string;
  readonly command: string;
  readonly stdin: string;
  readonly expected: string;
}

export interface Line {
  readonly kind: 'text' | 'file' | 'step';
  readonly text: string;
  readonly step?: Step;
  readonly file?: { readonly path: string; readonly content: string };
}

export function parseScript(script: string): Line[] {
  const lines = script.replace(/\n$/, '').split('\n');
  const parsed: Line[] = [];
  let title = '';
  for (let index = 0; index < lines.length; index++) {
    const line = lines[index] ?? '';
    if (line.startsWith('# ')) title = line.slice(2);
    if (line.startsWith('%% ')) {
      const end = lines.indexOf('%%', index);
      const content = lines
        .slice(index + 1, end)
        .map((text) => `${text}\n`)
        .join('');
      parsed.push({
        kind: 'file',
        text: lines.slice(index, end + 1).join('\n'),
        file: { path: line.slice(3), content },
      });
      index = end;
    } else if (line.startsWith('$ ')) {
      let end = index + 1;
      while (/^[<|!=](?: |$)/.test(lines[end] ?? '')) end++;
      const own = lines.slice(index + 1, end);
      const stdin = own
        .filter((text) => text.startsWith('<'))
        .map((text) => `${text.slice(2)}\n`)
        .join('');
      const expected = own.filter((text) => !text.startsWith('<')).join('\n');
      parsed.push({ kind: 'step', text: line, step: { title, command: line.slice(2), stdin, expected } });
      index = end - 1;
    } else parsed.push({ kind: 'text', text: line });
  }
  return parsed;
}

/** What a step really gives, in the notation of scripts. Runs in the current folder. */
export async function runStep(step: Step, env: Readonly<Record<string, string>>): Promise<string> {
  const words = shellWords(step.command);
  const own: Record<string, string | undefined> = { ...env };
  while (/^[A-Z_]+=/.test(words[0] ?? '')) {
    const [assignment = ''] = words.splice(0, 1);
    own[assignment.slice(0, assignment.indexOf('='))] = assignment
      .slice(assignment.indexOf('=') + 1)
      .replace('$URL', env['CHANCERY_URL'] ?? '');
  }
  return show(await runWords(words, own, step.stdin), env['CHANCERY_URL'] ?? '');
}

async function runWords(words: string[], env: Record<string, string | undefined>, stdin: string): Promise<RunResult> {
  const [program = '', path = '.'] = words;
  const tty = /^tty(?::(\d+))?$/.exec(program);
  if (tty) return run({ argv: words.slice(2), env, stdin, columns: Number(tty[1] ?? 80) });
  if (program === 'chancery') return run({ argv: words.slice(1), env, stdin });
  if (program === 'cat') return { exit: 0, stdout: await readFile(path, 'latin1'), stderr: '' };
  if (program === 'mode') return { exit: 0, stdout: `${((await stat(path)).mode & 0o777).toString(8)}\n`, stderr: '' };
  if (program === 'ls')
    return {
      exit: 0,
      stdout: (await readdir(path))
        .sort()
        .map((file) => `${file}\n`)
        .join(''),
      stderr: '',
    };
  throw new Error(`scripts know no ${program}`);
}

function show({ stdout, stderr, exit }: RunResult, url: string): string {
  return [...marked('|', stdout, url), ...marked('!', stderr, url), ...(exit === 0 ? [] : [`= ${exit}`])].join('\n');
}

function marked(mark: string, text: string, url: string): string[] {
  if (text === '') return [];
  const plain = text
    .replaceAll('\u001b', '\\e')
    .replaceAll(url, 'http://127.0.0.1:PORT')
    .replaceAll(/req_[0-9a-z]+/g, 'REQUEST_ID');
  const lines = plain.replace(/\n$/, '').split('\n');
  if (!text.endsWith('\n')) lines.push('(no line end)');
  return lines.map((line) => `${mark} ${line}`.trimEnd());
}

export async function writeInput(path: string, content: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
}
