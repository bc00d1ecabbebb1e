/** The list of a user's API keys: what each may do, when it was used, and the button that revokes it. @module */

import { announce } from './announcer.js';
import { ask } from './ask.js';
import { serverNow } from './clock.js';
import { h, setText } from './dom.js';
import { day, since } from './format.js';
import { formText } from './wording.js';

/** @typedef {import('./types.js').ApiKey} ApiKey */
/** @typedef {import('./types.js').Answer} Answer */

export class KeyList {
  #list = h('ul', { class: 'keys' });
  #note = h('p', { class: 'plain-note', role: 'status' });
  #revokeKey;
  element = h('div', {}, this.#note, this.#list);

  /** @param {(keyId: string) => Promise<Answer>} revokeKey */
  constructor(revokeKey) {
    this.#revokeKey = revokeKey;
  }

  /** @param {ApiKey[]} keys the oldest first, as the server has them; shown the other way round */
  show(keys) {
    this.#list.replaceChildren(...[...keys].reverse().map((key) => this.#row(key)));
    this.#count();
  }

  /** @param {ApiKey} key */
  add(key) {
    this.#list.prepend(this.#row(key));
    this.#count();
  }

  /** Say something in place of the list. @param {string} text */
  say(text) {
    this.#list.replaceChildren();
    setText(this.#note, text);
  }

  #count() {
    setText(this.#note, this.#list.childElementCount === 0 ? 'You have no keys yet.' : '');
  }

  /** @param {ApiKey} key */
  #row({ keyId, name, prefix, scopes, createdAt, lastUsedAt, expiresAt }) {
    const now = serverNow();
    const expired = expiresAt !== null && Date.parse(expiresAt) <= now;
    const error = h('p', { class: 'form__error', role: 'alert' });
    const facts = [
      ['Created', day(createdAt)],
      ['Last used', lastUsedAt === null ? 'never' : since(lastUsedAt, now)],
      [expired ? 'Expired' : 'Expires', expiresAt === null ? 'never' : day(expiresAt)],
    ];
    const row = h('li', { class: 'key', 'data-expired': expired ? 'true' : null },
      h('h3', { class: 'key__name' }, name),
      h('p', { class: 'key__prefix' }, h('code', {}, `${prefix}…`)),
      h('p', { class: 'key__scopes' }, ...scopes.map((scope) => h('span', { class: 'key__scope' }, scope))),
      h('dl', { class: 'key__facts' }, ...facts.map(([term, value]) => h('div', {}, h('dt', {}, term), h('dd', {}, value)))),
      h('button', { type: 'button', class: 'plain key__revoke', 'aria-label': `Revoke ${name}`, onclick: () => this.#revoke(row, error, { keyId, name }) }, 'Revoke'),
      error);
    return row;
  }

  /**
   * @param {HTMLElement} row
   * @param {HTMLElement} error
   * @param {{keyId: string, name: string}} key
   */
  async #revoke(row, error, { keyId, name }) {
    const text = 'Whatever signs in with it stops working within seconds. This cannot be taken back.';
    if (!(await ask({ title: `Revoke “${name}”?`, text, yes: 'Revoke', no: 'Keep it' }))) return;
    setText(error, '');
    const answer = await this.#revokeKey(keyId);
    // Revoked before, in another tab, is as good.
    if (answer.kind === 'ok' || (answer.kind === 'refused' && answer.status === 404)) {
      const next = /** @type {HTMLElement|null} */ (row.nextElementSibling ?? row.previousElementSibling);
      row.remove();
      this.#count();
      announce(`${name} is revoked.`);
      (next?.querySelector('button') ?? document.getElementById('make-key-name'))?.focus();
    } else setText(error, formText(answer));
  }
}
