/** Rows: a room's messages, and what is on its way, in the order in which they are shown. @module */

import { h } from '../dom.js';
import { bubble, speechBubble, unsentBubble } from './bubble.js';
import { dayName } from './times.js';

/** @typedef {import('./types.js').Message} Message */
/** @typedef {import('./types.js').Unsent} Unsent */
/** @typedef {import('./types.js').Speech} Speech */
/** @typedef {import('./bubble.js').Tick} Tick */
/** @typedef {import('./thread.js').Row} Row */

/** Said by the same person within this time, messages stand together. */
const TOGETHER_MS = 5 * 60_000;
const QUOTE_CHARACTERS = 120;

/**
 * @typedef {Object} Scene
 * @property {import('./types.js').Chat|null} chat
 * @property {import('./room.js').Room} room
 * @property {Unsent[]} unsent
 * @property {Speech[]} speeches
 * @property {import('./people.js').People} people
 * @property {string} me
 * @property {number|null} unreadFrom the first message that was unread when the chat was opened
 * @property {number} now
 */

/**
 * @typedef {Object} Deeds what can be done about a message
 * @property {(message: Message, button: HTMLElement) => void} menu
 * @property {(clientMsgId: string) => void} retry
 * @property {(clientMsgId: string) => void} discard
 * @property {(clientMsgId: string) => void} edit
 * @property {(speech: Speech) => void} dismiss
 * @property {((speech: Speech) => void)} again
 */

/** @param {Scene} scene @param {Deeds} deeds @returns {Row[]} */
export function rowsOf(scene, deeds) {
  const { room, unsent, speeches, me, unreadFrom, now } = scene;
  /** @type {Row[]} */
  const rows = [];
  /** @type {Message|null} */
  let before = null;
  const answered = lastAnswered(scene);
  const messages = room.list();
  for (const message of messages) {
    const newDay = before === null || new Date(before.createdAt).toDateString() !== new Date(message.createdAt).toDateString();
    if (newDay) rows.push(divider(`day:${new Date(message.createdAt).toDateString()}`, 'day', dayName(message.createdAt, now)));
    if (message.seq === unreadFrom) rows.push(divider('unread', 'day day--new', 'New'));
    const follows = !newDay && before !== null && message.seq !== unreadFrom && isTogether(before, message);
    rows.push(messageRow(scene, message, { follows, answered, deeds }));
    before = message;
  }
  const confirmed = new Set(messages.filter(({ senderId }) => senderId === me).map(({ clientMsgId }) => clientMsgId));
  for (const entry of unsent) if (!confirmed.has(entry.clientMsgId)) rows.push(unsentRow(scene, entry, deeds));
  const there = new Set(messages.filter(({ isAi }) => isAi).map(({ jobId }) => jobId));
  for (const speech of speeches) if (!there.has(speech.jobId)) rows.push(speechRow(speech, deeds, scene.chat?.type === 'ai'));
  return rows;
}

/**
 * What stands at the end of an own message.
 * @param {Scene} scene
 * @param {Message} message
 * @param {number} answered the last message that the AI has read
 * @returns {Tick}
 */
export function tickOf({ chat, people, me }, message, answered) {
  if (chat?.type === 'ai') return message.seq <= answered ? { mark: 'seen', label: 'Read by the AI' } : { mark: 'sent', label: 'Sent' };
  const { others, readers } = people.readers(message.chatId, message.seq, me);
  if (others === 0 || readers.length === 0) return { mark: 'sent', label: 'Sent' };
  if (readers.length === others) return { mark: 'seen', label: others === 1 ? `Seen by ${readers[0].displayName}` : 'Seen by everyone' };
  const names = readers.slice(0, 3).map(({ displayName }) => displayName).join(', ');
  return { mark: 'sent', label: `Sent; seen by ${names}${readers.length > 3 ? ` and ${readers.length - 3} more` : ''}` };
}

/** @param {Scene} scene */
function lastAnswered({ room, speeches }) {
  const last = room.list().findLast(({ isAi }) => isAi)?.seq ?? 0;
  return speeches.some(({ status, text }) => status === 'analyzing' || status === 'processing' || text !== '') ? room.last : last;
}

/** @param {Message} before @param {Message} message */
function isTogether(before, message) {
  return before.senderId === message.senderId && message.replyTo === null && !message.isAi
    && Date.parse(message.createdAt) - Date.parse(before.createdAt) < TOGETHER_MS;
}

/**
 * @param {Scene} scene
 * @param {Message} message
 * @param {{follows: boolean, answered: number, deeds: Deeds}} how
 * @returns {Row}
 */
function messageRow(scene, message, { follows, answered, deeds }) {
  const own = message.senderId === scene.me;
  const author = message.isAi ? 'AI' : scene.people.name(message.chatId, message.senderId);
  const named = !own && (message.isAi || scene.chat?.type === 'group');
  const tick = own && message.deletedAt === null ? tickOf(scene, message, answered) : null;
  const setting = { author, own, follows, named, tick, quoted: quoteOf(scene, message) };
  return {
    key: `m:${message.seq}`, sign: JSON.stringify([message.changeSeq, setting]),
    make: () => bubble(message, setting, (button) => deeds.menu(message, button)),
  };
}

/** @param {Scene} scene @param {{replyTo: number|null, isAi?: boolean}} message */
function quoteOf({ room, people, me, chat }, { replyTo, isAi = false }) {
  // In a chat with the AI each answer replies to what stands above it.
  if (replyTo === null || (isAi && chat?.type === 'ai')) return null;
  const quoted = room.get(replyTo);
  if (quoted === null) return { author: '', text: 'An earlier message' };
  const author = quoted.senderId === me ? 'You' : quoted.isAi ? 'AI' : people.name(quoted.chatId, quoted.senderId);
  const text = quoted.deletedAt === null ? quoted.content.replace(/\s+/g, ' ').slice(0, QUOTE_CHARACTERS) : 'This message was deleted.';
  return { author, text };
}

/** @param {Scene} scene @param {Unsent} entry @param {Deeds} deeds @returns {Row} */
function unsentRow(scene, entry, deeds) {
  const { clientMsgId, state, why } = entry;
  /** @type {Tick} */
  const tick = state === 'failed' ? { mark: 'failed', label: 'Not sent' } : { mark: 'clock', label: 'Sending' };
  const setting = { author: 'You', own: true, follows: false, named: false, tick, quoted: quoteOf(scene, entry) };
  const shown = state === 'queued' ? 'sending' : state;
  return {
    key: `u:${clientMsgId}`, sign: `${shown} ${why ?? ''}`,
    make: () => unsentBubble(entry, setting, {
      retry: () => deeds.retry(clientMsgId), discard: () => deeds.discard(clientMsgId), edit: () => deeds.edit(clientMsgId),
    }),
  };
}

/** @param {Speech} speech @param {Deeds} deeds @param {boolean} mayAsk @returns {Row} */
function speechRow(speech, deeds, mayAsk) {
  return {
    key: `s:${speech.jobId}`, sign: `${speech.status} ${speech.attempt} ${speech.text.length}`,
    make: () => speechBubble(speech, {
      dismiss: () => deeds.dismiss(speech), again: mayAsk ? () => deeds.again(speech) : null,
    }),
  };
}

/** @param {string} key @param {string} look @param {string} text @returns {Row} */
function divider(key, look, text) {
  return { key, sign: text, make: () => h('p', { class: look }, h('span', {}, text)) };
}
