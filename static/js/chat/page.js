/** The chat page of somebody who is signed in: its parts, what they show, and what a press on each does. @module */

import { announce } from '../announcer.js';
import { byId, setText } from '../dom.js';
import { formText } from '../wording.js';
import { onWake } from '../wake.js';
import { Compose, wipeDrafts } from './compose.js';
import { Deeds } from './deeds.js';
import { nameOf } from './directory.js';
import { linkOf } from './link.js';
import { Live } from './live.js';
import { askForNewChat } from './new-chat.js';
import { rowsOf } from './rows.js';
import { Search } from './search.js';
import { Side } from './side.js';
import { Talk } from './talk.js';
import { Thread } from './thread.js';
import { TitleBar } from './title-bar.js';

/** A link that is back within this time was not worth a line. */
const WORTH_SAYING_MS = 1_500;
const MINUTE_MS = 60_000;

export class ChatPage {
  /** @type {Live|null} */
  #live = null;
  /** @type {import('./socket.js').SocketState|null} */
  #socket = null;
  #answered = true;
  /** @type {Record<string, any>} */
  #health = {};
  #drawing = false;
  /** @type {ReturnType<typeof setTimeout>|undefined} */
  #saying;
  #banner = '';

  /** @param {import('../session.js').Session} session @param {string} me */
  constructor(session, me) {
    this.me = me;
    this.talk = new Talk(session, me, {
      draw: () => this.#soon(), turned: (chatId) => this.#turned(chatId),
      renamed: (chatId) => {
        this.compose.rename(chatId);
        this.#live?.turnTo(chatId);
      },
      answered: (answered) => this.#note({ answered }),
    });
    this.thread = new Thread({ more: () => this.#more(), newest: () => this.#newest(), read: () => this.talk.reading.seen() });
    this.compose = new Compose({
      send: (content, replyTo) => {
        this.talk.send(content, replyTo);
        this.thread.follow();
      },
      change: (message, content) => this.deeds.change(message, content),
      typing: (on) => this.#live?.typing(on),
      last: () => this.talk.room.list().findLast((message) => message.senderId === me && message.deletedAt === null) ?? null,
    });
    this.side = new Side({ open: (chatId) => this.open(chatId), create: () => this.#create(), seenAll: () => this.deeds.seenAll() });
    this.bar = new TitleBar({ rename: (chat, title) => this.#rename(chat.chatId, title), recap: () => this.deeds.recap(), details: () => this.deeds.details() });
    this.deeds = new Deeds(this);
    this.search = new Search({ chats: () => this.talk.directory.list(), find: (words) => this.talk.api.search(words), open: (chatId, seq) => this.open(chatId, seq) });
    for (const example of document.querySelectorAll('button.example')) {
      example.addEventListener('click', () => this.compose.fill(example.querySelector('.example__text')?.textContent ?? ''));
    }
    byId('stop').addEventListener('click', () => this.deeds.stop());
    this.#listen();
  }

  async start() {
    this.#turned(this.talk.current);
    await this.talk.start();
    document.documentElement.dataset.loaded = 'true';
    const config = await this.talk.api.config();
    const url = config.kind === 'ok' ? config.data.gatewayUrl : null;
    if (typeof url === 'string' && url !== '') {
      this.#live = new Live(this.talk, url, { state: (socket) => this.#note({ socket }), health: (health) => this.#note({ health }) });
    }
    this.talk.sync.start(() => this.#live?.socket.live ?? false);
  }

  /** @param {string} chatId @param {number|null} [seq] */
  async open(chatId, seq = null) {
    this.side.choose();
    await this.talk.open(chatId, seq);
    this.#drawNow();
    if (seq !== null) this.thread.reveal(`m:${seq}`);
    else if (this.talk.unreadFrom !== null) this.thread.reveal('unread', { mark: false });
    this.talk.reading.seen();
  }

  /** Somebody else is signed in here now, or nobody: leave nothing behind. */
  async erase() {
    wipeDrafts(this.me);
    await this.talk.erase();
  }

  wake() {
    this.#note({});
    this.#live?.socket.wake();
    this.talk.wake();
  }

  #listen() {
    onWake(() => this.wake());
    window.addEventListener('offline', () => this.#note({}));
    window.addEventListener('pagehide', () => this.talk.reading.farewell());
    document.addEventListener('visibilitychange', () => {
      if (document.hidden) this.talk.reading.leave();
      else this.talk.reading.seen();
      this.talk.sync.repace();
    });
    setInterval(() => this.#soon(), MINUTE_MS);
  }

  /** @param {string} chatId */
  #turned(chatId) {
    this.thread.begin();
    this.compose.turnTo(this.me, chatId);
    this.#live?.turnTo(chatId);
  }

  #soon() {
    if (this.#drawing) return;
    this.#drawing = true;
    // Frames are drawn of pages that are seen; the title of the others counts, too.
    (document.hidden ? setTimeout : requestAnimationFrame)(() => this.#drawNow());
  }

  #drawNow() {
    this.#drawing = false;
    const { talk } = this;
    const { chat, room, current, people, directory } = talk;
    const now = Date.now();
    const unsent = [...talk.outbox.of(current), ...[...talk.echoes.values()].filter(({ chatId }) => chatId === current)];
    const speeches = talk.answers.of(current);
    const rows = rowsOf({ chat, room, unsent, speeches, people, me: this.me, unreadFrom: talk.unreadFrom, now }, this.deeds);
    const beyond = room.atEnd ? chat?.unread ?? 0 : Math.max(0, (chat?.lastSeq ?? 0) - room.last);
    byId('hello').hidden = rows.length > 0 || !(room.loaded || chat === null) || !document.documentElement.dataset.loaded;
    byId('hello').dataset.kind = chat?.type ?? 'ai';
    this.thread.show(rows, { more: room.before !== null && room.loaded, beyond, atEnd: room.atEnd });
    this.side.show(directory.list(), { current, people, now });
    this.bar.show(chat, chat === null ? 'With the AI' : people.subtitle(chat, now));
    if (directory.unread > 0) document.title = `(${directory.unread}) ${document.title}`;
    byId('stop').hidden = !speeches.some(({ status }) => ['created', 'processing', 'analyzing', 'retrying'].includes(status));
    this.#live?.watch();
    this.#showLink();
    if (this.thread.atBottom) talk.reading.seen();
  }

  /** @param {{answered?: boolean, socket?: import('./socket.js').SocketState, health?: any}} news */
  #note({ answered, socket, health }) {
    if (answered !== undefined) this.#answered = answered;
    if (health !== undefined) this.#health = health;
    if (socket !== undefined) [this.#socket, this.#health] = [socket, socket === 'live' ? this.#health : {}];
    this.#showLink();
  }

  #showLink() {
    const link = linkOf({ online: navigator.onLine, socket: this.#socket, answered: this.#answered, health: this.#health, waiting: this.talk.outbox.waiting.length });
    document.documentElement.dataset.link = link.kind;
    setText(byId('link-label'), link.label);
    if (link.banner === this.#banner) return;
    this.#banner = link.banner;
    clearTimeout(this.#saying);
    if (link.banner === '' || link.kind === 'offline') this.#say(link.banner);
    else this.#saying = setTimeout(() => this.#say(this.#banner), WORTH_SAYING_MS);
  }

  /** @param {string} text */
  #say(text) {
    const banner = byId('banner');
    if (text !== '' && banner.hidden) announce(text);
    if (text === '' && !banner.hidden) announce('The connection is back.');
    banner.hidden = text === '';
    setText(byId('banner-text'), text);
  }

  async #more() {
    const button = byId('load-more');
    button.setAttribute('aria-disabled', 'true');
    await this.talk.sync.readBefore(this.talk.room);
    button.removeAttribute('aria-disabled');
    this.#drawNow();
  }

  async #newest() {
    if (!this.talk.room.atEnd) await this.talk.sync.readNewest(this.talk.room);
    this.#drawNow();
    this.thread.follow();
    this.compose.focus();
  }

  #create() {
    askForNewChat({
      ai: () => {
        this.side.choose();
        this.talk.openNew();
        this.compose.focus();
      },
      make: (chat) => this.talk.api.make(chat),
      made: (chat) => {
        this.talk.directory.put(chat);
        this.open(chat.chatId);
        this.compose.focus();
      },
    });
  }

  /** @param {string} chatId @param {string} title */
  async #rename(chatId, title) {
    const answer = await this.talk.api.change(chatId, { title });
    if (answer.kind !== 'ok') return formText(answer);
    this.talk.directory.put(answer.data);
    announce(`Renamed: ${nameOf(answer.data)}`);
    return null;
  }
}
