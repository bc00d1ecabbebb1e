/** Elements: made by name, so that no text ever passes through an HTML parser. @module */

/**
 * Make an element. `class` and attributes are set as given, `onclick` and the like are listened to, and
 * null or false leaves an attribute out. Strings among the children become text.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any>} [props]
 * @param {...(Node|string|null)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const PATHS = {
  copy: 'M7 7V3.5h9.5V13H13M3.5 7H13v9.5H3.5z',
  again: 'M15.5 8A6 6 0 1 0 16 11.5M15.8 3.5V8h-4.5',
  check: 'm4 10.5 4 4 8-9',
  close: 'm5 5 10 10M15 5 5 15',
  checks: 'm1.5 10.5 4 4 8-9M9 13.5l1 1 8-9',
  clock: 'M10 3.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM10 6.5V10l2.5 1.5',
  alert: 'M10 3.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM10 6.5v4.5M10 13.4v.1',
  stop: 'M6 6h8v8H6z',
  more: 'M5 10v.01M10 10v.01M15 10v.01',
  spark: 'M10 3c.6 4 2.9 6.4 7 7-4.1.6-6.4 3-7 7-.6-4-2.9-6.4-7-7 4.1-.6 6.4-3 7-7z',
  people: 'M7.5 10a2.75 2.75 0 1 0 0-5.5 2.75 2.75 0 0 0 0 5.5zM2.5 16a5 5 0 0 1 10 0M13 4.8a2.5 2.5 0 0 1 0 4.9M14.8 12a4.6 4.6 0 0 1 2.7 4',
  person: 'M10 10a3 3 0 1 0 0-6 3 3 0 0 0 0 6zM4.5 16.5a5.5 5.5 0 0 1 11 0',
  mute: 'M4 4l12 12M6 8.5c0 3-1 4-2 5h9.5M8.5 16h3M8 5.2A4.2 4.2 0 0 1 14 9c0 1 .1 1.8.4 2.5',
};

/**
 * A small line drawing that screen readers skip.
 * @param {keyof typeof PATHS} name
 */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  svg.setAttribute('viewBox', '0 0 20 20');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  path.setAttribute('d', PATHS[name]);
  svg.append(path);
  return svg;
}

/**
 * The element with this id, which the page's own HTML promises.
 * @param {string} id
 * @returns {any}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`The page has no element #${id}`);
  return element;
}

/**
 * Set text only when it differs: a needless write would drop the reader's selection.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
