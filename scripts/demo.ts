/**
 * `npm run demo`: the whole life of one certificate, with a real server, a real TLS server and real TLS clients; then
 * that of one database user, with a real PostgreSQL. Every outcome is checked, by other programs than Chancery where they are at hand; the exit code is 0 only if all is as it
 * must be. Nothing is left behind, whether it ends well, fails or is interrupted.
 */
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Checkers, createCheckers, crlPem } from './demo/checkers.ts';
import { leaseADatabaseUser } from './demo/database.ts';
import { fetchOcsp } from './demo/own-ocsp.ts';
import { createRequester, type Requester, type StatusAddresses, statusAddresses } from './demo/requester.ts';
import { createScreen, expect, type Screen, WrongOutcome } from './demo/screen.ts';
import { type Server, startServer } from './demo/server.ts';
import { handshake, serve, type TlsServer } from './demo/tls.ts';

const name = 'shop.example.com';

/** What there is to clean up, newest last. */
type Undo = (() => unknown)[];

/** The parties once they exist. */
interface Stage {
  readonly screen: Screen;
  readonly server: Server;
  readonly folder: string;
  readonly undo: Undo;
}

/** What was issued, all PEM. */
interface Issued {
  readonly root: string;
  readonly issuing: string;
  readonly leaf: string;
  readonly serialNumber: string;
}

/** Resolves to what could not be shown here. */
async function play(screen: Screen, undo: Undo): Promise<string | undefined> {
  screen.say(
    'Chancery: the life of one certificate, and of one database user. All of it is real, and nothing is left behind.',
  );
  const folder = await mkdtemp(join(tmpdir(), 'chancery-demo-'));
  undo.push(() => rmSync(folder, { recursive: true, force: true }));
  const stage = { screen, folder, undo, server: await openTheHouse(screen, folder, undo) };
  const requester = await createRequester();
  const issued = await issue(stage, requester);
  const checkers = await createCheckers(join(folder, 'checks'), issued);
  const shop = await openTheShop(requester, issued);
  undo.push(() => shop.close());
  await use(stage, issued, shop, checkers);
  await askEverybody(stage, issued, checkers, 'good');
  await revoke(stage, issued);
  await askEverybody(stage, issued, checkers, 'revoked');
  await refuseAfterRevocation(stage, issued, shop, checkers);
  const leased = await leaseADatabaseUser({ ...stage, undo: (step) => undo.push(step) });
  await closeTheHouse(stage);
  return leased ? undefined : 'the database user';
}

async function openTheHouse(screen: Screen, folder: string, undo: Undo): Promise<Server> {
  screen.heading('A house');
  let opened: Server | undefined;
  await screen.step('starting the server', async () => {
    opened = await startServer(join(folder, 'house'), (server) => undo.push(() => server.stop()));
    return `Started Chancery on ${opened.url}, its records in ${folder}.`;
  });
  expect(opened !== undefined, 'The server did not start.');
  const server = opened;
  await screen.step('making a root', async () => {
    const root = { name: 'root', kind: 'root', common_name: 'Demo Root', key_type: 'ec-p384' };
    const { subject, key_type, not_after } = await server.ok('pki/authorities', root);
    return `Made a root: ${subject}, ${key_type}, until ${day(not_after)}. Its key is sealed in the store.`;
  });
  await screen.step('making an intermediate', async () => {
    const issuing = { name: 'issuing', kind: 'intermediate', parent: 'root', common_name: 'Demo Issuing' };
    const { subject, key_type, not_after } = await server.ok('pki/authorities', { ...issuing, max_path_length: 0 });
    return `Made an intermediate below it: ${subject}, ${key_type}, until ${day(not_after)}. It signs from now on.`;
  });
  await screen.step('making a role', async () => {
    const role = { name: 'web', authority: 'issuing', allowed_domains: ['example.com'], allow_subdomains: true };
    const { default_ttl, max_ttl } = await server.ok('pki/roles', role);
    return `Made the role web: names in example.com, for ${default_ttl}, at most ${max_ttl}.`;
  });
  return server;
}

