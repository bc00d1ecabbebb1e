/** A bubble: one message, as it is shown. @module */

import { h, icon } from '../dom.js';
import { clock } from './times.js';
import { markdown, plain } from './markdown.js';

/** @typedef {import('./types.js').Message} Message */
/** @typedef {import('./types.js').Unsent} Unsent */
/** @typedef {import('./types.js').Speech} Speech */
/** @typedef {{mark: 'clock'|'sent'|'seen'|'failed', label: string}} Tick */

/**
 * @typedef {Object} Setting where a message stands
 * @property {string} author
 * @property {boolean} own
 * @property {boolean} follows the one before is by the same person, just now
 * @property {boolean} named whether the author's name stands on it
 * @property {Tick|null} tick
 * @property {{author: string, text: string}|null} quoted what it replies to
 */

const ICONS = /** @type {const} */ ({ clock: 'clock', sent: 'check', seen: 'checks', failed: 'alert' });

/**
 * @param {Message} message
 * @param {Setting} setting
 * @param {(button: HTMLElement) => void} openMenu
 */
export function bubble(message, setting, openMenu) {
  const { own, author, tick } = setting;
  const deleted = message.deletedAt !== null;
  const meta = h('p', { class: 'msg__meta' },
    message.status === 'stopped' ? h('span', {}, 'stopped') : null,
    message.editedAt !== null && !deleted ? h('span', {}, 'edited') : null,
    h('time', { datetime: message.createdAt }, clock(message.createdAt)), tickMark(tick));
  const more = deleted ? null : h('button', {
    type: 'button', class: 'msg__more', 'aria-haspopup': 'menu', 'aria-expanded': 'false', 'aria-label': 'Message actions', tabindex: '-1',
    onclick: (/** @type {Event} */ event) => openMenu(/** @type {HTMLElement} */ (event.currentTarget)),
  }, icon('more'));
  const body = deleted ? h('p', { class: 'msg__gone' }, 'This message was deleted.') : content(message);
  return frame({ ...setting, ai: message.isAi, label: `${own ? 'You' : author}, ${clock(message.createdAt)}`, seq: message.seq }, body, meta, more);
}

/**
 * One that the server has not confirmed.
 * @param {Unsent} entry
 * @param {Setting} setting
 * @param {{retry: () => void, discard: () => void, edit: () => void}} deeds
 */
export function unsentBubble(entry, setting, deeds) {
  const failed = entry.state === 'failed';
  const note = failed ? entry.why ?? 'Not sent.' : entry.state === 'waiting' ? `Not sent yet. ${entry.why ?? ''}` : '';
  const meta = h('p', { class: 'msg__meta' }, h('time', { datetime: new Date(entry.addedAt).toISOString() }, clock(entry.addedAt)), tickMark(setting.tick));
  const actions = failed || entry.state === 'waiting' ? h('div', { class: 'msg__actions' },
    h('p', { class: 'msg__note' }, note), button(failed ? 'Retry' : 'Send now', deeds.retry), failed ? button('Edit', deeds.edit) : null, button('Discard', deeds.discard)) : null;
  const element = frame({ ...setting, ai: false, label: `You, ${clock(entry.addedAt)}`, seq: null }, h('div', { class: 'msg__text', dir: 'auto' }, plain(entry.content)), meta, null);
  element.dataset.state = entry.state;
  if (actions !== null) element.append(actions);
  return element;
}

/**
 * What the AI is saying.
 * @param {Speech} speech
 * @param {{dismiss: () => void, again: (() => void)|null}} deeds
 */
export function speechBubble(speech, deeds) {
  const over = speech.status === 'failed' || speech.status === 'cancelled';
  const dots = h('p', { class: 'msg__dots', 'aria-label': 'The AI is thinking' }, h('span'), h('span'), h('span'));
  const text = h('div', { class: 'msg__text md', dir: 'auto' });
  if (speech.text !== '') text.append(markdown(speech.text));
  const why = speech.error ?? 'No answer came.';
  const waiting = { retrying: 'The model stumbled. It is asked again by itself.', created: speech.text === '' ? 'Waiting for its turn' : '' }[speech.status];
  const foot = over
    ? h('div', { class: 'msg__actions' }, h('p', { class: 'msg__note' }, speech.status === 'cancelled' ? 'Stopped.' : why),
      deeds.again ? button('Ask again', deeds.again) : null, button('Dismiss', deeds.dismiss))
    : waiting ? h('div', { class: 'msg__actions' }, h('p', { class: 'msg__note' }, waiting)) : null;
  const setting = { author: 'AI', own: false, follows: false, named: true, tick: null, quoted: null };
  const element = frame({ ...setting, ai: true, label: 'AI, answering', seq: null }, speech.text === '' ? (over ? h('p') : dots) : text, null, null);
  element.dataset.state = over ? 'failed' : 'speaking';
  if (foot !== null) element.append(foot);
  return element;
}

/** @param {Message} message */
function content(message) {
  const text = h('div', { class: message.isAi ? 'msg__text md' : 'msg__text', dir: 'auto' });
  text.append(message.isAi ? markdown(message.content) : plain(message.content));
  return text;
}

/**
 * @param {Setting & {ai: boolean, label: string, seq: number|null}} setting
 * @param {Node} body
 * @param {HTMLElement|null} meta
 * @param {HTMLElement|null} more
 */
function frame({ own, ai, follows, named, author, label, seq, quoted }, body, meta, more) {
  const kind = own ? 'msg--own' : ai ? 'msg--ai' : 'msg--other';
  return h('article', { class: `msg ${kind}${follows ? ' msg--follows' : ''}`, 'aria-label': label, 'data-seq': seq, tabindex: '-1' },
    ai ? h('span', { class: 'msg__face', 'aria-hidden': 'true' }, icon('spark')) : null,
    h('div', { class: 'msg__box' },
      named && !follows ? h('p', { class: 'msg__author' }, author) : null,
      quoted ? h('blockquote', { class: 'msg__quote' }, h('strong', {}, quoted.author), ' ', quoted.text) : null,
      body, meta, more));
}

/** @param {Tick|null} tick */
function tickMark(tick) {
  if (tick === null) return null;
  return h('span', { class: `tick tick--${tick.mark}`, role: 'img', 'aria-label': tick.label, title: tick.label }, icon(ICONS[tick.mark]));
}

/** @param {string} name @param {() => void} onclick */
function button(name, onclick) {
  return h('button', { type: 'button', class: 'msg__button', onclick }, name);
}
