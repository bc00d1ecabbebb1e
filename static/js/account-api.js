/**
 * The API of accounts: signing in and out, the person's own data, and API keys.
 *
 * What begins or prolongs a session goes with the cookies alone. Everything else is sent as whoever is
 * signed in. A `409` here is a plain no (the name is taken), and nothing to try again after.
 * @module
 */

import { asJson, request } from './http.js';

/** @typedef {import('./types.js').Answer} Answer */

/** A password is hashed slowly on purpose, and may have to queue for that. */
const PASSWORD_TIMEOUT_MS = 20_000;
/** A second try must come while the server still takes the same cookie for a lost answer's: within 10 s. */
const REFRESH_TIMEOUT_MS = 4_000;
const TIMEOUT_MS = 10_000;
const EXPORT_TIMEOUT_MS = 120_000;

/** @param {string} path @param {object} body */
const post = async (path, body) => settled(await request(path, { method: 'POST', ...asJson(body), timeoutMs: PASSWORD_TIMEOUT_MS }));

/** Exchange the cookie of a session for an access token. */
export const refresh = () => request('/api/auth/refresh', { method: 'POST', timeoutMs: REFRESH_TIMEOUT_MS });

/** Be a guest who is known again: sets a cookie, unless there is one. */
export const beGuest = () => request('/api/auth/guest', { method: 'POST', timeoutMs: TIMEOUT_MS });

/** @param {{username: string, password: string}} who */
export const signIn = (who) => post('/api/auth/login', who);

/** @param {{username: string, displayName?: string, password: string, invitation?: string}} who */
export const register = (who) => post('/api/auth/register', who);

/** End the session that the cookie belongs to. */
export const signOut = () => request('/api/auth/logout', { method: 'POST', timeoutMs: TIMEOUT_MS });

/** @param {import('./types.js').Send} send */
export function accountApi(send) {
  return {
    /** End every session of the account. */
    signOutEverywhere: () => send('/api/auth/logout-all', { method: 'POST', timeoutMs: TIMEOUT_MS }),

    /** @param {{displayName?: string, password?: string, currentPassword?: string}} changes */
    changeMe: async (changes) =>
      settled(await send('/api/me', { method: 'PATCH', ...asJson(changes), timeoutMs: PASSWORD_TIMEOUT_MS })),

    exportMe: () => send('/api/me/export', { timeoutMs: EXPORT_TIMEOUT_MS }),

    /** @param {string} password */
    deleteMe: (password) => send('/api/me', { method: 'DELETE', ...asJson({ password }), timeoutMs: PASSWORD_TIMEOUT_MS }),

    fetchKeys: () => send('/api/me/keys', { timeoutMs: TIMEOUT_MS }),

    /** @param {{name: string, scopes: string[], expiresAt?: string}} key */
    makeKey: async (key) => settled(await send('/api/me/keys', { method: 'POST', ...asJson(key), timeoutMs: TIMEOUT_MS })),

    /** @param {string} keyId */
    revokeKey: (keyId) => send(`/api/me/keys/${encodeURIComponent(keyId)}`, { method: 'DELETE', timeoutMs: TIMEOUT_MS }),
  };
}

/** @param {Answer} answer @returns {Answer} */
function settled(answer) {
  if (answer.kind !== 'trouble' || answer.status !== 409) return answer;
  return { kind: 'refused', status: answer.status, problem: answer.problem };
}
