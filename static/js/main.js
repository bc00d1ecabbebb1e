/**
 * Parley's page: the wiring, and nothing that could live elsewhere.
 *
 * The session says whose page this is, and every request passes through it; the talk is that person's.
 * @module
 */

import { Account } from './account.js';
import { askBeforeClearing } from './clearing.js';
import { observe } from './clock.js';
import { byId } from './dom.js';
import { listen } from './http.js';
import { followKeyboard } from './keyboard.js';
import { session } from './me.js';
import * as talk from './talk.js';
import { onWake } from './wake.js';

const TICK_MS = 500;

/** @param {string|null} before */
function onSession(before) {
  const { state, who } = session;
  const whose = who?.userId ?? null;
  document.documentElement.dataset.session = state;
  talk.notices.session(state === 'ended');
  if (whose !== before) talk.turnTo(before, whose);
  if (state === 'user' || state === 'guest') talk.wake({ insist: true });
}

function listenToPage() {
  askBeforeClearing({ countUnsent: talk.countUnsent, clear: talk.clearList });
  for (const example of document.querySelectorAll('button.example')) {
    const { message, type } = /** @type {HTMLElement} */ (example).dataset;
    const text = message ?? example.querySelector('.example__text')?.textContent ?? '';
    example.addEventListener('click', () => talk.composer.fill(text, type ?? 'chat'));
  }
  window.addEventListener('storage', (event) => {
    if (talk.store.concerns(event.key)) talk.reconcile();
  });
  onWake(() => talk.wake());
  setInterval(() => {
    if (!document.hidden) talk.tick();
  }, TICK_MS);
}

history.scrollRestoration = 'manual';
listen(observe);
listenToPage();
followKeyboard();
byId('dock').hidden = false;
byId('empty').hidden = talk.store.list().length > 0;
talk.reconcile();
session.listen(onSession);
const account = new Account(session, talk.countUnsent);
byId('notice-sign-in').addEventListener('click', () => account.open(byId('message')));
session.start();
talk.wake();
talk.warnWhenForgetful();
if (talk.store.list().length > 0) window.scrollTo(0, document.documentElement.scrollHeight);
