/** A new chat: with the AI, with a person or with a group. @module */

import { h, icon } from '../dom.js';
import { Form } from '../form.js';
import { openDialog } from './dialog.js';

/** @typedef {import('./types.js').Answer} Answer */
/** @typedef {import('./types.js').Chat} Chat */

const KINDS = /** @type {const} */ ([
  { kind: 'ai', icon: 'spark', name: 'With the AI', hint: 'Ask anything. Only you see it.' },
  { kind: '1_to_1', icon: 'person', name: 'With a person', hint: 'Just the two of you. Say @AI to ask the AI in.' },
  { kind: 'group', icon: 'people', name: 'With a group', hint: 'Up to 500 people, and the AI when it is called.' },
]);

/**
 * Ask which, and for what it needs.
 * @param {{ai: () => void, make: (chat: object) => Promise<Answer>, made: (chat: Chat) => void}} deeds `make` asks the server
 */
export function askForNewChat({ ai, make, made }) {
  const choices = h('div', { class: 'choices' }, ...KINDS.map(({ kind, icon: name, name: title, hint }) =>
    h('button', { type: 'button', class: 'choice', onclick: () => choose(kind) },
      h('span', { class: `face face--${kind === '1_to_1' ? 'tone0' : kind}`, 'aria-hidden': 'true' }, icon(name)),
      h('span', { class: 'choice__name' }, title), h('span', { class: 'choice__hint' }, hint))));
  const body = h('div', {}, choices);
  const dialog = openDialog('New chat', body);

  /** @param {'ai'|'1_to_1'|'group'} kind */
  function choose(kind) {
    if (kind === 'ai') {
      dialog.close();
      ai();
      return;
    }
    const form = kind === 'group' ? groupForm() : personForm();
    body.replaceChildren(form.element);
    form.focus();
  }

  /** @param {{data?: any}} answer */
  function done({ data }) {
    dialog.close();
    made(data);
  }

  function personForm() {
    return new Form({
      id: 'new-person', button: 'Start chat', busy: 'Starting…', done,
      fields: [{ name: 'username', label: 'Username', hint: 'What the other one signs in with.' }],
      blame: { validation_failed: 'username', not_with_yourself: 'username', user_not_found: 'username', unknown_member: 'username' },
      submit: ({ username }) => make({ type: '1_to_1', members: people(username) }),
    });
  }

  function groupForm() {
    return new Form({
      id: 'new-group', button: 'Make group', busy: 'Making…', done,
      fields: [
        { name: 'title', label: 'Name of the group' },
        { name: 'members', label: 'Who is in it', hint: 'Usernames, with spaces or commas between them.' },
      ],
      submit: ({ title, members }) => make({ type: 'group', title: title.trim(), members: people(members) }),
    });
  }
}

/** @param {string} text usernames in any arrangement */
export function people(text) {
  return [...new Set(text.split(/[\s,;]+/).map((name) => name.replace(/^@/, '').toLowerCase()).filter(Boolean))];
}
