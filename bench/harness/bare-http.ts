import { generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * A bare node:http server in a process of its own, the limit of what any HTTP server on Node can answer: reads the body and
 * sends `<bytes>` constant bytes, or with `sign` a P-256 signature over them made for each request.
 */
const [bytes = '1000', work = 'constant'] = process.argv.slice(2);
const body = Buffer.alloc(Number(bytes), 1);
const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;

const server = createServer((request, response) => {
  request.resume().once('end', () => {
    const signature = work === 'sign' ? sign('sha256', body, key) : Buffer.alloc(0);
    const answer = Buffer.concat([body.subarray(signature.length), signature]);
    response.writeHead(200, { 'content-type': 'application/ocsp-response', 'content-length': answer.length });
    response.end(answer);
  });
});
server.listen(0, '127.0.0.1', () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`));
