/** Names that belong to the CLI itself; a field of such a name is `--with-<field>` (src/cli/flags.ts). */
export const cliOptions = [
  'json',
  'field',
  'out',
  'output-dir',
  'force',
  'input',
  'all',
  'watch',
  'idempotency-key',
  'approval-id',
  'timeout',
  'verbose',
  'help',
];

/** A word as a POSIX shell takes it. */
export function shellWord(text) {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/**
 * The request as curl sends it. The token stands as a variable: commands end up in shell histories and tickets.
 * @param {{ method: string, url: string, body: unknown, open: boolean }} request
 */
export function curlCommand({ method, url, body, open }) {
  const lines = [`curl -sS${method === 'GET' ? '' : ` -X ${method}`} ${shellWord(url)}`];
  if (!open) lines.push('-H "Authorization: Bearer $CHANCERY_TOKEN"');
  if (body !== undefined) lines.push("-H 'Content-Type: application/json'", `-d ${shellWord(JSON.stringify(body))}`);
  return lines.join(' \\\n  ');
}

/**
 * The same as a command of the CLI, or undefined where there is none.
 * @param {{ command: string, arguments: string[] } | undefined} cli
 * @param {Record<string, unknown>} input
 */
export function cliCommand(cli, input) {
  if (cli === undefined) return undefined;
  const words = cli.arguments.map((name) => shellWord(input[name] === undefined ? `<${name}>` : String(input[name])));
  const flags = Object.entries(input)
    .filter(([name]) => !cli.arguments.includes(name))
    .flatMap(([name, value]) => flagsOf(name.replaceAll('_', '-'), value));
  return ['chancery', cli.command, ...words, ...flags].join(' ');
}

function flagsOf(plain, value) {
  const name = cliOptions.includes(plain) ? `with-${plain}` : plain;
  if (value === true) return [`--${name}`];
  if (value === false) return [`--no-${name}`];
  if (Array.isArray(value)) return value.flatMap((item) => flagsOf(plain, item));
  const text = typeof value === 'object' ? JSON.stringify(value) : String(value);
  return [`--${name} ${shellWord(text)}`];
}
