import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Purpose } from '#engines/pki/validation/certificate-rules.ts';
import type { PeerName } from '#engines/pki/validation/peer-name.ts';
import { type ValidationResult, validateCertificate } from '#engines/pki/validation/validate.ts';
import { encodePem } from '#engines/pki/x509/pem.ts';
import { at, createMaker, type Hierarchy, type Made, sampleHierarchies } from './hierarchy.ts';

/**
 * Random hierarchies, judged by our validator and by `openssl verify`. Every disagreement must belong to a class that is
 * explained in docs/divergences.md; any other fails, and is printed with its seed.
 */

const count = Number(process.env['CHANCERY_HIERARCHIES'] ?? 10_000);
const seed = Number(process.env['CHANCERY_SEED'] ?? 20_261_121);
/** Hierarchies that one process of openssl judges: names differ, so that they do not meet. */
const batchSize = 250;

interface Question {
  readonly purpose: Purpose;
  readonly name?: PeerName;
  readonly explicit: boolean;
  readonly flags: readonly string[];
}

const questions: readonly Question[] = [
  { purpose: 'any', explicit: false, flags: [] },
  { purpose: 'server_auth', explicit: false, flags: ['-purpose', 'sslserver'] },
  { purpose: 'client_auth', explicit: false, flags: ['-purpose', 'sslclient'] },
  {
    purpose: 'any',
    name: { kind: 'dns', value: 'a.example.com' },
    explicit: false,
    flags: ['-verify_hostname', 'a.example.com'],
  },
  { purpose: 'any', name: { kind: 'ip', value: '10.0.0.1' }, explicit: false, flags: ['-verify_ip', '10.0.0.1'] },
  { purpose: 'any', explicit: true, flags: ['-explicit_policy'] },
];

interface Case {
  readonly index: number;
  readonly hierarchy: Hierarchy;
  readonly made: Made;
  readonly question: Question;
}

function run(folder: string, { flags }: Question, files: readonly string[]): Promise<string> {
  const always = [
    '-partial_chain',
    '-policy_check',
    '-policy',
    '2.5.29.32.0',
    '-auth_level',
    '2',
    '-attime',
    String(at / 1000),
  ];
  const given = [
    '-no-CApath',
    '-no-CAstore',
    '-CAfile',
    join(folder, 'anchors.pem'),
    '-untrusted',
    join(folder, 'others.pem'),
  ];
  return new Promise((resolve) => {
    const options = { maxBuffer: 64_000_000 };
    execFile('openssl', ['verify', ...always, ...flags, ...given, ...files], options, (_, stdout, stderr) =>
      resolve(`${stdout}\n${stderr}`),
    );
  });
}

/** What openssl says of every case: `OK`, or the number and text of its error. */
async function askOpenssl(folder: string, cases: readonly Case[]): Promise<Map<number, string>> {
  const pem = (ders: readonly Buffer[]) => ders.map((der) => encodePem('CERTIFICATE', der)).join('');
  writeFileSync(join(folder, 'anchors.pem'), pem(cases.flatMap(({ made }) => made.anchors)));
  writeFileSync(join(folder, 'others.pem'), pem(cases.flatMap(({ made }) => made.intermediates)));
  const files = cases.map(({ index, made }) => {
    const file = join(folder, `${index}.pem`);
    writeFileSync(file, pem([made.leaf]));
    return file;
  });
  const output = await run(folder, cases[0]?.question as Question, files);
  const verdicts = new Map<number, string>();
  for (const [, index] of output.matchAll(/(\d+)\.pem: OK/g)) verdicts.set(Number(index), 'OK');
  let errors: string[] = [];
  for (const line of output.split('\n')) {
    const [, error] = /^error (\d+ at \d+ depth lookup: .*)$/.exec(line) ?? [];
    const [, index] = /^error .*?(\d+)\.pem: verification failed$/.exec(line) ?? [];
    if (error !== undefined) errors.push(error);
    if (index !== undefined) verdicts.set(Number(index), errors.join('; '));
    if (index !== undefined) errors = [];
  }
  return verdicts;
}

function askOurs({ made, question }: Case): Promise<ValidationResult> {
  return validateCertificate({
    leaf: made.leaf,
    intermediates: made.intermediates,
    anchors: made.anchors,
    at,
    purpose: question.purpose,
    name: question.name,
    policies: { requireExplicit: question.explicit },
    profile: 'rfc5280',
    checkRevocation: 'none',
  });
}

interface Disagreement extends Case {
  readonly ours: ValidationResult;
  readonly openssl: string;
}

