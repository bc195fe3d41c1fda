import { cliCommand, curlCommand } from './commands.js';
import { copyButton, element } from './dom.js';
import { resolve, typeName } from './schema.js';

/** The token stays in the box: it is written to no storage, no URL and no command. */
const tokenBox = () => /** @type {HTMLInputElement} */ (document.getElementById('token'));

/**
 * A form that sends an operation, and the same request as commands to copy.
 * @param {{ fields: { name: string, in: string, required: boolean, schema: object }[] }} operation
 */
export function tryIt(reference, operation) {
  const inputs = new Map(operation.fields.map((field) => [field.name, makeInput(reference, operation, field)]));
  const current = () => readRequest(operation, inputs);
  const curl = commandBox(() => curlCommand(current()));
  const cli = commandBox(() => cliCommand(operation.cli, current().input));
  const answer = element('div', { class: 'answer', role: 'status', hidden: true });
  const send = element('button', { class: `primary ${operation.effect ?? 'read'}` }, `Send ${operation.method}`);
  const form = element(
    'form',
    { autocomplete: 'off' },
    ...operation.fields.flatMap((field) => [labelOf(operation, field), inputs.get(field.name).input]),
    element('div', { class: 'actions' }, send),
  );
  form.addEventListener('input', () => {
    curl.update();
    cli.update();
  });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void exchange(operation, current(), send, answer);
  });
  const boxes = operation.cli === undefined ? [curl.box] : [curl.box, cli.box];
  return element('div', { class: 'try' }, form, ...boxes, answer);
}

function inputId(operation, field) {
  return `${operation.id}--${field.name}`;
}

function labelOf(operation, field) {
  const star = field.required ? element('span', { class: 'must' }, 'required') : undefined;
  return element('label', { class: 'mono', for: inputId(operation, field) }, field.name, star);
}

/** The input that suits a schema, and how its text becomes a value; undefined is "not given". */
function makeInput(reference, operation, field) {
  const schema = resolve(reference, field.schema);
  const id = inputId(operation, field);
  const hint = typeName(reference, field.schema);
  const choices = schema.enum ?? (schema.type === 'boolean' ? ['true', 'false'] : undefined);
  if (choices) {
    const options = ['', ...choices].map((choice) => element('option', { value: choice }, String(choice)));
    const read = schema.type === 'boolean' ? (text) => text === 'true' : (text) => text;
    return { input: element('select', { id }, ...options), read };
  }
  if (schema.type === 'array' && resolve(reference, schema.items ?? {}).type !== 'object') {
    const item = numeric(resolve(reference, schema.items ?? {})) ? Number : (text) => text;
    const read = (text) => text.split('\n').map((line) => line.trim()).filter((line) => line !== '').map((line) => item(line));
    return { input: element('textarea', { id, rows: 1, placeholder: `${hint}, one per line` }), read };
  }
  if (schema.type === 'array' || schema.type === 'object')
    return { input: element('textarea', { id, rows: 2, placeholder: `${hint}, as JSON` }), read: jsonOrText };
  if (/PEM|CSR/.test(schema.description ?? field.description ?? ''))
    return { input: element('textarea', { id, rows: 2, placeholder: hint }), read: (text) => text };
  const secret = /password|private_key|secret/.test(field.name);
  const input = element('input', { id, type: secret ? 'password' : 'text', autocomplete: 'off', placeholder: hint });
  return { input, read: numeric(schema) ? numberOrText : (text) => text };
}

const numeric = (schema) => schema.type === 'number' || schema.type === 'integer';

/** What is no number is sent as it is: the server says best what is wrong with it. */
function numberOrText(text) {
  const number = Number(text);
  return Number.isNaN(number) ? text : number;
}

function jsonOrText(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** The request that the form now describes. */
function readRequest(operation, inputs) {
  const input = {};
  for (const field of operation.fields) {
    const { input: box, read } = inputs.get(field.name);
    if (box.value !== '') input[field.name] = read(box.value);
  }
  const inBody = operation.fields.filter((field) => field.in === 'body' && field.name in input);
  const query = new URLSearchParams();
  for (const field of operation.fields.filter((candidate) => candidate.in === 'query' && candidate.name in input))
    for (const value of [input[field.name]].flat()) query.append(field.name, String(value));
  const path = operation.path.replaceAll(/\{(\w+)\}/g, (whole, name) =>
    input[name] === undefined ? whole : encodeURIComponent(String(input[name])),
  );
  const search = query.size > 0 ? `?${query}` : '';
  return {
    method: operation.method,
    url: `${location.origin}${path}${search}`,
    body: operation.takesBody ? Object.fromEntries(inBody.map(({ name }) => [name, input[name]])) : undefined,
    open: operation.open,
    input,
  };
}

function commandBox(text) {
  const pre = element('pre', {});
  const update = () => {
    pre.textContent = text() ?? '';
  };
  update();
  return { box: element('div', { class: 'command' }, pre, copyButton(() => pre.textContent ?? '')), update };
}

async function exchange(operation, request, button, answer) {
  button.disabled = true;
  answer.hidden = false;
  answer.replaceChildren(element('p', { class: 'status quiet' }, 'Waiting for the answer …'));
  const started = performance.now();
  try {
    const token = tokenBox().value.trim();
    const response = await fetch(request.url, {
      method: request.method,
      headers: {
        ...(token !== '' && !operation.open ? { authorization: `Bearer ${token}` } : {}),
        ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
    });
    const text = await response.text();
    answer.replaceChildren(...showAnswer(operation, response, text, performance.now() - started));
  } catch (error) {
    answer.replaceChildren(element('p', { class: 'status bad' }, `The server did not answer: ${error.message}`));
  } finally {
    button.disabled = false;
  }
}

function showAnswer(operation, response, text, milliseconds) {
  const value = jsonOrText(text);
  const pre = element('pre', {});
  const secrets = response.ok && typeof value === 'object' ? operation.sensitive.filter((name) => name in (value ?? {})) : [];
  const show = (open) => {
    pre.textContent = typeof value === 'string' ? value : JSON.stringify(open ? value : masked(value, secrets), null, 2);
  };
  show(false);
  const reveal = element('button', { type: 'button' }, `Show ${secrets.join(', ')}`);
  reveal.addEventListener('click', () => {
    show(true);
    reveal.remove();
  });
  const status = element(
    'div',
    { class: 'status' },
    element('strong', { class: response.ok ? 'good' : 'bad' }, `${response.status} ${response.statusText}`),
    element('span', { class: 'quiet' }, `${milliseconds.toFixed(0)} ms`),
    element('span', { class: 'quiet mono' }, response.headers.get('x-request-id') ?? ''),
    secrets.length > 0 ? reveal : undefined,
  );
  return [status, pre];
}

function masked(value, secrets) {
  if (secrets.length === 0) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, secrets.includes(name) ? '••••••••' : item]));
}
