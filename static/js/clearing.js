/** Clearing: asked about first, since nobody else keeps the list. @module */

import { byId } from './dom.js';
import { plural } from './format.js';

/**
 * Make the button ask, and `clear` once the answer is yes.
 * @param {{countUnsent: () => number, clear: () => void}} how
 */
export function askBeforeClearing({ countUnsent, clear }) {
  const dialog = /** @type {HTMLDialogElement} */ (byId('clear-ask'));
  byId('clear').addEventListener('click', () => {
    const unsent = countUnsent();
    const loss = unsent > 0 ? ` ${plural(unsent, 'message')} not sent yet will be dropped.` : '';
    byId('clear-text').textContent = `Only this browser forgets. Jobs already sent go on at the server.${loss}`;
    dialog.returnValue = 'no';
    dialog.showModal();
  });
  dialog.addEventListener('close', () => {
    if (dialog.returnValue === 'yes') clear();
  });
}
