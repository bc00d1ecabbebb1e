/** Dialogs: a sheet over the page, with a title and a button that closes it. @module */

import { h, icon } from '../dom.js';

let number = 0;

/**
 * Open one. It is gone when it closes, and whatever had the focus has it again.
 * @param {string} title
 * @param {...(Node|null)} body
 */
export function openDialog(title, ...body) {
  const id = `dialog-${(number += 1)}`;
  const dialog = h('dialog', { class: 'ask sheet', 'aria-labelledby': id },
    h('div', { class: 'account__head' }, h('h2', { id }, title),
      h('button', { type: 'button', class: 'quiet', 'aria-label': 'Close', onclick: () => dialog.close() }, icon('close'))),
    ...body);
  // A press beside it closes it, too.
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
