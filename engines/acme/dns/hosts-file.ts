import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';

const maxBytes = 1_048_576;

/** Addresses that the machine's own table gives a name, as every other program on it sees them; none when unreadable. */
export async function addressesInHostsFile(host: string, file = '/etc/hosts'): Promise<readonly string[]> {
  const text = await readFile(file, 'latin1').catch(() => '');
  const addresses: string[] = [];
  for (const line of text.slice(0, maxBytes).split('\n')) {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (isIP(address) !== 0 && names.some((name) => name.toLowerCase() === host)) addresses.push(address);
  }
  return addresses;
}
