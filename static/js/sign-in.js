/** Signing in: the form of those who have an account, and of those who make one. @module */

import { register, signIn } from './account-api.js';
import { h, setText } from './dom.js';
import { Form } from './form.js';
import { refusalOf } from './wording.js';

/** @typedef {import('./session.js').Session} Session */

const USERNAME = { name: 'username', label: 'Username', autocomplete: 'username' };

export class SignIn {
  #session;
  #title;
  #why = h('p', { class: 'plain-note', role: 'status' });
  #closed = false;
  #registering = false;
  #place = h('div');
  #switch = h('button', { type: 'button', class: 'quiet', onclick: () => this.#turn(!this.#registering) });
  #asGuest = h('button', { type: 'button', class: 'quiet' }, 'Go on as a guest');
  #signIn;
  #register;

  /**
   * @param {Session} session
   * @param {HTMLElement} title where it says which of the two forms it is
   * @param {() => void} goOnAsGuest
   */
  constructor(session, title, goOnAsGuest) {
    this.#session = session;
    this.#title = title;
    this.#asGuest.addEventListener('click', goOnAsGuest);
    const done = () => this.clear();
    this.#signIn = new Form({
      id: 'sign-in', button: 'Sign in', busy: 'Signing in…', done,
      fields: [USERNAME, { name: 'password', label: 'Password', type: 'password', autocomplete: 'current-password' }],
      submit: ({ username, password }) => session.enter(() => signIn({ username, password })),
    });
    this.#register = new Form({
      id: 'register', button: 'Register', busy: 'Registering…', done,
      fields: [
        { ...USERNAME, hint: 'What you sign in with.' },
        { name: 'displayName', label: 'Name to show', autocomplete: 'nickname', optional: true },
        { name: 'password', label: 'Password', type: 'password', autocomplete: 'new-password', hint: 'At least 10 characters, and hard to guess.' },
        { name: 'invitation', label: 'Invitation', hint: 'The code you were given.', hidden: true },
      ],
      blame: { invitation_required: 'invitation', invitation_invalid: 'invitation' },
      submit: ({ username, password, displayName, invitation }) =>
        session.enter(() => register({ username, password, displayName, invitation })),
      refused: ({ problem }) => this.#learn(problem.code),
    });
    this.element = h('div', { class: 'sign-in' },
      this.#why, this.#place, h('div', { class: 'sign-in__else' }, this.#switch, this.#asGuest));
    this.update();
  }

  /** Say why, and to whom. */
  update() {
    const { state, who } = this.#session;
    const whys = {
      ended: `Your session has ended. Sign in again, ${who?.displayName}, and everything goes on.`,
      needed: 'This server asks everyone to sign in.',
    };
    const usual = this.#closed ? refusalOf('registration_closed') : 'What you have asked as a guest comes along.';
    setText(this.#why, whys[/** @type {keyof typeof whys} */ (state)] ?? usual);
    this.#asGuest.hidden = state !== 'ended';
    this.#turn(this.#registering && state !== 'ended', false);
    if (state === 'ended') this.#signIn.fill('username', who?.username ?? '');
  }

  focus() {
    (this.#registering ? this.#register : this.#signIn).focus();
  }

  /** @param {boolean} registering @param {boolean} [focus] */
  #turn(registering, focus = true) {
    if (registering !== this.#registering) for (const form of [this.#signIn, this.#register]) form.forgive();
    this.#registering = registering;
    // Only one at a time is in the page, or a browser that fills in passwords would have to guess.
    const { element } = registering ? this.#register : this.#signIn;
    if (element.parentElement !== this.#place) this.#place.replaceChildren(element);
    this.#switch.hidden = this.#closed || this.#session.state === 'ended';
    setText(this.#title, registering ? 'Register' : 'Sign in');
    setText(this.#switch, registering ? 'I have an account: sign in' : 'No account yet: register');
    if (focus) this.focus();
  }

  /** @param {string|undefined} code */
  #learn(code) {
    if (code === 'invitation_required') this.#register.show('invitation');
    if (code !== 'registration_closed') return;
    this.#closed = true;
    this.#turn(false);
    this.update();
  }

  /** Forget what was typed. */
  clear() {
    this.#signIn.clear();
    this.#register.clear();
    this.#turn(false, false);
  }
}
