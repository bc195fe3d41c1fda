import { existsSync } from 'node:fs';

const folders = [process.env['CHANCERY_VECTORS'], '/usr/lib/python3/dist-packages/cryptography_vectors'];

/** Where the vectors of pyca/cryptography are. Throws where they are not, so that their absence is never a pass. */
export function vectorsFolder(): string {
  const found = folders.find((folder) => folder !== undefined && existsSync(folder));
  if (found === undefined)
    throw new Error('the package python3-cryptography-vectors is missing: scripts/install-test-tools.sh installs it');
  return found;
}
