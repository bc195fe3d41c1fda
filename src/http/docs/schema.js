import { element, prose } from './dom.js';

/** Fields inside fields are shown down to this depth. */
const maxDepth = 3;

/** A schema with its reference followed. */
export function resolve(document, schema) {
  let current = schema;
  for (let steps = 0; current?.$ref && steps < 8; steps++) {
    const path = current.$ref.replace(/^#\//, '').split('/');
    current = path.reduce((node, key) => node?.[key], document);
  }
  return current ?? {};
}

/** What a value may be, in a few words: `text`, `list of text`, `number or text`. */
export function typeName(document, schema) {
  const own = resolve(document, schema);
  if (own.const !== undefined) return JSON.stringify(own.const);
  if (own.enum) return own.enum.map((value) => String(value)).join(' | ');
  const choices = own.anyOf ?? own.oneOf;
  if (choices && isDuration(choices)) return 'duration';
  if (choices) return [...new Set(choices.map((choice) => typeName(document, choice)))].join(' or ');
  if (Array.isArray(own.type)) return own.type.map(plainType).join(' or ');
  if (own.type === 'array') return `list of ${typeName(document, own.items ?? {})}`;
  if (own.format === 'date-time') return 'time';
  return plainType(own.type);
}

/** The durations of the API: text with units, or a number of seconds. */
function isDuration(choices) {
  return choices.length === 2 && choices[0].type === 'string' && choices[1].type === 'number';
}

function plainType(type) {
  const names = { string: 'text', integer: 'whole number', number: 'number', boolean: 'true or false', null: 'null' };
  return names[type] ?? (type === 'object' ? 'object' : 'anything');
}

/** The properties of a schema, over all its alternatives. */
export function propertiesOf(document, schema) {
  const own = resolve(document, schema);
  const branches = [...(own.anyOf ?? []), ...(own.oneOf ?? []), ...(own.allOf ?? [])];
  return Object.assign({}, ...branches.map((branch) => propertiesOf(document, branch)), own.properties ?? {});
}

/** One row per field, those of objects and of lists of objects below their own. */
export function fieldRows(document, schema, prefix = '', depth = 0) {
  const own = resolve(document, schema);
  return Object.entries(propertiesOf(document, own)).flatMap(([name, property]) => {
    const value = resolve(document, property);
    const row = {
      name: `${prefix}${name}`,
      required: (own.required ?? []).includes(name),
      schema: { ...value, description: property.description ?? value.description },
    };
    const inner = value.type === 'array' ? resolve(document, value.items ?? {}) : value;
    const below = value.type === 'array' ? `${prefix}${name}[].` : `${prefix}${name}.`;
    return [row, ...(depth < maxDepth ? fieldRows(document, inner, below, depth + 1) : [])];
  });
}

/** A table of fields. `note(row)` may add a word to a name. */
export function fieldTable(document, rows, note = () => undefined) {
  const head = element(
    'tr',
    {},
    ...['Field', 'Type', 'Meaning'].map((title) => element('th', { scope: 'col' }, title)),
  );
  const lines = rows.map((row) =>
    element(
      'tr',
      {},
      element('td', { class: 'mono' }, row.name, mark(note(row) ?? (row.required ? 'required' : undefined))),
      element('td', {}, typeName(document, row.schema)),
      element('td', {}, prose(row.schema.description ?? ''), rules(row.schema)),
    ),
  );
  return element('table', {}, element('thead', {}, head), element('tbody', {}, ...lines));
}

function mark(word) {
  return word === undefined ? undefined : element('span', { class: 'must' }, word);
}

/** Defaults and bounds that the description does not say. */
function rules(schema) {
  const own = schema.type === 'array' ? schema : { ...schema, minItems: undefined, maxItems: undefined };
  const said = [
    own.default === undefined ? undefined : `default ${JSON.stringify(own.default)}`,
    range('', own.minimum, own.maximum, ''),
    range('', own.minLength, own.maxLength, ' characters'),
    range('', own.minItems, own.maxItems, ' entries'),
  ].filter((rule) => rule !== undefined);
  return said.length === 0 ? undefined : element('div', { class: 'rule' }, said.join(' · '));
}

function range(before, least, most, unit) {
  if (least === undefined && most === undefined) return undefined;
  if (most === undefined) return `${before}at least ${least}${unit}`;
  return `${before}${least === undefined ? 'at most ' : `${least} to `}${most}${unit}`;
}
