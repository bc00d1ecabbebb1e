/**
 * Who: whose page this is, remembered over a reload and told to the other tabs.
 *
 * It is a name to show and to find the person's list by, and proves nothing: no token is ever stored.
 * @module
 */

/** @typedef {{userId: string, username: string, displayName: string}} Who */

export const WHO_KEY = 'parley.who.v1';

/** Whether it can be remembered at all; nothing is known about a browser that refuses. */
export function canRemember() {
  try {
    window.localStorage.getItem(WHO_KEY);
    return true;
  } catch {
    return false;
  }
}

/** @returns {Who|null} null: nobody has signed in here, or has signed out since */
export function remembered() {
  try {
    const { userId, username, displayName } = JSON.parse(window.localStorage.getItem(WHO_KEY) ?? '');
    return typeof userId === 'string' ? { userId, username: String(username), displayName: String(displayName) } : null;
  } catch {
    return null;
  }
}

/** The time makes every sign-in a change that other tabs hear of. @param {Who|null} who */
export function remember(who) {
  try {
    if (who === null) window.localStorage.removeItem(WHO_KEY);
    else window.localStorage.setItem(WHO_KEY, JSON.stringify({ ...who, at: Date.now() }));
  } catch {
    // The next visit asks the server instead.
  }
}

/**
 * Call `changed` when another tab has signed in or out.
 * @param {() => void} changed
 */
export function onOtherTab(changed) {
  window.addEventListener('storage', (event) => {
    if (event.key === WHO_KEY || event.key === null) changed();
  });
}

/**
 * One tab at a time where the browser can: the cookies are common to all of them.
 * @template T
 * @param {() => Promise<T>} ask
 * @returns {Promise<T>}
 */
export function alone(ask) {
  return navigator.locks ? navigator.locks.request('parley.session', ask) : ask();
}
