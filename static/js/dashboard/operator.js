/**
 * The operator: with what this page asks, and whether that is allowed to see anything.
 *
 * Whoever has the operator's token asks with that; it lives in this object and nowhere else, and is gone with
 * the page. Everybody else asks with the session of their account.
 * @module
 */

import { withToken } from '../bearer.js';
import { request } from '../http.js';

/** @typedef {import('../types.js').Answer} Answer */
/** @typedef {import('../types.js').Ask} Ask */
/** @typedef {import('../session.js').Session} Session */

export class Operator {
  #session;
  /** @type {string|null} */
  #token = null;

  /** @param {Session} session */
  constructor(session) {
    this.#session = session;
  }

  /** Whether the operator's token was given. */
  get hasToken() {
    return this.#token !== null;
  }

  /** Whether there is anything to ask with. */
  get isSomebody() {
    return this.hasToken || this.#session.state === 'user';
  }

  /** @param {string|null} token null: forget it */
  use(token) {
    this.#token = token;
  }

  /**
   * @param {string} path
   * @param {Ask} ask
   * @returns {Promise<Answer>}
   */
  send(path, ask) {
    return this.#token === null ? this.#session.send(path, ask) : request(path, withToken(ask, this.#token));
  }
}
