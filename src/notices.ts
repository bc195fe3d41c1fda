import type { Config } from './config.ts';
import type { ListenAddress } from '#http/settings.ts';
import { join } from 'node:path';

/** What an operator wants to know when a server has started: what listens where, what was made, and what to do next. */

export interface StartFacts {
  readonly version: string;
  /** Where the API listens. */
  readonly url: string;
  /** The folder in which the server was started. */
  readonly cwd: string;
  /** The file with the token of the administrator, when this start made one. */
  readonly tokenFile: string | undefined;
  /** Whether this start made the root key. */
  readonly rootKeyMade: boolean;
}

/** A sentence each. */
export function startNotices(config: Config, facts: StartFacts): string[] {
  const { version, url, tokenFile, rootKeyMade } = facts;
  const { publicListen, adminListen } = config.http;
  return [
    `Chancery ${version} listens on ${listening(config, url)}; the API reference is at ${url}/docs.`,
    ...(publicListen
      ? [`CRLs and OCSP are also served on ${plainUrl(publicListen)}; certificates name ${config.pkiUrl}.`]
      : []),
    ...(adminListen
      ? [`Metrics and health are on ${new URL(url).protocol}//${hostAndPort(adminListen)}, without a token.`]
      : []),
    ...(config.tls.kind === 'self' ? [`Clients trust this server by ${tlsRoot(config)} (CHANCERY_CA_FILE).`] : []),
    ...(rootKeyMade
      ? [
          `A root key was made in ${config.rootKey.file}. Keep a copy elsewhere: without it nothing sealed can be opened.`,
          'In production give a root key from outside (docs/operations.md, "Root key").',
        ]
      : []),
    ...(tokenFile === undefined
      ? []
      : [`The administrator's token is in ${tokenFile} (mode 0600).`, `Next: ${firstCommand(config, facts)}`]),
  ];
}

/** The address as it was given, which may be every one that the machine has; `url` has one of them, and the port. */
function listening({ http }: Config, url: string): string {
  const { protocol, port } = new URL(url);
  return `${protocol}//${hostAndPort({ host: http.listen.host, port: port === '' ? http.listen.port : Number(port) })}`;
}

/** As it is typed in another terminal, in the folder where the server was started. */
function firstCommand(config: Config, { url, cwd }: StartFacts): string {
  const settings = [
    ...(url === 'http://127.0.0.1:8420' ? [] : [`CHANCERY_URL=${url}`]),
    ...(config.data === join(cwd, '.chancery') ? [] : [`CHANCERY_DATA=${config.data}`]),
    ...(config.tls.kind === 'self' ? [`CHANCERY_CA_FILE=${tlsRoot(config)}`] : []),
  ];
  return [...settings, 'chancery pki create-authority root --kind root --common-name "My Root"'].join(' ');
}

/** Where the root of the server's own certificate is kept for clients, with `CHANCERY_TLS=self`. */
export function tlsRoot({ data }: Pick<Config, 'data'>): string {
  return join(data, 'tls-root.pem');
}

function plainUrl(address: ListenAddress): string {
  return `http://${hostAndPort(address)}`;
}

function hostAndPort({ host, port }: ListenAddress): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
