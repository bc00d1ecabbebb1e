/** The account: a button that says who is using the page, and the dialog behind it. @module */

import { announce } from './announcer.js';
import { ask } from './ask.js';
import { byId, h, icon, setText } from './dom.js';
import { plural } from './format.js';
import { Profile } from './profile.js';
import { SignIn } from './sign-in.js';

/** @typedef {import('./session.js').Session} Session */

export class Account {
  #session;
  #countUnsent;
  #button = byId('account');
  #title = h('h2', { id: 'account-title' });
  #body = h('div', { class: 'account__body' });
  #head = h('div', { class: 'account__head' }, this.#title,
    h('button', { type: 'button', class: 'quiet', 'aria-label': 'Close', onclick: () => this.#dialog.close() }, icon('close')));
  #dialog = h('dialog', { class: 'ask account', 'aria-labelledby': 'account-title' }, this.#head, this.#body);
  /** @type {HTMLElement} */
  #returnTo = this.#button;
  #gate = document.getElementById('gate');
  #gated;
  #signIn;
  #profile;

  /**
   * @param {Session} session
   * @param {() => number} [countUnsent]
   * @param {{gated?: import('./types.js').SessionState[]}} [how] those to whom the page has nothing but the form to show
   */
  constructor(session, countUnsent = () => 0, { gated = ['needed'] } = {}) {
    this.#gated = gated;
    this.#session = session;
    this.#countUnsent = countUnsent;
    this.#signIn = new SignIn(session, this.#title, () => this.#goOnAsGuest());
    this.#profile = new Profile(session, countUnsent);
    document.body.append(this.#dialog);
    this.#button.addEventListener('click', () => this.open());
    // What opened it may have left by then: said outright, the keyboard finds itself somewhere that stays.
    this.#dialog.addEventListener('close', () => {
      this.#returnTo.focus();
      this.#signIn.clear();
      if (this.#session.state === 'user') this.#profile.update();
    });
    session.listen((before) => this.#changed(before));
    this.#show();
  }

  /** @param {HTMLElement} [returnTo] what has the focus afterwards; the button unless told */
  open(returnTo = this.#button) {
    this.#returnTo = returnTo;
    this.#show();
    if (!this.#atTheGate) this.#dialog.showModal();
    if (this.#session.state !== 'user') this.#signIn.focus();
  }

  /** Where somebody without an account is not served, the form stands on the page itself, and nothing else does. */
  get #atTheGate() {
    return this.#gate !== null && this.#gated.includes(this.#session.state);
  }

  /** @param {string|null} before */
  #changed(before) {
    const { state, who } = this.#session;
    const atTheGate = this.#button.hidden;
    const entered = state === 'user' && (atTheGate || (this.#dialog.open && this.#body.contains(this.#signIn.element)));
    const left = before !== null && who === null;
    if (this.#dialog.open && (entered || left)) this.#dialog.close();
    if (entered) announce(`Signed in as ${who?.displayName}`);
    this.#show();
    if (entered && atTheGate) byId('message').focus();
  }

  #show() {
    const { state, who } = this.#session;
    const named = who !== null && state !== 'ended';
    setText(byId('account-name'), named ? who.displayName : state === 'ended' || state === 'needed' ? 'Sign in' : 'Guest');
    this.#button.setAttribute('aria-label', named ? `Account of ${who.displayName}` : state === 'guest' ? 'Guest: sign in or register' : 'Sign in');
    this.#button.hidden = this.#atTheGate;
    if (this.#gate !== null) this.#gate.hidden = !this.#atTheGate;
    if (!this.#atTheGate) this.#head.prepend(this.#title);
    if (state === 'user') {
      setText(this.#title, who?.displayName ?? '');
      this.#profile.update();
      this.#body.replaceChildren(this.#profile.element);
    } else {
      this.#signIn.update();
      if (this.#atTheGate) this.#gate?.replaceChildren(this.#title, this.#signIn.element);
      else this.#body.replaceChildren(this.#signIn.element);
    }
  }

  async #goOnAsGuest() {
    const unsent = this.#countUnsent();
    const text = `This browser forgets your list${unsent > 0 ? `, and ${plural(unsent, 'message')} not sent yet` : ''}. Your jobs stay at the server.`;
    if (await ask({ title: 'Go on as a guest?', text, yes: 'Go on as a guest', no: 'Stay' })) this.#session.abandon();
  }
}
