import { configFile } from '#chancery/config.ts';
import { clientSettings, settingTexts } from '#chancery/settings.ts';

/** docs/configuration.md, from the texts of the settings. */
export function renderConfiguration(): string {
  const settings = settingTexts();
  return [
    '# Configuration',
    '',
    'Made from `src/settings.ts` by `npm run generate`; do not edit.',
    '',
    `Settings are environment variables, or the same names in \`${configFile}\` in the folder where the server is started.`,
    'The environment wins. A name that is not listed here is refused, with the nearest one as a hint. Paths are relative to',
    'the folder where the server is started. Durations are text such as `30s` or `1m`, or whole seconds.',
    '',
    '```json',
    JSON.stringify(sample, null, 2),
    '```',
    '',
    '| Setting | Default |',
    '|---|---|',
    ...settings.map(({ name, ...texts }) => `| [\`${name}\`](#${name.toLowerCase()}) | ${defaultOf(texts)} |`),
    '',
    ...settings.flatMap(({ name, about, example, secret, ...texts }) => [
      `## ${name}`,
      '',
      about,
      '',
      `Default: ${defaultOf(texts)}.${secret ? '' : ` Example: \`${example}\`.`}`,
      '',
    ]),
    '## Settings of clients',
    '',
    'Read by the command line and the stdio MCP server, which are clients of the REST API. The server ignores them.',
    '',
    ...Object.entries(clientSettings).map(([name, about]) => `- \`${name}\`: ${about}`),
    '',
  ].join('\n');
}

const sample = {
  CHANCERY_LISTEN: '0.0.0.0:8420',
  CHANCERY_TLS: 'self',
  CHANCERY_PUBLIC_URL: 'https://ca.example.com:8420',
  CHANCERY_TRUSTED_PROXIES: ['10.0.0.0/8'],
};

function defaultOf(texts: { readonly default?: string; readonly otherwise?: string }): string {
  if (texts.default === undefined) return texts.otherwise ?? 'none';
  return texts.default === '' ? 'none' : `\`${texts.default}\``;
}
