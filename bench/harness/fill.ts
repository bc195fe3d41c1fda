import { hash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { linkEvents } from '#audit/chain.ts';
import { newId } from '#core/ids.ts';
import { crlShardCapacity } from '#pki/crl-shards.ts';
import type { CertificateRow } from '#pki/tables.ts';
import { hostName } from './csr.ts';
import { withServer } from './world.ts';

/**
 * Fills a store with certificates by the hundred thousand, straight into the file: one certificate is issued by a server,
 * and all others are copies with serial number and name changed. Their signatures are wrong, which nothing looks at;
 * their rows, indexes and chained audit events are what the server would have written.
 */
export interface FillOptions {
  readonly count: number;
  readonly revoked: boolean;
}

/** Makes `<folder>/chancery.db` with its authorities. Returns serial numbers of some certificates. */
export async function fillFolder(folder: string, options: FillOptions): Promise<string[]> {
  await withServer({ folder }, async (server) => {
    const { foundPki } = await import('#test/chancery.ts');
    await foundPki(server);
    await server.ok('POST', 'pki/certificates', { role: 'web', dns_names: [hostName(0)], ttl: '24h' });
  });
  return options.count === 0 ? [] : fillStore(join(folder, 'chancery.db'), options);
}

function fillStore(file: string, options: FillOptions): string[] {
  const database = new DatabaseSync(file);
  database.exec('PRAGMA synchronous = OFF; PRAGMA cache_size = -524288; PRAGMA wal_autocheckpoint = 0; BEGIN');
  const indexes = dropIndexes(database);
  const serials = insertCertificates(database, options);
  insertEvents(database, options.count);
  for (const sql of indexes) database.exec(sql);
  database.exec('COMMIT; PRAGMA wal_checkpoint(TRUNCATE)');
  database.close();
  return serials;
}

/** Indexes are made at the end, in one go, as a restore does. */
function dropIndexes(database: DatabaseSync): string[] {
  const found = database
    .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND name LIKE 'pki_cert%'")
    .all() as { name: string; sql: string }[];
  for (const { name } of found) database.exec(`DROP INDEX ${name}`);
  return found.map(({ sql }) => sql);
}

function insertInto(database: DatabaseSync, table: string, row: object): (row: object) => void {
  const columns = Object.keys(row);
  const statement = database.prepare(
    `INSERT INTO ${table} (${columns.join()}) VALUES (${columns.map(() => '?').join()})`,
  );
  return (each) => void statement.run(...(Object.values(each) as string[]));
}

const hour = 3_600_000;

function insertCertificates(database: DatabaseSync, { count, revoked }: FillOptions): string[] {
  const model = database
    .prepare("SELECT * FROM pki_certificates WHERE kind = 'leaf'")
    .get() as unknown as CertificateRow;
  const copy = certificateCopier(Buffer.from(model.certificate), model.serial_number);
  const insert = insertInto(database, 'pki_certificates', model);
  const insertName = insertInto(database, 'pki_certificate_names', { namespace: '', name: '', certificate_id: '' });
  const sample: string[] = [];
  const now = Date.now();
  for (let index = 1; index <= count; index++) {
    const serial = `6${randomBytes(20).toString('hex').slice(1)}`;
    // Issued one after the other over the last day, ending within the next thirty.
    const issuedAt = now - 24 * hour + Math.floor((index / count) * 23 * hour);
    const id = newId('crt', issuedAt);
    const status = revoked ? { status: 'revoked', revoked_at: now - hour, revocation_reason: 'superseded' } : {};
    insert({
      ...model,
      id,
      serial_number: serial,
      certificate: copy(serial, index),
      principal: `service-${index % 1000}`,
      spki_sha256: hash('sha256', serial),
      issued_at: issuedAt,
      not_after: now + hour + Math.floor((index / count) * 720 * hour),
      crl_shard: Math.floor(index / crlShardCapacity),
      ...status,
    });
    insertName({ namespace: 'root', name: `dns:${hostName(index)}`, certificate_id: id });
    if (index % Math.ceil(count / 1000) === 0) sample.push(serial);
  }
  insertShards(database, model.issuer_id, Math.floor(count / crlShardCapacity));
  return sample;
}

/** DER has fixed lengths here: serial number and name are overwritten where they stand. */
function certificateCopier(der: Buffer, serial: string): (serial: string, index: number) => Buffer {
  const serialAt = der.indexOf(Buffer.from(serial, 'hex'));
  const nameAt = der.indexOf(hostName(0));
  return (newSerial, index) => {
    const copy = Buffer.from(der);
    copy.write(newSerial, serialAt, 'hex');
    copy.write(hostName(index), nameAt);
    return copy;
  };
}

function insertShards(database: DatabaseSync, issuer: string, last: number): void {
  const reserve = database.prepare('INSERT OR REPLACE INTO pki_crl_shards VALUES (?, ?, ?)');
  const state = database.prepare(
    `INSERT OR REPLACE INTO pki_crl_states (issuer_id, shard, namespace, changes, published, scheduled_at, rebuild_at)
     VALUES (?, ?, 'root', 1, 0, 0, 0)`,
  );
  for (let shard = 0; shard <= last; shard++) {
    reserve.run(issuer, shard, crlShardCapacity - 1000);
    state.run(issuer, shard);
  }
}

function insertEvents(database: DatabaseSync, count: number): void {
  const end = database.prepare('SELECT seq, hash FROM audit_head').get() as { seq: number; hash: Uint8Array };
  let head = end;
  let insert: ((row: object) => void) | undefined;
  const now = Date.now();
  for (let index = 1; index <= count; index++) {
    const linked = linkEvents(head, [
      {
        id: newId('aud', now),
        at: now,
        namespace: 'root',
        requestId: `req_${index}`,
        principal: 'admin',
        principalKind: 'human',
        credentialId: null,
        operation: 'pki.issue_certificate',
        resource: 'pki/roles/web',
        outcome: 'ok',
        code: null,
        transport: 'rest',
        sourceAddress: '127.0.0.1',
        purpose: null,
        details: { serial_number: '6b1f0c2d3e4f5a6b7c8d9e0f1a2b3c4d5e6f7a8b' },
      },
    ]);
    head = { seq: linked.head.seq, hash: linked.head.hash };
    for (const row of linked.rows) (insert ??= insertInto(database, 'audit_events', row))(row);
  }
  database.prepare('UPDATE audit_head SET seq = ?, hash = ?').run(head.seq, head.hash);
}
