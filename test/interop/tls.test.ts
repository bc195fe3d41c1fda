import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { after, test, type TestContext } from 'node:test';
import { text } from 'node:stream/consumers';
import { connect } from 'node:tls';
import { encodeName } from '#pki/x509/name.ts';
import { encodePem } from '#pki/x509/pem.ts';
import { encodeRequest } from '#pki/x509/request.ts';
import { startTlsServer, type TlsServer, type TlsServerOptions } from './tls-server.ts';
import { type Outcome, run } from './tools.ts';
import { knows } from './verdict.ts';
import { type Chain, foundWorld, hostName, lostHostName } from './world.ts';

/** Real TLS servers with certificates of Chancery, and the clients of the world before them. */

const world = await foundWorld({ keys: 'pem' });
after(() => world.close());

async function serve(context: TestContext, chain: Chain, options: TlsServerOptions): Promise<TlsServer> {
  const server = await startTlsServer(chain, options);
  context.after(() => server.close());
  return server;
}

interface Call {
  readonly port: number;
  readonly host?: string;
  readonly more?: readonly string[];
}

function curl({ port, host = hostName, more = [] }: Call): Promise<Outcome> {
  const to = ['--resolve', `${host}:${port}:127.0.0.1`, `https://${host}:${port}/`];
  return run('curl', ['--silent', '--show-error', '--noproxy', '*', ...more, ...to]);
}

function python(chain: Chain, { port, host = hostName, more = [] }: Call, anchor = 'root.pem'): Promise<Outcome> {
  const program = join(import.meta.dirname, 'tls-client.py');
  return run('python3', [program, String(port), host, join(chain.folder, anchor), ...more]);
}

function gnutls(chain: Chain, { port, host = hostName, more = [] }: Call, anchor = 'root.pem'): Promise<Outcome> {
  const names = ['--sni-hostname', host, '--verify-hostname', host];
  const trust = ['--x509cafile', join(chain.folder, anchor)];
  return run('gnutls-cli', [...trust, ...names, ...more, '--port', String(port), '127.0.0.1']);
}

/** The protocol version, or what Node has against the server. */
async function node(chain: Chain, { port, host = hostName }: Call, anchor = 'root.pem'): Promise<string> {
  const ca = readFileSync(join(chain.folder, anchor));
  const socket = connect({ port, host: '127.0.0.1', servername: host, ca });
  try {
    await once(socket, 'secureConnect');
    return socket.getProtocol() ?? 'nothing';
  } catch (error) {
    return String(error);
  } finally {
    socket.destroy();
  }
}

/** The body of `/`, by Node's own HTTPS client. */
async function get(chain: Chain, port: number, identity: { cert?: Buffer; key?: Buffer }): Promise<string> {
  const ca = readFileSync(chain.file('root.pem'));
  const sent = request({ port, host: '127.0.0.1', servername: hostName, ca, agent: false, ...identity }).end();
  const [reply] = (await once(sent, 'response')) as [IncomingMessage];
  return text(reply);
}

function connects(context: TestContext, use: string, { keyType }: Chain, client: Outcome, server: TlsServer): boolean {
  return knows(context, use, keyType, client.code === 0, { output: `${client.output}\n${server.complaints()}` });
}

