/** The details of a chat: who is in it, when the AI answers, and leaving it. @module */

import { ask } from '../ask.js';
import { h } from '../dom.js';
import { Form } from '../form.js';
import { formText } from '../wording.js';
import { openDialog } from './dialog.js';
import { nameOf } from './directory.js';
import { people as peopleOf } from './new-chat.js';

/** @typedef {import('./types.js').Chat} Chat */
/** @typedef {import('./types.js').Answer} Answer */

const MODES = /** @type {const} */ ({ always: 'Answers every message', mention: 'Answers to @AI', off: 'Takes no part' });

/**
 * @param {Chat} chat
 * @param {Object} so
 * @param {import('./people.js').People} so.people
 * @param {string} so.me
 * @param {ReturnType<typeof import('./api.js').chatsApi>} so.api
 * @param {(chat: Chat) => void} so.changed
 * @param {() => void} so.membersChanged
 * @param {() => void} so.left
 */
export function showDetails(chat, { people, me, api, changed, membersChanged, left }) {
  const { chatId } = chat;
  const error = h('p', { class: 'form__error', role: 'alert' });
  const isAdmin = chat.type === 'group' && chat.role === 'admin';
  const members = h('ul', { class: 'members' });
  const mayChange = chat.type !== 'group' || isAdmin;

  /** @param {Promise<Answer>} asked @returns {Promise<any>} what was answered; null: it was refused, and that was said */
  async function done(asked) {
    const answer = await asked;
    error.textContent = answer.kind === 'ok' ? '' : formText(answer);
    return answer.kind === 'ok' ? answer.data : null;
  }

  function draw() {
    members.replaceChildren(...people.of(chatId).map((member) => {
      const role = [member.userId === me ? 'you' : '', member.role === 'admin' && chat.type === 'group' ? 'admin' : ''].filter(Boolean).join(', ');
      const removable = isAdmin && member.userId !== me && !member.isAi;
      return h('li', {}, h('span', { dir: 'auto' }, member.displayName), h('span', { class: 'plain-note' }, role),
        removable ? h('button', { type: 'button', class: 'quiet', onclick: () => remove(member.userId) }, 'Remove') : null);
    }));
  }

  /** @param {string} userId */
  async function remove(userId) {
    if ((await done(api.remove(chatId, userId))) === null) return;
    people.set(chatId, people.of(chatId).filter((member) => member.userId !== userId));
    draw();
    membersChanged();
  }

  const mode = h('select', { id: 'ai-mode', onchange: async () => {
    const now = await done(api.change(chatId, { aiMode: mode.value }));
    if (now !== null) changed(now);
  } }, ...Object.entries(MODES).map(([value, name]) => h('option', { value, selected: value === chat.aiMode }, name)));
  mode.disabled = !mayChange;
  const mute = h('input', { type: 'checkbox', id: 'mute', checked: chat.muted, onchange: async () => {
    const now = await done(api.mute(chatId, mute.checked));
    if (now !== null) changed({ ...chat, muted: now.muted });
  } });

  const add = new Form({
    id: 'add-members', button: 'Add', busy: 'Adding…', look: 'plain',
    fields: [{ name: 'members', label: 'Add people', hint: 'Usernames, with spaces or commas between them.' }],
    submit: ({ members: names }) => api.take(chatId, peopleOf(names)),
    done: ({ data }) => {
      people.set(chatId, data.items);
      add.clear();
      draw();
      membersChanged();
    },
  });

  async function leave() {
    const text = 'You no longer see what is said there. What you have said stays.';
    if (!(await ask({ title: `Leave ${nameOf(chat)}?`, text, yes: 'Leave', no: 'Stay' }))) return;
    if ((await done(api.leave(chatId))) === null) return;
    dialog.close();
    left();
  }

  draw();
  const dialog = openDialog(nameOf(chat),
    h('div', { class: 'sheet__body' },
      h('div', { class: 'field' }, h('label', { for: 'ai-mode' }, 'The AI'), mode),
      h('label', { class: 'check' }, mute, h('span', {}, 'Mute: no badge in the list of chats')),
      chat.type === 'ai' ? null : h('div', {}, h('h3', {}, 'Members'), members),
      isAdmin ? add.element : null, error,
      chat.type === 'group' ? h('button', { type: 'button', class: 'plain plain--danger', onclick: leave }, 'Leave group') : null));
  return dialog;
}
