import { isIP } from 'node:net';
import type { Command } from './command.ts';
import { fetchChain, readAddress } from './live-chain.ts';
import type { Sources } from './sources.ts';

/** A certificate on the command line: a file, `-`, the PEM itself, or `host:port` of a TLS server that shows it. */

/** Names by which a certificate may be asked; with one of them given, the address is not taken for one. */
const names = ['dns_name', 'ip_address', 'uri', 'email'];

/** The field that takes one, when the command has such. */
export function certificateField(command: Command): string | undefined {
  return command.operation.cli?.certificate;
}

/** What the word says, for the fields that it says something of. `given`: the other fields of the request. */
export async function readCertificate(
  field: string,
  word: string,
  given: Readonly<Record<string, unknown>>,
  sources: Sources,
): Promise<Record<string, unknown>> {
  if (word.startsWith('-----BEGIN ')) return { [field]: withoutKeys(word) };
  const address = readAddress(word);
  if (address === undefined) return { [field]: withoutKeys(await sources.read(word.replace(/^@/, ''), hint)) };
  const asked = given['dns_name'];
  const { host, port } = address;
  const live = await fetchChain(host, port, typeof asked === 'string' ? asked : host);
  const isNamed = names.some((name) => given[name] !== undefined);
  return {
    [field]: live.certificate,
    ...(isNamed ? {} : isIP(host) === 0 ? { dns_name: host } : { ip_address: host }),
    ...(live.ocspResponses.length > 0 && given['ocsp_responses'] === undefined
      ? { ocsp_responses: live.ocspResponses }
      : {}),
  };
}

const hint = 'give a file of PEM, - for standard input, or host:port of a TLS server';

/** Servers keep key and certificates in one file. The key stays here. */
function withoutKeys(pem: string): string {
  if (!pem.includes('PRIVATE KEY-----')) return pem;
  let isKey = false;
  const kept = pem.split('\n').filter((line) => {
    const begins = /-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----/.test(line);
    const ends = /-----END [A-Z0-9 ]*PRIVATE KEY-----/.test(line);
    const isPart = isKey || begins;
    isKey = isPart && !ends;
    return !isPart;
  });
  return kept.join('\n');
}
