import type { AuthPlugin } from 'mysql2/promise';
import type { TargetSettings } from '#database/target.ts';
import { signEd25519 } from './ed25519.ts';

/**
 * The kinds of login beyond the driver's `mysql_native_password` and `caching_sha2_password`.
 *
 * `client_ed25519` is MariaDB's; the driver has none. Without TLS the two SHA-256 kinds would encrypt the password with a
 * public key that the server has just sent, so that whoever sits between learns it: refused, as MySQL's own client does
 * unless told otherwise. `mysql_clear_password` is refused by the driver (`enableCleartextPlugin` is off), and with TLS
 * `sha256_password` sends the password in the encrypted stream.
 */
export function authPlugins(settings: TargetSettings): Record<string, AuthPlugin> {
  const plugins: Record<string, AuthPlugin> = {
    client_ed25519: () => (nonce) => signEd25519(settings.password, nonce.subarray(0, 32)),
  };
  if (settings.tls.mode !== 'disable') return plugins;
  return { ...plugins, sha256_password: refuse, caching_sha2_password: refuse };
}

const refuse: AuthPlugin = () => () => {
  throw new Error('a password that would be encrypted with an unverified key; use TLS (mode require or verify-full).');
};
