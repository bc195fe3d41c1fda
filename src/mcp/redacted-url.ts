/** The URL with `***` for its password; undefined for what is no URL. */
export function redactedUrl(value: unknown): string | undefined {
  const url = typeof value === 'string' ? URL.parse(value) : null;
  if (url === null) return undefined;
  if (url.password !== '') url.password = '***';
  return url.href;
}