async function issue({ screen, server }: Stage, requester: Requester): Promise<Issued> {
  screen.heading('A certificate');
  await screen.step('asking for a name outside the role', async () => {
    const csr = await requester.csr('shop.example.org');
    const { status, body } = await server.call('pki/certificates', { role: 'web', csr });
    expect(status === 422, `A name outside the role was answered with ${status} instead of a refusal.`);
    const [refusal] = body.refusals;
    expect(refusal.rule === 'allowed_domains', `The rule ${refusal.rule} refused, not allowed_domains.`);
    const [nearest] = body.nearest_request.dns_names;
    expect(nearest === name, `The nearest request is for ${nearest}, not for ${name}.`);
    return `Was refused shop.example.org, and told why and what would pass:\n${body.detail}\nNearest request: ${nearest}.`;
  });
  let issued: Issued | undefined;
  await screen.step('asking for what was advised', async () => {
    const csr = await requester.csr(name);
    const { certificate, chain, serial_number, private_key, not_after } = await server.ok('pki/certificates', {
      role: 'web',
      csr,
    });
    expect(private_key === undefined, 'The server sent a private key although it was given a CSR.');
    expect(chain.length === 2, `The chain has ${chain.length} certificates instead of two.`);
    issued = { root: chain[1], issuing: chain[0], leaf: certificate, serialNumber: serial_number };
    return `Was issued ${name} until ${not_after}, by a CSR: the private key never left this process.\nSerial number ${serial_number}.`;
  });
  expect(issued !== undefined, 'No certificate was issued.');
  return issued;
}

function openTheShop(requester: Requester, { leaf, issuing }: Issued): Promise<TlsServer> {
  const { ocsp } = addressesOf(leaf);
  return serve({
    key: requester.privateKey,
    certificates: leaf + issuing,
    staple: () => fetchOcsp(ocsp, issuing, leaf),
  });
}

function addressesOf(pem: string): StatusAddresses {
  const addresses = statusAddresses(pem);
  expect(addresses !== undefined, 'A certificate does not say where its status is to be found.');
  return addresses;
}

async function use({ screen }: Stage, issued: Issued, shop: TlsServer, checkers: Checkers): Promise<void> {
  screen.heading('Its use');
  await screen.step('connecting', async () => {
    const outcome = await handshake(shop.port, name, { roots: issued.root });
    expect(outcome.accepted, `A client that trusts the root refused the certificate: ${codeOf(outcome)}.`);
    return `A TLS client that trusts our root alone connected (${outcome.protocol}) and read "${outcome.words}".`;
  });
  await screen.step('connecting with an eye on revocation', async () => {
    const outcome = await handshake(shop.port, name, { roots: issued.root, readStaple: checkers.readOcsp });
    expect(outcome.accepted, `A client that insists on a stapled OCSP answer refused: ${codeOf(outcome)}.`);
    return 'A TLS client that also insists on a stapled OCSP answer connected.';
  });
  await screen.step('connecting with the CRLs of the path', async () => {
    const outcome = await handshake(shop.port, name, { roots: issued.root, crls: await fetchCrls(issued) });
    expect(outcome.accepted, `A client that checks the CRLs of the whole path refused: ${codeOf(outcome)}.`);
    return 'A TLS client that checks the CRLs of the whole path, root included, connected.';
  });
  await screen.step('connecting without our root', async () => {
    const outcome = await handshake(shop.port, name, {});
    expect(!outcome.accepted, 'A client that does not know our root accepted the certificate.');
    return `A TLS client that does not know our root refused it: ${outcome.code}.`;
  });
  await screen.step('connecting to another name', async () => {
    const outcome = await handshake(shop.port, 'bank.example.com', { roots: issued.root });
    expect(!outcome.accepted, 'A client of another name accepted the certificate.');
    return `A TLS client of bank.example.com refused it: ${outcome.code}.`;
  });
}

/** Path with CRLs, OCSP responder, validation: all three must say the same. */
async function askEverybody(stage: Stage, issued: Issued, checkers: Checkers, wanted: 'good' | 'revoked') {
  const { screen, server } = stage;
  screen.heading(wanted === 'good' ? 'Its status' : 'Its status now');
  const { ocsp } = addressesOf(issued.leaf);
  await screen.step('asking the OCSP responder', async () => {
    const said = await checkers.checkOcsp(ocsp);
    expect(said === wanted, `The OCSP responder says ${said}, not ${wanted}.`);
    return `OCSP, asked and verified by ${checkers.ocspReader}: ${said}.`;
  });
  await screen.step('reading the CRLs', async () => {
    const said = await checkers.checkCrls(await fetchCrls(issued));
    expect(said === wanted, `By the CRLs the certificate is ${said}, not ${wanted}.`);
    return `CRLs of leaf and intermediate, read by ${checkers.crlReader}: ${said}.`;
  });
  await screen.step('asking for validation', async () => {
    const { valid, reasons } = await server.ok('pki/certificates/validate', {
      certificate: issued.leaf,
      intermediates: [issued.issuing],
      trust_anchors: [issued.root],
      dns_name: name,
    });
    const codes = reasons.map(({ code }: { code: string }) => code);
    expect(valid === (wanted === 'good'), `Validation says valid: ${valid} (${codes.join(', ')}).`);
    return valid
      ? 'Validation by Chancery (RFC 5280 §6): valid.'
      : `Validation by Chancery: not valid, ${codes.join(', ')}.`;
  });
}

