/** The API of chats: its requests, each sent as whoever is signed in. @module */

import { asJson } from '../http.js';

/** @typedef {import('./types.js').Answer} Answer */

const TIMEOUT_MS = 12_000;
export const PAGE = 50;

/** @param {import('../types.js').Send} send */
export function chatsApi(send) {
  /** @param {string} path */
  const get = (path) => send(path, { timeoutMs: TIMEOUT_MS, cache: 'no-store' });
  /** @param {string} method @param {string} path @param {object} [body] */
  const ask = (method, path, body) => send(path, { method, ...(body ? asJson(body) : {}), timeoutMs: TIMEOUT_MS });
  const of = (/** @type {string} */ chatId) => `/api/chats/${encodeURIComponent(chatId)}`;

  return {
    config: () => get('/api/config'),
    titles: () => get('/chat/titles'),
    /** @param {string|null} [cursor] */
    list: (cursor = null) => get(`/api/chats?limit=100${cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`}`),
    /** @param {string} chatId */
    chat: (chatId) => get(of(chatId)),
    /** @param {object} chat */
    make: (chat) => ask('POST', '/api/chats', chat),
    /** A chat with the AI by a name of our own, so that asking again makes no second one. @param {string} name */
    makeByName: (name) => ask('POST', '/chat/data', { chat_id: name, messages: [] }),
    /** Say that this chat is open now, as the conversation was saved. @param {string} chatId */
    flush: (chatId) => ask('POST', '/chat/data', { chat_id: chatId, messages: [] }),
    /** @param {string} chatId @param {object} changes */
    change: (chatId, changes) => ask('PATCH', of(chatId), changes),
    /** @param {string} chatId @param {boolean} muted */
    mute: (chatId, muted) => ask('PUT', `${of(chatId)}/mute`, { muted }),
    /** @param {string} chatId */
    leave: (chatId) => ask('POST', `${of(chatId)}/leave`),
    /** @param {string} chatId */
    members: (chatId) => get(`${of(chatId)}/members`),
    /** @param {string} chatId @param {string[]} members */
    take: (chatId, members) => ask('POST', `${of(chatId)}/members`, { members }),
    /** @param {string} chatId @param {string} userId */
    remove: (chatId, userId) => ask('DELETE', `${of(chatId)}/members/${encodeURIComponent(userId)}`),
    /** The newest page, or the one beside a message. @param {string} chatId @param {{before?: number, after?: number}} [where] */
    messages: (chatId, where = {}) => get(`${of(chatId)}/messages?${new URLSearchParams({ limit: String(PAGE), ...numbers(where) })}`),
    /** @param {string} chatId @param {number} since */
    changes: (chatId, since) => get(`${of(chatId)}/changes?since=${since}`),
    /** @param {string} chatId @param {{content: string, clientMsgId: string, replyTo?: number}} message */
    post: (chatId, message) => ask('POST', `${of(chatId)}/messages`, message),
    /** @param {string} chatId @param {number} seq @param {string} content */
    edit: (chatId, seq, content) => ask('PATCH', `${of(chatId)}/messages/${seq}`, { content }),
    /** @param {string} chatId @param {number} seq */
    erase: (chatId, seq) => ask('DELETE', `${of(chatId)}/messages/${seq}`),
    /** @param {string} chatId @param {number} seq */
    regenerate: (chatId, seq) => ask('POST', `${of(chatId)}/messages/${seq}/regenerate`),
    /** @param {string} chatId */
    stop: (chatId) => ask('POST', `${of(chatId)}/stop`),
    /** @param {string} chatId @param {number} seq */
    seen: (chatId, seq) => ask('POST', `${of(chatId)}/seen`, { seq }),
    seenAll: () => ask('POST', '/api/chats/seen-all'),
    /** @param {string} chatId */
    summary: (chatId) => get(`${of(chatId)}/summary`),
    /** @param {string} words */
    search: (words) => get(`/api/chats/search?${new URLSearchParams({ q: words, limit: '20' })}`),
    /** @param {string} jobId */
    job: (jobId) => get(`/api/jobs/${encodeURIComponent(jobId)}`),
  };
}

/** @param {Record<string, number>} where */
function numbers(where) {
  return Object.fromEntries(Object.entries(where).map(([name, value]) => [name, String(value)]));
}
