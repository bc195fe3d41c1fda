/**
 * Makes an element. Text always becomes a text node: nothing of the reference or of an answer is ever read as HTML.
 * @param {string} name
 * @param {Record<string, unknown>} attributes `class`, `onclick`, … ; undefined and false are left out
 * @param {...(Node | string | undefined)} children
 */
export function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (key.startsWith('on')) made.addEventListener(key.slice(2), /** @type {EventListener} */ (value));
    else made.setAttribute(key, value === true ? '' : String(value));
  }
  for (const child of children) if (child !== undefined) made.append(child);
  return made;
}

/** Text in which `code` in backticks is shown as such. */
export function prose(text) {
  const parts = text.split('`').map((part, index) => (index % 2 === 1 ? element('code', {}, part) : part));
  const fragment = document.createDocumentFragment();
  fragment.append(...parts);
  return fragment;
}

/** A button that copies what `text()` says at that moment. */
export function copyButton(text) {
  const button = element('button', { type: 'button' }, 'Copy');
  const say = (word) => {
    button.textContent = word;
    setTimeout(() => {
      button.textContent = 'Copy';
    }, 1500);
  };
  button.addEventListener('click', () => {
    navigator.clipboard.writeText(text()).then(
      () => say('Copied'),
      () => say('Not allowed'),
    );
  });
  return button;
}
