import { execFile, execFileSync } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  type Finding,
  type LintKind,
  type LintProfile,
  lintSignedCertificate,
  readSignedCertificateView,
} from '#pki/lint/certificate.ts';
import { lintCrl } from '#pki/lint/crl.ts';
import { oids } from '#pki/x509/oid.ts';

/**
 * How many of the certificates and CRLs that zlint faults our linter faults too, and how many it faults alone. Not a
 * test: the files are zlint's own (github.com/zmap/zlint, v3/testdata) and are not kept here.
 *
 *   node test/pki/lint-recall.ts FOLDER [ANSWERS]
 *
 * FOLDER holds the files as PEM; ANSWERS is a folder in which zlint's answers are kept for the next run.
 */
interface Judged {
  readonly file: string;
  /** Names of zlint's lints that end in an error, by source. */
  readonly rfc: readonly string[];
  readonly webPki: readonly string[];
  /** Errors of ours under either profile. */
  readonly ours: readonly Finding[];
  readonly oursWebPki: readonly Finding[];
}

const runFile = promisify(execFile);

function lintsOf(source: string): ReadonlySet<string> {
  const listed = execFileSync('zlint', ['-list-lints-json', '-includeSources', source], { encoding: 'utf8' });
  const lines = listed.split('\n').filter((line) => line !== '');
  return new Set(lines.map((line) => (JSON.parse(line) as { name: string }).name));
}

/** What zlint says, as JSON; empty when it cannot read the file. */
async function askZlint(path: string, answer: string | undefined): Promise<string> {
  const kept = answer === undefined ? undefined : await readFile(answer, 'utf8').catch(() => undefined);
  if (kept !== undefined) return kept;
  const parameters = ['-includeSources', 'RFC5280,CABF_BR', '-format', 'pem', path];
  const { stdout } = await runFile('zlint', parameters).catch(() => ({ stdout: '' }));
  if (answer !== undefined) await writeFile(answer, stdout);
  return stdout;
}

function errorsIn(answer: string): string[] {
  if (answer.trim() === '') return ['unreadable'];
  const results = Object.entries(JSON.parse(answer) as Record<string, { result: string }>);
  return results.filter(([, { result }]) => result === 'error' || result === 'fatal').map(([name]) => name);
}

function readPem(text: string): { label: string; der: Buffer } {
  const [, label = '', base64 = ''] = /-----BEGIN ([^-]+)-----([^-]*)-----END/.exec(text) ?? [];
  return { label, der: Buffer.from(base64, 'base64') };
}

function kindOf(der: Buffer): LintKind {
  const view = readSignedCertificateView(der);
  if ('severity' in view) return 'leaf';
  if (view.values.basicConstraints?.value?.ca === true) return 'authority';
  return view.values.extendedKeyUsage?.value?.includes(oids.ocspSigning) === true ? 'ocsp_signer' : 'leaf';
}

function ownErrors(text: string, profile: LintProfile): Finding[] {
  const { label, der } = readPem(text);
  const findings = label.includes('CRL')
    ? lintCrl(der, { profile })
    : lintSignedCertificate(der, { kind: kindOf(der), profile });
  return findings.filter(({ severity }) => severity === 'error');
}

async function judgeFile(folder: string, file: string, answers: string | undefined): Promise<Judged> {
  const answer = answers === undefined ? undefined : join(answers, `${file}.json`);
  const errors = errorsIn(await askZlint(join(folder, file), answer));
  const text = await readFile(join(folder, file), 'latin1');
  return {
    file,
    rfc: errors.filter((name) => rfcLints.has(name) || name === 'unreadable'),
    webPki: errors.filter((name) => webPkiLints.has(name)),
    ours: ownErrors(text, 'rfc5280'),
    oursWebPki: ownErrors(text, 'web_pki'),
  };
}

function countBy(names: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  const sorted = [...counts].toSorted(([, left], [, right]) => right - left);
  return sorted.map(([name, count]) => `  ${String(count).padStart(4)}  ${name}`).join('\n');
}

function share(part: readonly unknown[], whole: readonly unknown[]): string {
  return `${part.length} of ${whole.length} (${((100 * part.length) / Math.max(whole.length, 1)).toFixed(1)} %)`;
}

function report(
  title: string,
  judged: readonly Judged[],
  theirs: (file: Judged) => readonly string[],
  ours: (file: Judged) => readonly Finding[],
): void {
  const faulted = judged.filter((file) => theirs(file).length > 0);
  const clean = judged.filter((file) => theirs(file).length === 0);
  const missed = faulted.filter((file) => ours(file).length === 0);
  const alone = clean.filter((file) => ours(file).length > 0);
  const found = faulted.filter((file) => ours(file).length > 0);
  console.log(`\n${title}: found ${share(found, faulted)}, faulted alone ${share(alone, clean)}`);
  console.log(` missed, by zlint's lints:\n${countBy(missed.flatMap((file) => theirs(file)))}`);
  console.log(` alone, by our rules:\n${countBy(alone.flatMap((file) => ours(file).map(({ code }) => code)))}`);
  if (process.env['FILES'] === undefined) return;
  for (const file of missed) console.log(` missed ${file.file}: ${theirs(file).join(' ')}`);
  for (const file of alone) {
    console.log(
      ` alone ${file.file}: ${ours(file)
        .map(({ code, message }) => `${code} (${message})`)
        .join('; ')}`,
    );
  }
}

const rfcLints = lintsOf('RFC5280');
const webPkiLints = lintsOf('CABF_BR');
const [, , folder, answers] = process.argv;
if (folder === undefined) throw new Error('usage: node test/pki/lint-recall.ts FOLDER [ANSWERS]');
if (answers !== undefined) await mkdir(answers, { recursive: true });
const files = (await readdir(folder)).filter((file) => file.endsWith('.pem'));
const judged: Judged[] = [];
for (const file of files) judged.push(await judgeFile(folder, file, answers));
report(
  'RFC 5280',
  judged,
  ({ rfc }) => rfc,
  ({ ours }) => ours,
);
report(
  'Baseline Requirements',
  judged,
  ({ rfc, webPki }) => [...rfc, ...webPki],
  ({ oursWebPki }) => oursWebPki,
);
