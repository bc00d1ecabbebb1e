/**
 * The chat page: the wiring, and nothing that could live elsewhere.
 *
 * A chat is somebody's. Whoever is known in this browser sees what it keeps of theirs at once, before the server has been
 * asked; whoever is not is asked to sign in, in the place where the chat would be.
 * @module
 */

import { Account } from '../account.js';
import { observe } from '../clock.js';
import { byId } from '../dom.js';
import { listen } from '../http.js';
import { followKeyboard } from '../keyboard.js';
import { session } from '../me.js';
import { ChatPage } from './page.js';

/** @type {ChatPage|null} */
let page = null;
let leaving = false;

async function onSession() {
  const { state, who } = session;
  document.documentElement.dataset.session = state;
  byId('ended').hidden = state !== 'ended';
  if (leaving) return;
  if (page !== null && page.me !== who?.userId) {
    // Somebody else, or nobody: a page that is loaded anew has nothing left of the one before.
    leaving = true;
    await page.erase();
    location.reload();
    return;
  }
  if (page === null && who !== null && (state === 'starting' || state === 'user')) begin(who.userId);
  else if (state === 'user') page?.wake();
}

/** @param {string} userId */
function begin(userId) {
  page = new ChatPage(session, userId);
  page.start();
}

listen(observe);
followKeyboard();
session.listen(onSession);
const account = new Account(session, () => page?.talk.outbox.waiting.length ?? 0, { gated: ['needed', 'guest'] });
byId('sign-in-again').addEventListener('click', () => account.open(byId('message')));
onSession();
session.start();
// Without a network the page itself comes from what the worker has kept; its chats from the database.
navigator.serviceWorker?.register('/sw.js').catch(() => {});
