import { execFile } from 'node:child_process';

/** The outside programs, run as anybody would run them. */

/** Each with the Debian package that holds it; scripts/install-test-tools.sh installs them all. */
const packages = {
  openssl: 'openssl',
  certtool: 'gnutls-bin',
  ocsptool: 'gnutls-bin',
  'gnutls-cli': 'gnutls-bin',
  certutil: 'libnss3-tools',
  crlutil: 'libnss3-tools',
  pk12util: 'libnss3-tools',
  vfychain: 'libnss3-tools',
  java: 'default-jdk-headless',
  keytool: 'default-jdk-headless',
  curl: 'curl',
  python3: 'python3',
  dumpasn1: 'dumpasn1',
  zlint: 'zlint',
} as const;
export type Tool = keyof typeof packages;

export interface Outcome {
  /** Exit code; 0 says that the tool is content, but some say 0 always. */
  readonly code: number;
  readonly stdout: string;
  /** Standard output and standard error. */
  readonly output: string;
}

interface RunOptions {
  readonly cwd?: string;
  /** Standard input; closed at once without it. */
  readonly input?: string;
}

const timeout = 120_000;

/** Never rejects for what the tool says. Rejects when it is not installed, and when it does not come to an end. */
export function run(tool: Tool, line: readonly string[], { cwd, input = '' }: RunOptions = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    // English words, whatever the machine speaks: the tests read them.
    const env = { ...process.env, LC_ALL: 'C.UTF-8' };
    const options = { cwd, env, timeout, maxBuffer: 1 << 24 };
    const child = execFile(tool, [...line], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : error.code;
      if (code === 'ENOENT') reject(notInstalled(tool));
      else if (typeof code === 'number') resolve({ code, stdout, output: `${stdout}${stderr}` });
      else reject(error ?? new Error(`${tool} gave no exit code`));
    });
    // A tool that needs no input may have ended before it is written.
    child.stdin?.on('error', () => undefined);
    child.stdin?.end(input);
  });
}

function notInstalled(tool: Tool): Error {
  return new Error(
    `${tool} is not installed, so nothing is known of what it says: it is in the Debian package ${packages[tool]}, and scripts/install-test-tools.sh installs it.`,
  );
}

/** Standard output of a tool that must succeed. */
export async function must(tool: Tool, line: readonly string[], options?: RunOptions): Promise<string> {
  const { code, stdout, output } = await run(tool, line, options);
  if (code !== 0) throw new Error(`${tool} ${line.join(' ')} ended with ${code}:\n${output}`);
  return stdout;
}
