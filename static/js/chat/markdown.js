/**
 * Markdown: what the AI writes, as elements that can do nothing but be read.
 *
 * A model repeats what it has read, and may have read an attacker. So HTML in its text stays text; what Markdown makes of the
 * rest passes DOMPurify, with a short list of what may be there; nothing is loaded from anywhere, pictures included; and a
 * link says which host it leads to, whatever its words say.
 * @module
 */

import '../../vendor/dompurify/purify.min.js';
import { Marked } from '../../vendor/marked/marked.esm.js';
import { copyButton } from '../copy.js';
import { h } from '../dom.js';

/** The minified build, which is a third of the module's size, leaves itself here. */
const { DOMPurify } = /** @type {any} */ (globalThis);

const ALLOWED_TAGS = [
  'p', 'br', 'strong', 'em', 'del', 'code', 'pre', 'blockquote', 'ul', 'ol', 'li', 'a', 'hr',
  'table', 'thead', 'tbody', 'tr', 'th', 'td',
];
const ALLOWED_ATTR = ['href', 'class', 'start', 'align'];
const WEB = /^(?:https?:|mailto:)/i;
const URL_IN_TEXT = /https?:\/\/[^\s<>"'`]+[^\s<>"'`.,;:!?)\]}]/g;
/** A model that wants to be nested deeper than this wants to break something. */
const MOST_MARKS_A_LINE = 100;

/** @type {any} */
const renderer = {
  html: (/** @type {any} */ { text }) => escape(text),
  image: (/** @type {any} */ { href, text }) => `<a href="${escape(href)}">${escape(text || 'picture')}</a>`,
  checkbox: (/** @type {any} */ { checked }) => (checked ? '☑ ' : '☐ '),
  heading(/** @type {any} */ { tokens, depth }) {
    return `<p class="md__heading md__heading--${depth}"><strong>${this.parser.parseInline(tokens)}</strong></p>`;
  },
};
const marked = new Marked({ gfm: true, breaks: true, async: false, renderer });

/** @param {string} text @returns {DocumentFragment} */
export function markdown(text) {
  try {
    const html = marked.parse(shallow(text));
    const fragment = DOMPurify.sanitize(String(html), {
      ALLOWED_TAGS, ALLOWED_ATTR, ALLOWED_URI_REGEXP: WEB, ALLOW_DATA_ATTR: false, ALLOW_ARIA_ATTR: false, RETURN_DOM_FRAGMENT: true,
    });
    return decorated(/** @type {DocumentFragment} */ (/** @type {unknown} */ (fragment)));
  } catch {
    // A text that the parser chokes on is still a text.
    return plain(text);
  }
}

/** What a person writes: as it stands, with its addresses as links. @param {string} text @returns {DocumentFragment} */
export function plain(text) {
  const fragment = document.createDocumentFragment();
  let from = 0;
  for (const { 0: url, index } of text.matchAll(URL_IN_TEXT)) {
    fragment.append(text.slice(from, index), hostOf(url) === '' ? url : link(url, url));
    from = index + url.length;
  }
  fragment.append(text.slice(from));
  return fragment;
}

/** @param {string} href @param {string} said */
function link(href, said) {
  return h('a', { href, target: '_blank', rel: 'noopener noreferrer nofollow' }, said);
}

/** @param {DocumentFragment} fragment */
function decorated(fragment) {
  for (const anchor of fragment.querySelectorAll('a')) {
    const host = hostOf(anchor.getAttribute('href') ?? '');
    if (host === '') {
      anchor.replaceWith(...anchor.childNodes);
      continue;
    }
    anchor.target = '_blank';
    anchor.rel = 'noopener noreferrer nofollow';
    if (anchor.textContent !== anchor.getAttribute('href')) anchor.append(h('span', { class: 'md__host' }, ` (${host})`));
  }
  for (const pre of fragment.querySelectorAll('pre')) {
    const code = pre.querySelector('code');
    const language = /language-([\w+#.-]{1,20})/.exec(code?.className ?? '')?.[1] ?? '';
    code?.removeAttribute('class');
    const block = h('div', { class: 'md__code' },
      h('div', { class: 'md__code-head' }, h('span', {}, language || 'code'), copyButton('Copy code', () => code?.textContent ?? '')));
    pre.replaceWith(block);
    pre.tabIndex = 0;
    block.append(pre);
  }
  for (const table of fragment.querySelectorAll('table')) {
    const box = h('div', { class: 'md__table', tabindex: '0', role: 'group', 'aria-label': 'Table' });
    table.replaceWith(box);
    box.append(table);
  }
  return fragment;
}

/** The host that a link leads to, or the address of a letter; empty if it is none that may be followed. @param {string} href */
export function hostOf(href) {
  if (!WEB.test(href)) return '';
  try {
    const url = new URL(href);
    return url.protocol === 'mailto:' ? url.pathname : url.host;
  } catch {
    return '';
  }
}

/** Cut marks of nesting that no person would write. @param {string} text */
function shallow(text) {
  return text.replace(/^(?:[ \t]*(?:>|[-*+]|\d{1,3}[.)])[ \t]*){20,}/gm, (marks) => marks.slice(0, MOST_MARKS_A_LINE / 5));
}

/** @param {string} text */
function escape(text) {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
