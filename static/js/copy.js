/** Copying: a button that puts text on the clipboard and says whether it worked. @module */

import { announce } from './announcer.js';
import { h, icon } from './dom.js';

const SHOWN_MS = 2_000;

/**
 * @param {string} name what the button says, such as `Copy answer`
 * @param {() => string} text
 */
export function copyButton(name, text) {
  const label = h('span', {}, name);
  const button = h('button', { type: 'button', class: 'quiet', onclick: press }, icon('copy'), label);
  async function press() {
    const said = (await copy(text(), button)) ? 'Copied' : 'Could not copy';
    label.textContent = said;
    announce(said);
    setTimeout(() => {
      label.textContent = name;
    }, SHOWN_MS);
  }
  return button;
}

/**
 * The clipboard API exists only on secure pages; elsewhere the old command on a selected box still works.
 * @param {string} text
 * @param {HTMLElement} returnFocusTo
 */
export async function copy(text, returnFocusTo) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const box = h('textarea', { class: 'visually-hidden', readonly: true, 'aria-hidden': 'true' });
    box.value = text;
    document.body.append(box);
    box.select();
    const copied = document.execCommand('copy');
    box.remove();
    returnFocusTo.focus();
    return copied;
  }
}
