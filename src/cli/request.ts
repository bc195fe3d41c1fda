import type { Command } from './command.ts';
import { pathParameters } from './command.ts';
import type { Input } from './input.ts';

/** One call of the REST API, ready to send. */
export interface ApiRequest {
  readonly method: string;
  /** Path and query below the server's URL: `/v1/pki/roles?limit=10`. */
  readonly path: string;
  /** JSON, or undefined where the method takes no body. */
  readonly body: string | undefined;
}

/** Path parameters go into the path; the rest is the query of GET and DELETE, or the JSON body of the others. */
export function toRequest(command: Command, input: Input): ApiRequest {
  const { method, path } = command.operation.http;
  const inPath = new Set(pathParameters(path));
  const filled = path.replace(/\{([a-z0-9_]+)\}/g, (_, name: string) => encodeURIComponent(asText(input[name])));
  const rest = Object.entries(input).filter(([name, value]) => !inPath.has(name) && value !== undefined);
  if (method === 'GET' || method === 'DELETE') return { method, path: `/v1${filled}${toQuery(rest)}`, body: undefined };
  return { method, path: `/v1${filled}`, body: JSON.stringify(Object.fromEntries(rest)) };
}

/** Lists repeat their name; objects are JSON; null says nothing in a query and is left out. */
function toQuery(entries: readonly (readonly [string, unknown])[]): string {
  const query = new URLSearchParams();
  for (const [name, value] of entries) {
    if (value === null) continue;
    for (const item of Array.isArray(value) ? (value as unknown[]) : [value]) query.append(name, asText(item));
  }
  const text = query.toString();
  return text === '' ? '' : `?${text}`;
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
