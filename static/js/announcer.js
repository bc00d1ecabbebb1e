/** The announcer: speaks changes to screen readers, and shows them in the title of a tab nobody looks at. @module */

import { byId, h } from './dom.js';

const GATHER_MS = 150;
const KEPT_MS = 8_000;
const TITLE = document.title;

/** @type {string[]} */
let waiting = [];

/**
 * Say something once, politely. What comes within a moment is said in one breath.
 * @param {string} text
 */
export function announce(text) {
  waiting.push(text);
  if (waiting.length > 1) return;
  setTimeout(() => {
    const line = h('span', {}, `${waiting.join('. ')} `);
    waiting = [];
    byId('announcer').append(line);
    setTimeout(() => line.remove(), KEPT_MS);
  }, GATHER_MS);
}

/**
 * Mark the tab when a job ends out of sight.
 * @param {string} what
 */
export function flagTab(what) {
  if (document.hidden) document.title = `${what} · ${TITLE}`;
}

document.addEventListener('visibilitychange', () => {
  if (!document.hidden) document.title = TITLE;
});
