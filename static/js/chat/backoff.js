/**
 * Back-off: how long a lost connection waits before it is tried again. Pure.
 *
 * Source: Marc Brooker, "Exponential Backoff and Jitter" (2015), full jitter. A server that restarts loses everybody in
 * the same second; full jitter spreads their return over all of the time.
 * @module
 */

const FIRST_MS = 500;
export const MOST_MS = 30_000;
/** Even the luckiest draw leaves the server room to breathe. */
const LEAST_MS = 100;

/**
 * Milliseconds until the next try.
 * @param {number} failures in a row, from 1
 * @param {() => number} [random] gives a number in [0, 1)
 */
export function delayAfter(failures, random = Math.random) {
  return Math.max(LEAST_MS, random() * Math.min(MOST_MS, FIRST_MS * 2 ** (failures - 1)));
}
