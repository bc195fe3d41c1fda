import { execFile, execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';

/**
 * Load from a process of its own: wrk where it is installed (it takes a tenth of the CPU of the server), else autocannon.
 * Connections are kept alive, and each sends its next request when it has the whole answer: no pipelining.
 */
export interface LoadRequest {
  readonly method: 'GET' | 'POST';
  /** Path and query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

export interface LoadOptions {
  /** `http://127.0.0.1:…` */
  readonly origin: string;
  readonly connections: number;
  readonly seconds: number;
  /** Sent in turn. */
  readonly requests: readonly LoadRequest[];
}

export interface LoadResult {
  readonly requests: number;
  /** Per second. */
  readonly rate: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
}

const run = promisify(execFile);

/** Throws when any answer was not 2xx: a rate of refusals is no rate. */
export async function load(options: LoadOptions): Promise<LoadResult> {
  const { failures, ...result } = await (loadTool() === 'wrk' ? runWrk(options) : runAutocannon(options));
  if (failures > 0) throw new Error(`${failures} of ${result.requests} requests failed at ${options.origin}`);
  return result;
}

type Counted = LoadResult & { readonly failures: number };

let tool: 'wrk' | 'autocannon' | undefined;

export function loadTool(): 'wrk' | 'autocannon' {
  tool ??= hasWrk() ? 'wrk' : 'autocannon';
  return tool;
}

function hasWrk(): boolean {
  try {
    execFileSync('sh', ['-c', 'command -v wrk'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

async function runWrk({ origin, connections, seconds, requests }: LoadOptions): Promise<Counted> {
  const folder = mkdtempSync(join(tmpdir(), 'chancery-bench-load-'));
  try {
    const script = join(folder, 'load.lua');
    writeFileSync(script, wrkScript(requests));
    const words = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout', '10s', '-s', script, origin];
    const { stdout } = await run('wrk', words, { maxBuffer: 1 << 24 });
    const line = /^RESULT (.*)$/m.exec(stdout)?.[1];
    if (line === undefined) throw new Error(`wrk said nothing of use:\n${stdout}`);
    const [count = 0, micros = 1, p50 = 0, p99 = 0, failures = 0] = line.split(' ').map(Number);
    return { requests: count, rate: count / (micros / 1e6), p50: p50 / 1000, p99: p99 / 1000, failures };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** All requests are put together before the clock starts; choosing the next is all that is left to do. */
function wrkScript(requests: readonly LoadRequest[]): string {
  const table = requests.map(({ method, path, headers = {}, body }) => {
    const fields = Object.entries(headers).map(([name, value]) => `[${luaText(name)}]=${luaText(value)}`);
    return `{${luaText(method)},${luaText(path)},{${fields.join()}},${body === undefined ? 'nil' : luaText(body)}}`;
  });
  return `
local list = {${table.join(',\n')}}
local ready, next = {}, 0
function init()
  for i, r in ipairs(list) do
    r[3]["Host"] = wrk.headers["Host"]
    ready[i] = wrk.format(r[1], r[2], r[3], r[4])
  end
end
function request()
  next = next % #ready + 1
  return ready[next]
end
function done(summary, latency)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
`;
}

/** A Lua string in decimal escapes, whatever it holds. */
function luaText(text: string | Buffer): string {
  let quoted = '"';
  for (const byte of Buffer.from(text as string)) {
    const isPlain = byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== 0x5c;
    quoted += isPlain ? String.fromCharCode(byte) : `\\${String(byte).padStart(3, '0')}`;
  }
  return `${quoted}"`;
}

async function runAutocannon(options: LoadOptions): Promise<Counted> {
  const script = fileURLToPath(new URL('./autocannon-load.ts', import.meta.url));
  const requests = options.requests.map(({ body, ...request }) =>
    body === undefined ? request : { ...request, body: Buffer.from(body as string).toString('base64') },
  );
  const child = run(process.execPath, [script], { maxBuffer: 1 << 24 });
  child.child.stdin?.end(JSON.stringify({ ...options, requests }));
  return JSON.parse((await child).stdout) as Counted;
}
