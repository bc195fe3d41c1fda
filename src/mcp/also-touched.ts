/**
 * What an operation reaches beside its own resource, where its input says so: a directory and its keys issue by a PKI role,
 * and a database role acts on a connection and may give certificates of a PKI role. A guard that denies the one would
 * otherwise be got round by the other.
 */
export function alsoTouched(resource: string, input: unknown): string[] {
  const { connection, certificate_role: issuing } = (input ?? {}) as Readonly<Record<string, unknown>>;
  const [, directory] = /^acme\/directories\/([^/]+)$/.exec(resource) ?? [];
  const isDatabase = resource.startsWith('database/');
  return [
    ...(directory === undefined ? [] : [`pki/roles/${directory}`]),
    ...(isDatabase && typeof connection === 'string' ? [`database/connections/${connection}`] : []),
    ...(isDatabase && typeof issuing === 'string' ? [`pki/roles/${issuing}`] : []),
  ];
}
