import { element, prose } from './dom.js';
import { fieldRows, fieldTable, propertiesOf, resolve } from './schema.js';
import { tryIt } from './try-it.js';

/** The reference, drawn from /openapi.json. An operation is drawn when it is opened, so that the page is there at once. */

const main = document.getElementById('main');
const index = document.getElementById('index');
const search = /** @type {HTMLInputElement} */ (document.getElementById('search'));

const effects = {
  read: 'Reads only',
  additive: 'Adds something',
  mutating: 'Changes something',
  destructive: 'Cannot be undone',
};

void start();

async function start() {
  try {
    const response = await fetch('/openapi.json');
    if (!response.ok) throw new Error(`it answered ${response.status}`);
    draw(await response.json());
  } catch (error) {
    main.replaceChildren(element('p', { class: 'bad', role: 'alert' }, `/openapi.json could not be loaded: ${error.message}`));
  }
}

function draw(reference) {
  document.getElementById('version').textContent = reference.info.version;
  const operations = operationsOf(reference);
  const isErrors = location.pathname.endsWith('/errors');
  markPage();
  drawIndex(reference, operations, isErrors ? '/docs' : '');
  main.replaceChildren(...(isErrors ? errorPage(reference) : operationPage(reference, operations)));
  search.addEventListener('input', () => filter(operations));
  window.addEventListener('hashchange', openTarget);
  document.addEventListener('keydown', focusSearch);
  openTarget();
}

function markPage() {
  for (const link of document.querySelectorAll('.top nav a'))
    if (link.getAttribute('href') === location.pathname) link.setAttribute('aria-current', 'page');
}

/** Operations in the form that this page works with, in the order of the document. */
function operationsOf(reference) {
  return Object.entries(reference.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, item]) => {
      const body = item.requestBody?.content?.['application/json']?.schema;
      return {
        id: item.operationId,
        area: item.tags[0],
        method: method.toUpperCase(),
        path,
        title: item.summary,
        summary: item.description ?? '',
        effect: item['x-effect'],
        idempotent: item['x-idempotent'],
        openWorld: item['x-open-world'],
        installation: item['x-installation'],
        sensitive: item['x-sensitive'] ?? [],
        cli: item['x-cli'],
        open: item.security?.length === 0,
        takesBody: body !== undefined,
        fields: [...parameterFields(reference, item), ...bodyFields(reference, body)],
        body,
        responses: item.responses,
        words: `${item.operationId} ${method} ${path} ${item.summary} ${item.description ?? ''}`.toLowerCase(),
      };
    }),
  );
}

function parameterFields(reference, item) {
  return item.parameters
    .map((parameter) => resolve(reference, parameter))
    .filter((parameter) => parameter.in !== 'header')
    .map(({ name, in: place, required, schema, description }) => ({ name, in: place, required, schema: { ...schema, description } }));
}

function bodyFields(reference, body) {
  if (body === undefined) return [];
  const required = resolve(reference, body).required ?? [];
  return Object.entries(propertiesOf(reference, body)).map(([name, schema]) => ({
    name,
    in: 'body',
    required: required.includes(name),
    schema,
  }));
}

function drawIndex(reference, operations, page) {
  const areas = reference.tags.map((tag) => {
    const items = operations.filter(({ area }) => area === tag.name);
    return element(
      'div',
      { 'data-area': tag.name },
      element('h2', {}, element('a', { href: `${page}#area-${tag.name}` }, tag.name)),
      element(
        'ul',
        {},
        ...items.map(({ id, title }) => element('li', { 'data-id': id }, element('a', { href: `${page}#${id}` }, title))),
      ),
    );
  });
  index.replaceChildren(...areas);
}

function operationPage(reference, operations) {
  const paragraphs = reference.info.description.split('\n\n').map((text) => element('p', {}, prose(text)));
  const sections = reference.tags.map((tag) =>
    element(
      'section',
      { id: `area-${tag.name}` },
      element('h2', {}, tag.name),
      element('p', {}, tag.description),
      ...operations.filter(({ area }) => area === tag.name).map((operation) => operationEntry(reference, operation)),
    ),
  );
  return [element('h1', {}, reference.info.summary), ...paragraphs, ...sections];
}

function operationEntry(reference, operation) {
  const summary = element(
    'summary',
    {},
    element('span', { class: `method ${operation.effect ?? 'read'}` }, operation.method),
    element('span', { class: 'path mono' }, ...pathParts(operation.path)),
    element('span', { class: 'title' }, operation.title),
  );
  const details = element('details', { class: 'operation', id: operation.id }, summary);
  details.addEventListener('toggle', () => {
    if (details.open && details.children.length === 1) details.append(operationBody(reference, operation));
    if (details.open) markCurrent(operation.id);
  });
  return details;
}

