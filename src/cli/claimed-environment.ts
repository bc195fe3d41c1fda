import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Redeemed } from './claim.ts';
import { childEnvironment } from './credential-environment.ts';
import { type CredentialFiles, type FileCredentials, writeCredentialFiles } from './credential-files.ts';
import { usageFailure } from './failure.ts';
import type { Environment } from './screen.ts';

/** What was claimed, as a child process takes it. */
export interface ClaimedFiles {
  readonly folder: string;
  /** For a database user. */
  readonly credential?: CredentialFiles | undefined;
  /** Variables that name files. */
  readonly variables: Readonly<Record<string, string>>;
  remove(): Promise<void>;
}

type Output = Redeemed['output'];

/** Undefined: nothing goes into files. */
export async function writeClaimedFiles(output: Output): Promise<ClaimedFiles | undefined> {
  if (isDatabaseUser(output)) {
    const credential = await writeCredentialFiles(output);
    return credential && { folder: credential.folder, credential, variables: {}, remove: () => credential.remove() };
  }
  const texts = {
    CHANCERY_KEY_FILE: ['private_key.pem', output['private_key']],
    CHANCERY_CERTIFICATE_FILE: ['certificate.pem', output['certificate']],
    CHANCERY_CHAIN_FILE: ['chain.pem', Array.isArray(output['chain']) ? output['chain'].join('') : undefined],
    CHANCERY_BUNDLE_FILE: ['bundle.pem', output['bundle']],
  } as const;
  const given = Object.entries(texts).filter(([, [, text]]) => typeof text === 'string' && text !== '');
  if (given.length === 0) return undefined;
  const folder = await mkdtemp(join(tmpdir(), 'chancery-claim-'));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    const variables: Record<string, string> = {};
    for (const [variable, [name, text]] of given) {
      variables[variable] = join(folder, name);
      await writeFile(join(folder, name), text as string, { mode: 0o600, flag: 'wx' });
    }
    return { folder, variables, remove };
  } catch (thrown) {
    await remove();
    throw thrown;
  }
}

/** Our environment, with what was claimed. */
export function claimedEnvironment(
  env: Environment,
  { output }: Redeemed,
  { keepsToken, files }: { readonly keepsToken: boolean; readonly files: ClaimedFiles | undefined },
): Record<string, string> {
  if (isDatabaseUser(output)) return childEnvironment(env, output, { keepsToken, files: files?.credential });
  const inherited = Object.entries(env).filter(
    ([name, value]) => value !== undefined && (keepsToken || name !== 'CHANCERY_TOKEN'),
  ) as [string, string][];
  const token = [output['token'], output['key']].find((value) => typeof value === 'string');
  if (token === undefined && files === undefined)
    throw usageFailure('what was claimed has no form that an environment takes; it is lost', {
      hint: 'ask for it again, and claim it with --out or --output-dir',
    });
  return {
    ...Object.fromEntries(inherited),
    ...(typeof token === 'string' ? { CHANCERY_TOKEN: token } : {}),
    ...files?.variables,
  };
}

function isDatabaseUser(output: Output): output is Output & FileCredentials & { readonly lease_id?: string } {
  return typeof output['connection_url'] === 'string';
}
