/**
 * The session: who is using the page, and the credential that goes with each request.
 *
 *     starting ─▶ guest ──sign in──▶ user ◀──sign in── ended
 *         │         ▲                 │                  ▲
 *         └▶ needed └────sign out─────┴──not renewed─────┘
 *
 * The access token lives in this object and nowhere else; what prolongs it is in a cookie that no script
 * can read. A request of one person is never sent as another: whoever has changed meanwhile, it waits.
 * @module
 */

import * as accounts from './account-api.js';
import { isUnauthorized, withToken } from './bearer.js';
import { request } from './http.js';
import { alone, canRemember, onOtherTab, remember, remembered } from './who.js';

/** @typedef {import('./types.js').Answer} Answer */
/** @typedef {import('./types.js').Ask} Ask */
/** @typedef {import('./types.js').SessionState} State */
/** @typedef {import('./types.js').User} User */
/** @typedef {import('./who.js').Who} Who */

/** Renewed this long before it expires, or at four fifths of a life that is shorter than that allows. */
const EARLY_MS = 60_000;

/** @type {Answer} */
const SIGNED_OUT = { kind: 'trouble', reason: 'signed_out', status: null, problem: {}, retryAfterMs: null };

export class Session {
  /** @type {State} */
  #state = 'starting';
  /** @type {Who|null} */
  #who = remembered();
  /** @type {User|null} */
  #user = null;
  /** @type {string|null} */
  #token = null;
  /** @type {Promise<Answer|null>|null} */
  #underWay = null;
  /** @type {Promise<Answer>|null} a sign-in that is not answered yet */
  #entering = null;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #timer;
  /** @type {((before: string|null) => void)[]} */
  #listeners = [];

  get state() {
    return this.#state;
  }

  /** The name and id of the user whose page this is, also before and after their session; null: a guest's. */
  get who() {
    return this.#who;
  }

  /** For what no request can carry: a socket, a stream. */
  get token() {
    return this.#token;
  }

  /** Everything the server says of the user, while signed in. */
  get user() {
    return this.#user;
  }

  /**
   * Hear of every change of the state, the user or their name.
   * @param {(before: string|null) => void} changed given the id of the user whose page it was before
   */
  listen(changed) {
    this.#listeners.push(changed);
  }

  /** Find out who this is. Called once; every request waits for the end of it, or tries it again. */
  start() {
    onOtherTab(() => this.#follow());
    this.#begin();
  }

  /**
   * Send a request as whoever this is.
   * @param {string} path
   * @param {Ask} ask
   * @returns {Promise<Answer>} as the server answered; `signed_out` when it was not sent, or not as this user
   */
  async send(path, ask) {
    const whose = this.#who?.userId;
    const inTheWay = await this.#ready();
    if (inTheWay !== null) return inTheWay;
    if (this.#who?.userId !== whose) return SIGNED_OUT;
    const token = this.#token;
    const answer = await request(path, withToken(ask, token));
    if (answer.kind === 'refused') {
      // Who signs in takes the guest's jobs along: the guest is told that they are not there, before anyone is admitted.
      await this.#entering;
      if (this.#who?.userId !== whose) return SIGNED_OUT;
    }
    if (!isUnauthorized(answer)) return answer;
    if (token === null) return this.#turnedAway();
    const stillInTheWay = await this.#renew(token);
    if (stillInTheWay !== null) return stillInTheWay;
    if (this.#token === null || this.#who?.userId !== whose) return SIGNED_OUT;
    const again = await request(path, withToken(ask, this.#token));
    return again.kind === 'refused' && isUnauthorized(again) ? { ...again, kind: 'trouble', reason: 'server', retryAfterMs: null } : again;
  }

  /**
   * Begin one.
   * @param {() => Promise<Answer>} ask what begins it at the server
   */
  async enter(ask) {
    // What is under way must not overwrite what is about to begin.
    await this.#underWay;
    this.#entering = alone(ask);
    const answer = await this.#entering;
    this.#entering = null;
    if (answer.kind === 'ok') this.#admit(answer.data);
    return answer;
  }

  /**
   * End it here, or everywhere. Nothing has changed unless the answer is `ok`.
   * @param {() => Promise<Answer>} [ask] what ends it at the server
   */
  async leave(ask = accounts.signOut) {
    const answer = await ask();
    if (answer.kind === 'ok') this.abandon();
    return answer;
  }

  /** Go on as a guest: the session is over, and this browser forgets whose it was. */
  abandon() {
    remember(null);
    this.#restart(null);
  }

  /** The user has another name now. @param {User} user */
  rename(user) {
    this.#welcome({ ...this.#user, ...user });
  }

  /** What stands in the way of a request; null when it may go. @returns {Promise<Answer|null>} */
  async #ready() {
    if (this.#state === 'starting') return this.#begin();
    return this.#state === 'ended' || this.#state === 'needed' ? SIGNED_OUT : null;
  }

  #begin() {
    // Without a memory of anybody there is no session to go on with: a guest's visit costs one request.
    return this.#once(() => (this.#who !== null || !canRemember() ? this.#refresh() : this.#enterAsGuest()));
  }

  /** A new token in place of one that was refused; at once if another request has seen to that. @param {string} used */
  #renew(used) {
    return this.#token === used ? this.#once(() => this.#refresh()) : this.#ready();
  }

  /** @param {Who|null} who */
  #restart(who) {
    this.#become('starting', who);
    // What is under way was for somebody else; it changes nothing any more.
    Promise.resolve(this.#underWay).then(() => {
      if (this.#state === 'starting') this.#begin();
    });
  }

  /** One at a time in this tab, whoever asks. @param {() => Promise<Answer|null>} ask */
  #once(ask) {
    this.#underWay ??= alone(ask).finally(() => {
      this.#underWay = null;
    });
    return this.#underWay;
  }

