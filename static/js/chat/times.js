/** Times of messages, for people. @module */

/** The time of day, such as `14:03`. @param {string|number} at */
export function clock(at) {
  return new Date(at).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
}

/** The day of a divider: `Today`, `Yesterday`, `Monday`, `3 May 2026`. @param {string|number} at @param {number} now */
export function dayName(at, now) {
  const [then, today] = [midnight(at), midnight(now)];
  const days = Math.round((today - then) / 86_400_000);
  if (days === 0) return 'Today';
  if (days === 1) return 'Yesterday';
  if (days > 1 && days < 7) return new Date(at).toLocaleDateString('en', { weekday: 'long' });
  return new Date(at).toLocaleDateString('en-GB', { day: 'numeric', month: 'long', year: 'numeric' });
}

/** For a list: the time today, else the day in short. @param {string} at @param {number} now */
export function brief(at, now) {
  const name = dayName(at, now);
  if (name === 'Today') return clock(at);
  if (name === 'Yesterday') return name;
  const sameYear = new Date(at).getFullYear() === new Date(now).getFullYear();
  return new Date(at).toLocaleDateString('en-GB', { day: 'numeric', month: 'short', ...(sameYear ? {} : { year: '2-digit' }) });
}

/** @param {string|null} at @param {number} now */
export function lastSeen(at, now) {
  if (at === null) return 'offline';
  const day = { Today: 'at', Yesterday: 'yesterday,' }[dayName(at, now)] ?? `${brief(at, now)},`;
  return `last seen ${day} ${clock(at)}`;
}

/** @param {string|number} at */
function midnight(at) {
  return new Date(at).setHours(0, 0, 0, 0);
}
