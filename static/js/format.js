/** Formats: times, durations and counts for people. @module */

/**
 * `40 ms`, `2.4 s`, `38 s`, `3 min 5 s`, `2 h 10 min`. Null and negative give an empty string.
 * @param {number|null} ms
 */
export function duration(ms) {
  if (ms === null || !(ms >= 0)) return '';
  if (ms < 995) return `${Math.max(1, Math.round(ms / 10) * 10)} ms`;
  if (ms < 9_950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return seconds % 60 === 0 ? `${minutes} min` : `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/**
 * Whole seconds left or gone, for figures that tick; never below zero.
 * @param {number} ms
 */
export function ticking(ms) {
  return duration(Math.max(0, Math.ceil(ms / 1000)) * 1000).replace('.0 s', ' s').replace(/^1 ms$/, '0 s');
}

/**
 * A guess, no finer than it can be known: `12 s`, `4 min`, `3 h`.
 * @param {number} seconds
 */
export function roughly(seconds) {
  if (seconds < 60) return `${Math.ceil(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}

/**
 * `1st`, `2nd`, `11th`.
 * @param {number} n
 */
export function ordinal(n) {
  const suffix = n % 100 > 10 && n % 100 < 14 ? 'th' : (['th', 'st', 'nd', 'rd'][n % 10] ?? 'th');
  return `${n}${suffix}`;
}

/**
 * Milliseconds from one of the server's times to another, or null when either is missing.
 * @param {string|null|undefined} from
 * @param {string|null|undefined} to
 */
export function between(from, to) {
  const ms = Date.parse(to ?? '') - Date.parse(from ?? '');
  return Number.isNaN(ms) ? null : Math.max(0, ms);
}

/**
 * The time of day, with the date in front unless it is today's.
 * @param {number} at
 */
export function moment(at) {
  const date = new Date(at);
  const time = date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
  if (date.toDateString() === new Date().toDateString()) return time;
  return `${date.toLocaleDateString([], { day: 'numeric', month: 'short' })}, ${time}`;
}

/** The day, such as `3 May 2026`. @param {string} iso */
export function day(iso) {
  return new Date(iso).toLocaleDateString([], { day: 'numeric', month: 'short', year: 'numeric' });
}

/**
 * How long ago, no finer than matters: `just now`, `12 min ago`, `3 h ago`, or the day.
 * @param {string} iso
 * @param {number} now
 */
export function since(iso, now) {
  const seconds = Math.max(0, (now - Date.parse(iso)) / 1000);
  if (seconds < 120) return 'just now';
  return seconds < 86_400 ? `${roughly(seconds)} ago` : day(iso);
}

/**
 * `1 job`, `3 jobs`.
 * @param {number} count
 * @param {string} noun
 */
export function plural(count, noun) {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}