/** The classes of docs/divergences.md: what must be true of a disagreement to belong to one. */
const classes: Readonly<Record<string, (given: Disagreement) => boolean>> = {
  'another way up (openssl takes one issuer and does not come back)': ({ hierarchy, ours }) =>
    ours.valid && (hierarchy.crossed !== undefined || hierarchy.namesake),
  'authorityKeyIdentifier that does not fit (a help for finding issuers, no rule of §6.1)': ({
    hierarchy,
    ours,
    openssl,
  }) =>
    ours.valid &&
    /unable to get local issuer/.test(openssl) &&
    [...hierarchy.middle, hierarchy.leaf].some(({ keyIdentifier }) => keyIdentifier === 'wrong'),
  'anyExtendedKeyUsage (allows every purpose; openssl wants it by name)': ({ hierarchy, ours, openssl }) =>
    ours.valid &&
    /unsuitable certificate purpose/.test(openssl) &&
    [hierarchy.root, ...hierarchy.middle, hierarchy.leaf].some(({ purposes }) => purposes === 'any'),
  'a common name taken for a host (RFC 9525 §6.1 forbids it)': ({ hierarchy, question, ours, openssl }) =>
    openssl === 'OK' &&
    question.name?.kind === 'dns' &&
    hierarchy.commonName === question.name.value &&
    hierarchy.names.dns.length === 0 &&
    ours.reasons.every(({ code }) => code === 'name_mismatch'),
  'a common name held to constraints on host names (no host for RFC 9525, so no name to constrain)': ({
    hierarchy,
    ours,
    openssl,
  }) =>
    ours.valid &&
    /subtree violation/.test(openssl) &&
    hierarchy.commonName !== 'leaf' &&
    hierarchy.names.dns.length === 0,
  'a wildcard that stands for an excluded name, too': ({ hierarchy, ours, openssl }) =>
    openssl === 'OK' &&
    hierarchy.names.dns.includes('*.example.com') &&
    ours.reasons.every(({ code, found }) => code === 'name_excluded' && found === 'the name dns:*.example.com'),
  'a self-issued intermediate without key identifiers, taken for a root': ({ hierarchy, ours, openssl }) =>
    ours.valid &&
    hierarchy.selfIssued !== undefined &&
    hierarchy.middle[hierarchy.selfIssued]?.keyIdentifier === 'none' &&
    /self-signed certificate/.test(openssl),
  'a trust anchor without basicConstraints (trusted as it is, §6.1.1 (d))': ({ hierarchy, ours, openssl }) =>
    ours.valid &&
    /invalid CA certificate/.test(openssl) &&
    [hierarchy.root, ...hierarchy.middle].some(({ authority }) => authority === 'unsaid'),
  'a mapping of anyPolicy (§6.1.4 (a) forbids it on every path)': ({ ours, openssl }) =>
    openssl === 'OK' && ours.reasons.every(({ found }) => found === 'a policy mapping from or to anyPolicy'),
};

function classOf(given: Disagreement): string | undefined {
  return Object.keys(classes).find((name) => classes[name]?.(given));
}

async function disagreements(context: TestContext): Promise<{ agreed: number; valid: number; found: Disagreement[] }> {
  const maker = await createMaker();
  const cases = sampleHierarchies(count, seed).map((hierarchy, index): Case => {
    const question = questions[Math.floor(index / batchSize) % questions.length] as Question;
    return { index, hierarchy, made: maker(hierarchy, String(index)), question };
  });
  const folder = mkdtempSync(join(tmpdir(), 'chancery-agreement-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const found: Disagreement[] = [];
  let valid = 0;
  for (let start = 0; start < cases.length; start += batchSize) {
    const batch = cases.slice(start, start + batchSize);
    const asked = askOpenssl(folder, batch);
    const own: ValidationResult[] = [];
    for (const each of batch) own.push(await askOurs(each));
    const theirs = await asked;
    for (const [place, each] of batch.entries()) {
      const ours = own[place] as ValidationResult;
      const openssl = theirs.get(each.index);
      assert.ok(openssl !== undefined, `openssl says nothing of ${each.index}`);
      if (ours.valid && openssl === 'OK') valid += 1;
      if (ours.valid !== (openssl === 'OK')) found.push({ ...each, ours, openssl });
    }
  }
  return { agreed: cases.length - found.length, valid, found };
}

function print({ index, hierarchy, question, ours, openssl }: Disagreement): string {
  const reasons = ours.reasons.map((each) => `${each.code}@${each.certificate?.index}: ${each.found}`).join('; ');
  return `${index} ${question.flags.join(' ')}: ours ${ours.valid ? 'valid' : reasons}, openssl ${openssl}\n${JSON.stringify(hierarchy)}`;
}

test('random hierarchies are judged as openssl judges them, but for differences that are explained', async (context) => {
  const { agreed, valid, found } = await disagreements(context);
  const byClass = Map.groupBy(found, (each) => classOf(each) ?? 'unexplained');
  context.diagnostic(`${count} hierarchies of seed ${seed}: ${agreed} agreed, ${valid} of them valid`);
  for (const [name, list] of byClass) context.diagnostic(`${list.length} ${name}`);
  const unexplained = byClass.get('unexplained') ?? [];
  assert.deepEqual(unexplained.slice(0, 10).map(print), []);
});