function pathParts(path) {
  return path.split(/(\{\w+\})/).map((part) => (part.startsWith('{') ? element('span', { class: 'parameter' }, part) : part));
}

function operationBody(reference, operation) {
  const success = Object.entries(operation.responses).find(([status]) => status.startsWith('2'));
  const answer = success?.[1].content?.['application/json']?.schema;
  const places = new Map(operation.fields.map((field) => [field.name, field.in]));
  const note = (row) => (places.get(row.name) === 'path' ? 'in the path' : undefined);
  return element(
    'div',
    { class: 'body' },
    element('p', {}, prose(operation.summary)),
    facts(operation, success?.[0]),
    element('h3', {}, 'Request'),
    requestTable(reference, operation, note),
    ...(answer === undefined
      ? []
      : [element('h3', {}, 'Answer'), fieldTable(reference, fieldRows(reference, answer), secretNote(operation))]),
    element('h3', {}, 'Try it'),
    tryIt(reference, operation),
  );
}

function requestTable(reference, operation, note) {
  const outside = operation.fields.filter((field) => field.in !== 'body');
  const rows = [...outside, ...(operation.body === undefined ? [] : fieldRows(reference, operation.body))];
  return rows.length === 0 ? element('p', { class: 'quiet' }, 'No fields.') : fieldTable(reference, rows, note);
}

/** In an answer nothing is asked for; what matters is which fields are secret. */
function secretNote(operation) {
  return (row) => (operation.sensitive.includes(row.name) ? 'secret' : '');
}

function facts(operation, status) {
  const said = [
    operation.open ? 'Needs no token' : effects[operation.effect],
    operation.idempotent === true && operation.effect !== 'read' ? 'A repeat changes nothing' : undefined,
    operation.openWorld === true ? 'Reaches other systems' : undefined,
    operation.installation === true ? 'Concerns the whole installation' : undefined,
    status === undefined ? undefined : `Answers ${status}`,
    operation.open ? undefined : operation.id,
  ];
  const items = said.filter((text) => text !== undefined).map((text) => element('li', {}, text));
  return element('ul', { class: 'facts' }, ...items);
}

function errorPage(reference) {
  const head = ['Code', 'Status', 'Exit code of the CLI', 'Meaning'].map((title) => element('th', { scope: 'col' }, title));
  const rows = Object.entries(reference['x-error-codes']).map(([code, { status, exit, title }]) =>
    element(
      'tr',
      { id: code },
      element('td', { class: 'mono' }, code),
      element('td', {}, String(status)),
      element('td', {}, String(exit)),
      element('td', {}, title),
    ),
  );
  return [
    element('h1', {}, 'Errors'),
    element(
      'p',
      {},
      prose(
        'Every error is a problem document (RFC 9457). `code` is one of these and does not change; `detail` says what was ' +
          'found and what is allowed, `hint` the next step, `errors` every single finding, and `request_id` names the ' +
          'request in log and audit.',
      ),
    ),
    element('table', {}, element('thead', {}, element('tr', {}, ...head)), element('tbody', {}, ...rows)),
  ];
}

/** Shows the operations that have all the words, in index and page. */
function filter(operations) {
  const words = search.value.toLowerCase().split(/\s+/).filter((word) => word !== '');
  const shown = new Set(operations.filter((operation) => words.every((word) => operation.words.includes(word))).map(({ id }) => id));
  for (const item of index.querySelectorAll('[data-id]')) item.hidden = !shown.has(item.dataset.id);
  for (const entry of main.querySelectorAll('.operation')) entry.hidden = !shown.has(entry.id);
  for (const area of index.querySelectorAll('[data-area]')) hideWhenEmpty(area, '[data-id]');
  for (const section of main.querySelectorAll('section')) hideWhenEmpty(section, '.operation');
  document.getElementById('nothing').hidden = shown.size > 0;
}

function hideWhenEmpty(group, selector) {
  group.hidden = [...group.querySelectorAll(selector)].every((item) => item.hidden);
}

/** Opens and shows what the address names. */
function openTarget() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target === null) return;
  if (target instanceof HTMLDetailsElement) target.open = true;
  for (const row of main.querySelectorAll('tr.named')) row.classList.remove('named');
  if (target instanceof HTMLTableRowElement) target.classList.add('named');
  target.scrollIntoView();
}

function markCurrent(id) {
  for (const link of index.querySelectorAll('[aria-current]')) link.removeAttribute('aria-current');
  index.querySelector(`[data-id="${CSS.escape(id)}"] a`)?.setAttribute('aria-current', 'true');
}

function focusSearch(event) {
  const typing = event.target instanceof HTMLElement && /^(?:INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
  if (event.key !== '/' || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  search.focus();
}
