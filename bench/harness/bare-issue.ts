import { createPublicKey, generateKeyPairSync, hash, randomBytes, sign, verify } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { withFolder } from './machine.ts';

/**
 * The bare limit: what one thread of Node does when nothing is left but the cryptography and the durable row. No HTTP, no
 * JSON, no authentication, no policy, no rules, no linter, no audit, no DER. Batches of 64 share a commit, as 64 clients would.
 */
export type BareWork = 'csr' | 'server key';

const batch = 64;

/** Certificates per second. `csr`: verify the request, sign, store. `server key`: make the key, sign, store. */
export function bareIssue(work: BareWork, seconds: number): Promise<number> {
  return withFolder(async (folder) => {
    const database = new DatabaseSync(join(folder, 'bare.db'));
    database.exec(`
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      CREATE TABLE certificates (serial_number TEXT PRIMARY KEY, certificate BLOB NOT NULL, not_after BIGINT NOT NULL)`);
    const insert = database.prepare('INSERT INTO certificates VALUES (?, ?, ?)');
    const makeOne = work === 'csr' ? byRequest() : withKey();
    const started = performance.now();
    let made = 0;
    while (performance.now() - started < seconds * 1000) {
      database.exec('BEGIN IMMEDIATE');
      for (let index = 0; index < batch; index++)
        insert.run(randomBytes(20).toString('hex'), makeOne(), Date.now() + 86_400_000);
      database.exec('COMMIT');
      made += batch;
    }
    const rate = made / ((performance.now() - started) / 1000);
    database.close();
    return rate;
  });
}

const issuer = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;

/** About as long as a TBSCertificate. */
const tbs = randomBytes(480);

function certify(spki: Uint8Array): Buffer {
  tbs.set(spki, 100);
  return Buffer.concat([tbs, sign('sha256', tbs, issuer)]);
}

function withKey(): () => Buffer {
  const encoding = {
    publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  } as const;
  return () => certify(generateKeyPairSync('ec', { namedCurve: 'P-256', ...encoding }).publicKey);
}

function byRequest(): () => Buffer {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const info = randomBytes(200);
  const signature = sign('sha256', info, privateKey);
  return () => {
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    if (!verify('sha256', info, key, signature)) throw new Error('a signature does not verify');
    hash('sha256', spki);
    return certify(spki);
  };
}
