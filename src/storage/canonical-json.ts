/**
 * JSON with one spelling for one value: members sorted by name, no white space (the part of RFC 8785 that matters for
 * parsed input: strings and numbers are written as ECMAScript writes them). Members that are undefined are left out.
 */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => (isPlainObject(part) ? sorted(part) : part)) ?? 'null';
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function sorted(value: Record<string, unknown>): Record<string, unknown> {
  // Entries of a null-prototype object: a member named __proto__ is a member like any other.
  const result = Object.create(null) as Record<string, unknown>;
  for (const name of Object.keys(value).sort()) result[name] = value[name];
  return result;
}