async function fetchCrls(issued: Issued): Promise<string[]> {
  return Promise.all(
    [issued.leaf, issued.issuing].map(async (pem) => {
      const url = addressesOf(pem).crl;
      const reply = await fetch(url);
      expect(reply.ok, `The CRL at ${url} was answered with ${reply.status}.`);
      return crlPem(new Uint8Array(await reply.arrayBuffer()));
    }),
  );
}

async function revoke({ screen, server }: Stage, { serialNumber }: Issued): Promise<void> {
  screen.heading('Its end');
  await screen.step('revoking', async () => {
    const path = `pki/certificates/${serialNumber}/revoke`;
    const { status, revoked_at, visible } = await server.ok(path, { reason: 'key_compromise' });
    expect(status === 'revoked', `The certificate is ${status} instead of revoked.`);
    await until(visible.ocsp, visible.crl);
    return `Revoked it at ${revoked_at}: key_compromise. Visible by OCSP and CRL at ${visible.crl}.`;
  });
}

/** Waits until the times have come, as the server promised them. */
async function until(...times: readonly string[]): Promise<void> {
  const wait = Math.max(...times.map((time) => Date.parse(time))) - Date.now();
  expect(wait < 10_000, `The revocation will be visible only at ${times.join(' and ')}.`);
  if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
}

async function refuseAfterRevocation({ screen }: Stage, issued: Issued, shop: TlsServer, checkers: Checkers) {
  await screen.step('connecting again', async () => {
    const outcome = await handshake(shop.port, name, { roots: issued.root, readStaple: checkers.readOcsp });
    expect(!outcome.accepted, 'A client that insists on a stapled OCSP answer accepted the revoked certificate.');
    return `The TLS client that insists on a stapled OCSP answer refused it: ${outcome.code}.`;
  });
  await screen.step('connecting again with the CRLs', async () => {
    const outcome = await handshake(shop.port, name, { roots: issued.root, crls: await fetchCrls(issued) });
    expect(!outcome.accepted, 'A client that checks the CRLs of the whole path accepted the revoked certificate.');
    expect(outcome.code === 'CERT_REVOKED', `A client that checks CRLs refused for another reason: ${outcome.code}.`);
    return `The TLS client that checks the CRLs of the whole path refused it: ${outcome.code}.`;
  });
}

async function closeTheHouse({ screen, server, folder, undo }: Stage): Promise<void> {
  screen.heading('Its traces');
  await screen.step('verifying the audit log', async () => {
    const { valid, rows, findings } = await server.ok('audit/verify', {});
    expect(valid, `The audit log does not verify: ${JSON.stringify(findings)}`);
    return `The audit log verifies: ${rows} events in one hash chain, each committed with what it tells of.`;
  });
  await screen.step('cleaning up', async () => {
    const code = await server.stop();
    expect(code === 0, `The server ended with ${code} instead of 0.`);
    await cleanUp(undo);
    return `Stopped the server and removed ${folder}.`;
  });
}

async function cleanUp(undo: Undo): Promise<void> {
  for (let next = undo.pop(); next !== undefined; next = undo.pop()) await next();
}

const day = (time: string) => time.slice(0, 10);
const codeOf = (outcome: object) => ('code' in outcome ? String(outcome.code) : 'without a reason');

/** Codes as a shell gives them: 128 and the number of the signal. */
const signals = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

class Interrupted extends Error {
  readonly exitCode: number;

  constructor(signal: keyof typeof signals) {
    super(`Interrupted by ${signal}.`);
    this.exitCode = signals[signal];
  }
}

function interruption(): Promise<never> {
  return new Promise((_, reject) => {
    for (const signal of Object.keys(signals) as (keyof typeof signals)[])
      process.once(signal, () => reject(new Interrupted(signal)));
  });
}

async function main(): Promise<number> {
  const started = performance.now();
  const undo: Undo = [];
  const screen = createScreen(process.stdout);
  try {
    const missing = await Promise.race([play(screen, undo), interruption()]);
    screen.say(
      `\nAll of it${missing === undefined ? '' : ` but ${missing}`} in ${((performance.now() - started) / 1000).toFixed(1)} s. The README does it by hand.`,
    );
    return 0;
  } catch (error) {
    screen.silence();
    const isExpected = error instanceof WrongOutcome || error instanceof Interrupted;
    process.stderr.write(`\n${isExpected ? error.message : String((error as Error).stack)}\n`);
    return error instanceof Interrupted ? error.exitCode : 1;
  } finally {
    await cleanUp(undo);
  }
}

process.exit(await main());