for (const chain of world.chains) {
  const { keyType } = chain;
  const rootFile = chain.file('root.pem');

  test(`Node's client trusts a server with a key of ${keyType} for its own name and under our root alone`, async (context) => {
    const { port } = await serve(context, chain, { certificate: 'leaf' });
    const output = await node(chain, { port });
    assert.ok(knows(context, 'node tls', keyType, output === 'TLSv1.3', { output }));
    assert.match(await node(chain, { port, host: lostHostName }), /does not match certificate's altnames/);
    assert.match(await node(chain, { port }, 'impostor.pem'), /unable to|signature failure|self-signed/);
  });

  test(`curl trusts a server with a key of ${keyType} under our root alone, and asks it for OCSP`, async (context) => {
    const server = await serve(context, chain, { certificate: 'leaf', staples: true });
    const { port } = server;
    const trusting = ['--cacert', rootFile];
    const outcome = await curl({ port, more: trusting });
    if (!connects(context, 'curl', chain, outcome, server)) return;
    assert.equal(outcome.stdout, 'hello stranger');
    assert.equal((await curl({ port })).code, 60);
    assert.equal((await curl({ port, more: ['--cacert', chain.file('impostor.pem')] })).code, 60);
    const misnamed = await curl({ port, host: lostHostName, more: trusting });
    assert.match(misnamed.output, /no alternative certificate subject name matches/);
    // The server staples the answer of our responder, and curl verifies it.
    const stapled = [...trusting, '--cert-status'];
    assert.equal((await curl({ port, more: stapled })).stdout, 'hello stranger');
    const lost = await serve(context, chain, { certificate: 'lost', staples: true });
    const lostCall = { port: lost.port, host: lostHostName, more: stapled };
    assert.equal((await curl(lostCall)).stdout, 'hello stranger');
    await chain.lose();
    assert.match((await curl(lostCall)).output, /\(91\) SSL certificate revocation reason: keyCompromise/);
  });

  test(`Node's client proves itself to a server with a client certificate of ${keyType}`, async (context) => {
    const server = await serve(context, chain, { certificate: 'leaf', clients: true });
    const cert = readFileSync(await clientCertificate(chain));
    const key = readFileSync(chain.file('leaf.key'));
    assert.equal(await get(chain, server.port, { cert, key }), 'hello email:someone@example.com');
    await assert.rejects(get(chain, server.port, {}));
    assert.equal(server.complaints(), 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE');
  });

  test(`curl proves itself to a server with a client certificate of ${keyType}`, async (context) => {
    const { port } = await serve(context, chain, { certificate: 'leaf', clients: true });
    const client = await clientCertificate(chain);
    const showing = ['--cacert', rootFile, '--cert', client, '--key', chain.file('leaf.key')];
    const outcome = await curl({ port, more: showing });
    if (!knows(context, 'curl --cert', keyType, outcome.code === 0, outcome)) return;
    assert.equal(outcome.stdout, 'hello email:someone@example.com');
    assert.match((await curl({ port, more: ['--cacert', rootFile] })).output, /certificate required/);
  });

  test(`Python trusts a server with a key of ${keyType} strictly, for its own name, and by CRL`, async (context) => {
    const server = await serve(context, chain, { certificate: 'leaf' });
    const { port } = server;
    const outcome = await python(chain, { port });
    if (!connects(context, 'python ssl', chain, outcome, server)) return;
    assert.equal(outcome.stdout, 'connected by TLSv1.3\n');
    assert.match((await python(chain, { port }, 'impostor.pem')).output, /CERTIFICATE_VERIFY_FAILED/);
    assert.match((await python(chain, { port, host: lostHostName })).output, /Hostname mismatch/);
    const lost = await serve(context, chain, { certificate: 'lost' });
    await chain.lose();
    const more = [chain.file('issuing.crl.pem')];
    assert.equal((await python(chain, { port, more })).code, 0);
    assert.match((await python(chain, { port: lost.port, host: lostHostName, more })).output, /certificate revoked/);
  });

  test(`gnutls-cli trusts a server with a key of ${keyType}, and asks our responder about it`, async (context) => {
    const server = await serve(context, chain, { certificate: 'leaf' });
    const { port } = server;
    const outcome = await gnutls(chain, { port, more: ['--ocsp'] });
    if (!connects(context, 'gnutls-cli', chain, outcome, server)) return;
    assert.match(outcome.output, /OCSP: verified 2 certificate\(s\)/);
    assert.match((await gnutls(chain, { port }, 'impostor.pem')).output, /certificate is NOT trusted/);
    assert.match((await gnutls(chain, { port, host: lostHostName })).output, /name in the certificate does not match/);
    const lost = await serve(context, chain, { certificate: 'lost' });
    await chain.lose();
    const refused = await gnutls(chain, { port: lost.port, host: lostHostName, more: ['--ocsp'] });
    assert.notEqual(refused.code, 0);
    assert.match(refused.output, /revoked/i);
  });
}

/** With the key of the leaf, by a CSR, of a role for clients alone. */
async function clientCertificate(chain: Chain): Promise<string> {
  const role = `client-${chain.keyType}`;
  const made = await world.server.call('POST', 'pki/roles', {
    name: role,
    authority: `issuing-${chain.keyType}`,
    allowed_emails: ['someone@example.com'],
    extended_key_usages: ['client_auth'],
    key_types: [chain.keyType],
  });
  assert.ok(made.status === 201 || made.body.code === 'already_exists', JSON.stringify(made.body));
  const privateKey = createPrivateKey(readFileSync(chain.file('leaf.key')));
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  const names = [{ kind: 'email' as const, value: 'someone@example.com' }];
  const der = encodeRequest({ subject: encodeName([]), names, keyType: chain.keyType, spki, privateKey });
  const csr = encodePem('CERTIFICATE REQUEST', der);
  const issued = await world.server.ok('POST', 'pki/certificates', { role, csr });
  const path = join(chain.folder, 'client.pem');
  writeFileSync(path, `${issued.certificate as string}${readFileSync(chain.file('issuing.pem'), 'utf8')}`);
  return path;
}
