import { text } from 'node:stream/consumers';
import autocannon from 'autocannon';
import type { LoadOptions, LoadRequest } from './load.ts';

/** autocannon in a process of its own: reads LoadOptions with bodies in base64, writes the result, both as JSON. */
const options = JSON.parse(await text(process.stdin)) as LoadOptions;
const result = await autocannon({
  url: options.origin,
  connections: options.connections,
  duration: options.seconds,
  requests: options.requests.map(toRequest),
});
process.stdout.write(
  JSON.stringify({
    requests: result['2xx'] + result.non2xx,
    rate: result.requests.average,
    p50: result.latency.p50,
    p99: result.latency.p99,
    failures: result.non2xx + result.errors,
  }),
);

function toRequest({ method, path, headers = {}, body }: LoadRequest) {
  return {
    method,
    path,
    headers: { ...headers },
    ...(body === undefined ? {} : { body: Buffer.from(body.toString(), 'base64') }),
  };
}