  /** @returns {Promise<Answer|null>} */
  async #refresh() {
    const before = this.#who;
    let answer = await accounts.refresh();
    // Its answer may be lost, the cookie already used: asked again at once, the server gives the same answer.
    if (answer.kind === 'trouble' && answer.status === null) answer = await accounts.refresh();
    if (this.#who !== before) return SIGNED_OUT;
    if (answer.kind === 'ok' && typeof answer.data?.accessToken === 'string') {
      this.#admit(answer.data);
      return null;
    }
    if (answer.kind !== 'refused') return /** @type {Answer} */ (answer);
    if (before === null) return this.#enterAsGuest();
    this.#become('ended', before);
    return SIGNED_OUT;
  }

  /** @returns {Promise<Answer|null>} */
  async #enterAsGuest() {
    const answer = await accounts.beGuest();
    if (this.#who !== null) return SIGNED_OUT;
    if (answer.kind === 'trouble') return answer;
    if (answer.kind === 'refused' && answer.status === 403) return this.#turnedAway();
    this.#become('guest', null);
    return null;
  }

  /** Guests are not served: nothing goes on without an account. @returns {Answer} */
  #turnedAway() {
    if (this.#who === null) this.#become('needed', null);
    return SIGNED_OUT;
  }

  /** @param {{accessToken: string, expiresIn: number, user: User}} session */
  #admit({ accessToken, expiresIn, user }) {
    this.#token = accessToken;
    clearTimeout(this.#timer);
    const life = expiresIn * 1_000;
    this.#timer = setTimeout(() => this.#renew(accessToken), Math.max(life - EARLY_MS, life * 0.8));
    this.#welcome(user);
  }

  /** @param {User} user */
  #welcome(user) {
    const { userId, username, displayName } = user;
    remember({ userId, username, displayName });
    this.#become('user', { userId, username, displayName }, user);
  }

  /** Another tab has signed in or out: this one goes along. */
  #follow() {
    const who = remembered();
    if (who === null || this.#user?.userId !== who.userId) this.#restart(who);
    else this.#become('user', who, { ...this.#user, ...who });
  }

  /**
   * @param {State} state
   * @param {Who|null} who
   * @param {User|null} [user]
   */
  #become(state, who, user = null) {
    const before = this.#who;
    const same = state === this.#state && before?.userId === who?.userId && before?.displayName === who?.displayName;
    [this.#state, this.#who, this.#user] = [state, same ? before : who, user];
    if (state !== 'user') {
      this.#token = null;
      clearTimeout(this.#timer);
    }
    if (!same) for (const changed of this.#listeners) changed(before?.userId ?? null);
  }
}
