/** Making an API key: the form, and the key itself, which is shown once. @module */

import { announce } from './announcer.js';
import { copyButton } from './copy.js';
import { h } from './dom.js';
import { Form } from './form.js';
import { serverNow } from './clock.js';

/** @typedef {import('./types.js').ApiKey} ApiKey */
/** @typedef {import('./types.js').Answer} Answer */

const DAY_MS = 86_400_000;
/** @type {[string, string, boolean][]} the scope, what it allows, and whether it is ticked to begin with */
const SCOPES = [
  ['jobs:read', 'See my jobs and their answers', true], ['jobs:write', 'Send and cancel jobs', true],
  ['chats:read', 'Read my chats', false], ['chats:write', 'Write in my chats, and change them', false],
];
/** @type {[string, string, boolean]} */
const ADMIN = ['admin', 'Whatever I may as an operator', false];
/** @type {[string, string][]} */
const LIVES = [['30', '30 days'], ['90', '90 days'], ['365', 'A year'], ['', 'Does not expire']];
const USUAL_LIFE = '90';

export class KeyMaker {
  #scopes = h('div', { class: 'scopes__list' });
  #life = h('select', { id: 'make-key-life' },
    ...LIVES.map(([days, name]) => h('option', { value: days, selected: days === USUAL_LIFE }, name)));
  #once = h('section', { class: 'once', tabindex: '-1', 'aria-labelledby': 'once-title', hidden: true });
  #form;
  #offered = SCOPES;

  /**
   * @param {(key: {name: string, scopes: string[], expiresAt?: string}) => Promise<Answer>} makeKey
   * @param {(key: ApiKey) => void} made
   */
  constructor(makeKey, made) {
    this.#form = new Form({
      id: 'make-key', button: 'Make key', busy: 'Making…',
      fields: [{ name: 'name', label: 'Name', hint: 'What it is for, such as “nightly batch”.' }],
      more: [
        h('fieldset', { class: 'scopes' }, h('legend', {}, 'What it may do'), this.#scopes),
        h('div', { class: 'field' }, h('label', { for: 'make-key-life' }, 'Good for'), this.#life),
      ],
      submit: ({ name }) => makeKey({ name, scopes: this.#ticked, ...this.#expiry }),
      done: ({ data }) => {
        made(data);
        this.#renew();
        this.#show(data);
      },
    });
    this.element = h('div', {}, this.#once, this.#form.element);
  }

  /** Begin anew, for somebody of this role. A key that is still shown goes. @param {string|undefined} role */
  reset(role) {
    this.#offered = role === undefined || role === 'user' ? SCOPES : [...SCOPES, ADMIN];
    this.#renew();
    this.#hide();
  }

  #renew() {
    this.#scopes.replaceChildren(...this.#offered.map(scopeBox));
    this.#life.value = USUAL_LIFE;
    this.#form.clear();
  }

  get #ticked() {
    return [...this.#scopes.querySelectorAll('input')].filter((box) => box.checked).map((box) => box.value);
  }

  get #expiry() {
    const days = Number(this.#life.value);
    return days > 0 ? { expiresAt: new Date(serverNow() + days * DAY_MS).toISOString() } : {};
  }

  /** @param {ApiKey} made */
  #show({ name, key = '' }) {
    this.#once.hidden = false;
    this.#once.replaceChildren(
      h('h3', { id: 'once-title' }, `Copy the key “${name}” now`),
      h('p', {}, 'It is shown this once: only a fingerprint of it is kept. Whoever has it can do what you have ticked.'),
      h('code', { class: 'once__key' }, key),
      h('div', { class: 'once__deeds' }, copyButton('Copy key', () => key),
        h('button', { type: 'button', class: 'plain', onclick: () => {
          this.#hide();
          this.#form.focus();
        } }, 'I have it')));
    this.#once.focus();
    announce('The key is made. Copy it now: it is shown this once.');
  }

  #hide() {
    this.#once.hidden = true;
    this.#once.replaceChildren();
  }
}

/** @param {[string, string, boolean]} scope */
function scopeBox([scope, meaning, checked]) {
  return h('label', { class: 'scope' }, h('input', { type: 'checkbox', value: scope, checked }),
    h('span', {}, meaning, ' ', h('code', {}, scope)));
}
