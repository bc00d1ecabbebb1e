/** Asking: a question before something that cannot be taken back. @module */

import { h } from './dom.js';

/**
 * Ask, and answer whether it was a yes. Whatever had the focus has it again afterwards.
 * @param {{title: string, text: string, yes: string, no: string}} question
 * @returns {Promise<boolean>}
 */
export function ask({ title, text, yes, no }) {
  const dialog = h('dialog', { class: 'ask', 'aria-labelledby': 'ask-title', 'aria-describedby': 'ask-text' },
    h('h2', { id: 'ask-title' }, title), h('p', { id: 'ask-text' }, text),
    h('form', { method: 'dialog', class: 'ask__buttons' },
      h('button', { class: 'plain', value: 'no' }, no), h('button', { class: 'plain plain--strong', value: 'yes' }, yes)));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
  });
}
