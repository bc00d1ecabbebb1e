/** The profile: what somebody who is signed in can do about their account. @module */

import { accountApi } from './account-api.js';
import { announce } from './announcer.js';
import { ask } from './ask.js';
import { h, setText } from './dom.js';
import { Form } from './form.js';
import { plural } from './format.js';
import { formText } from './wording.js';

/** @typedef {import('./session.js').Session} Session */
/** @typedef {import('./types.js').Answer} Answer */

const PRESENT = { label: 'Present password', type: /** @type {const} */ ('password'), autocomplete: 'current-password' };

export class Profile {
  #session;
  #api;
  #countUnsent;
  #said = h('p', { class: 'profile__said' });
  #who = h('p', { class: 'profile__who' });
  #board = h('a', { class: 'plain', href: '/dashboard', hidden: true }, 'Dashboard');
  #name;
  #password;
  #farewell;
  #folded;

  /**
   * @param {Session} session
   * @param {() => number} countUnsent messages that would be lost by signing out
   */
  constructor(session, countUnsent) {
    this.#session = session;
    this.#countUnsent = countUnsent;
    this.#api = accountApi((path, request) => session.send(path, request));
    this.#name = this.#nameForm();
    this.#password = this.#passwordForm();
    this.#farewell = this.#farewellForm();
    this.#folded = [
      fold('Change password', this.#password.element),
      fold('Delete account', h('p', { class: 'plain-note' },
        'Your name, your jobs, their answers and your API keys are erased. Nobody can bring them back.'), this.#farewell.element),
    ];
    this.element = h('div', { class: 'profile' },
      this.#who, this.#name.element,
      h('div', { class: 'profile__deeds' },
        h('a', { class: 'plain', href: '/keys' }, 'API keys'), this.#board, deed('Export my data', () => this.#export())),
      ...this.#folded, this.#said,
      h('div', { class: 'profile__deeds profile__leave' },
        deed('Sign out', () => this.#signOut()), deed('Sign out everywhere', () => this.#signOutEverywhere())));
  }

  /** Show the user as they are now; what was typed by another is gone. */
  update() {
    const { user, who } = this.#session;
    const role = user?.role && user.role !== 'user' ? `, ${user.role}` : '';
    setText(this.#who, `Signed in as ${who?.username}${role}.`);
    this.#board.hidden = role === '';
    this.#name.fill('displayName', who?.displayName ?? '');
    for (const form of [this.#password, this.#farewell]) form.clear();
    for (const details of this.#folded) details.open = false;
    this.#say('');
  }

  #nameForm() {
    return new Form({
      id: 'name', button: 'Save name', busy: 'Saving…', look: 'plain',
      fields: [{ name: 'displayName', label: 'Name to show', autocomplete: 'nickname' }],
      submit: ({ displayName }) => this.#api.changeMe({ displayName }),
      done: ({ data }) => {
        this.#session.rename(data);
        this.#say('Your name is saved.');
      },
    });
  }

  #passwordForm() {
    return new Form({
      id: 'change-password', button: 'Change password', busy: 'Changing…', look: 'plain',
      fields: [
        { name: 'currentPassword', ...PRESENT },
        { name: 'password', label: 'New password', type: 'password', autocomplete: 'new-password', hint: 'At least 10 characters, and hard to guess.' },
      ],
      blame: { wrong_password: 'currentPassword' },
      submit: ({ currentPassword, password }) => this.#api.changeMe({ currentPassword, password }),
      done: () => {
        this.update();
        this.#say('Your password is changed.');
      },
    });
  }

  #farewellForm() {
    return new Form({
      id: 'delete-account', button: 'Delete account for good', busy: 'Deleting…', look: 'plain plain--danger',
      fields: [{ name: 'password', ...PRESENT }, { name: 'username', label: 'Your username, to be sure' }],
      blame: { wrong_password: 'password' },
      submit: async ({ password, username }) => {
        const sure = username.trim().toLowerCase() === this.#session.who?.username;
        return sure ? this.#session.leave(() => this.#api.deleteMe(password)) : NOT_SURE;
      },
      done: () => announce('Your account is deleted.'),
    });
  }

  async #signOut() {
    const unsent = this.#countUnsent();
    if (unsent > 0 && !(await ask({
      title: 'Sign out now?', text: `${plural(unsent, 'message')} not sent yet will be dropped.`, yes: 'Sign out', no: 'Stay',
    }))) return;
    this.#heard(await this.#session.leave(), 'You are signed out.');
  }

  async #signOutEverywhere() {
    const unsent = this.#countUnsent();
    const loss = unsent > 0 ? ` ${plural(unsent, 'message')} not sent yet will be dropped.` : '';
    const yes = await ask({
      title: 'Sign out everywhere?', text: `Every browser and device has to sign in again. API keys stay.${loss}`, yes: 'Sign out everywhere', no: 'Stay',
    });
    if (yes) this.#heard(await this.#session.leave(() => this.#api.signOutEverywhere()), 'You are signed out everywhere.');
  }

  async #export() {
    this.#say('Collecting your data…');
    const answer = await this.#api.exportMe();
    if (answer.kind === 'ok') download(answer.data, `parley-${this.#session.who?.username}.json`);
    this.#heard(answer, 'Your data is in your downloads.');
  }

  /** @param {Answer} answer @param {string} well */
  #heard(answer, well) {
    this.#say(answer.kind === 'ok' ? well : formText(answer));
  }

  /** @param {string} text */
  #say(text) {
    setText(this.#said, text);
    if (text !== '') announce(text);
  }
}

/** @type {Answer} */
const NOT_SURE = {
  kind: 'refused', status: 422, problem: { errors: [{ pointer: '/username', message: 'This is not your username.' }] },
};

/** @param {string} name @param {() => void} onclick */
function deed(name, onclick) {
  return h('button', { type: 'button', class: 'plain', onclick }, name);
}

/** @param {string} title @param {...Node} children */
function fold(title, ...children) {
  return h('details', { class: 'details profile__fold' }, h('summary', {}, title), h('div', { class: 'details__body' }, ...children));
}

/** @param {unknown} data @param {string} name */
function download(data, name) {
  const address = URL.createObjectURL(new Blob([JSON.stringify(data, null, 2)], { type: 'application/json' }));
  h('a', { href: address, download: name }).click();
  URL.revokeObjectURL(address);
}
