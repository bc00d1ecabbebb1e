/** Waking: the moments at which waiting any longer makes no sense. @module */

const BEAT_MS = 1_000;
/** A beat this late means the machine slept; a hidden tab's beats are late too, and being looked at wakes it. */
const SLEPT_MS = 10_000;

/**
 * Call `woken` when the tab is shown again, the page comes back from the browser's cache, the network is
 * back, or the machine has slept under an open page (which fires no event of its own).
 * @param {() => void} woken
 */
export function onWake(woken) {
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) woken();
  });
  window.addEventListener('online', woken);
  window.addEventListener('pageshow', (event) => {
    if (event.persisted) woken();
  });
  let lastBeat = Date.now();
  setInterval(() => {
    const now = Date.now();
    if (now - lastBeat > SLEPT_MS && !document.hidden) woken();
    lastBeat = now;
  }, BEAT_MS);
}
