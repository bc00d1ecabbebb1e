/** Deeds: what can be done about a message, an answer or a chat, behind the buttons that say so. @module */

import { announce } from '../announcer.js';
import { ask } from '../ask.js';
import { copy } from '../copy.js';
import { byId } from '../dom.js';
import { formText } from '../wording.js';
import { showDetails } from './details.js';
import { openMenu } from './menu.js';
import { showRecap } from './recap.js';

/** @typedef {import('./types.js').Message} Message */
/** @typedef {import('./types.js').Speech} Speech */

export class Deeds {
  #page;

  /** @param {import('./page.js').ChatPage} page */
  constructor(page) {
    this.#page = page;
  }

  /** @param {Message} message @param {HTMLElement} button */
  menu(message, button) {
    const { talk, me, compose } = this.#page;
    const { chat, people } = talk;
    const own = message.senderId === me;
    const author = own ? 'yourself' : message.isAi ? 'the AI' : people.name(message.chatId, message.senderId);
    const mayErase = own || chat?.type === 'ai' || (chat?.type === 'group' && chat.role === 'admin');
    openMenu(button, [
      { name: 'Reply', deed: () => compose.reply(message, author) },
      { name: 'Copy text', deed: async () => announce((await copy(message.content, button)) ? 'Copied' : 'Could not copy') },
      ...(own && !message.isAi ? [{ name: 'Edit', deed: () => compose.edit(message) }] : []),
      ...(message.isAi && message.jobId !== null ? [{ name: 'Answer anew', deed: () => this.#regenerate(message) }] : []),
      ...(mayErase ? [{ name: 'Delete', danger: true, deed: () => this.#erase(message) }] : []),
    ]);
  }

  /** @param {Message} message @param {string} content */
  async change(message, content) {
    const { talk } = this.#page;
    const data = await this.#done(talk.api.edit(message.chatId, message.seq, content));
    if (data === null) this.#page.compose.fill(content);
    else talk.hear(data);
  }

  /** @param {string} clientMsgId */
  retry(clientMsgId) {
    this.#page.talk.outbox.retry(clientMsgId);
  }

  /** @param {string} clientMsgId */
  discard(clientMsgId) {
    this.#page.talk.outbox.discard(clientMsgId);
    this.#page.compose.focus();
  }

  /** @param {string} clientMsgId */
  edit(clientMsgId) {
    const entry = this.#page.talk.outbox.discard(clientMsgId);
    if (entry !== null) this.#page.compose.fill(entry.content);
  }

  async stop() {
    const { talk, compose } = this.#page;
    compose.focus();
    if ((await this.#done(talk.api.stop(talk.current))) !== null) talk.sync.catchUp();
  }

  /** @param {Speech} speech */
  dismiss(speech) {
    this.#page.talk.answers.forget(speech.jobId);
    this.#page.compose.focus();
  }

  /** What the answer failed to is asked once more. @param {Speech} speech */
  again(speech) {
    const { talk, compose } = this.#page;
    const asked = talk.room.list().findLast(({ jobId, isAi }) => jobId === speech.jobId && !isAi);
    talk.answers.forget(speech.jobId);
    if (asked) talk.send(asked.content);
    compose.focus();
  }

  /** Everything is read, everywhere. */
  async seenAll() {
    const { talk } = this.#page;
    if ((await this.#done(talk.api.seenAll())) === null) return;
    for (const { chatId, unread, lastSeq } of talk.directory.list()) {
      if (unread > 0) talk.directory.patch(chatId, { unread: 0, unreadCapped: false, lastReadSeq: lastSeq });
    }
    announce('All is read');
    byId('search').focus();
  }

  recap() {
    const { talk } = this.#page;
    const { chat } = talk;
    if (chat === null) return;
    const hasAi = chat.aiMode !== 'off' && (chat.aiCallers === 'all' || chat.role === 'admin');
    showRecap({
      fetch: () => talk.api.summary(chat.chatId), missed: talk.missed, hasAi, alone: chat.type === 'ai',
      ask: (request) => {
        talk.send(request);
        this.#page.thread.follow();
      },
    });
  }

  details() {
    const { talk, me } = this.#page;
    const { chat, people, api } = talk;
    if (chat === null) return;
    showDetails(chat, {
      people, me, api, changed: (now) => talk.directory.put(now), membersChanged: () => talk.refresh(chat.chatId),
      left: () => {
        talk.drop(chat.chatId);
        this.#page.compose.focus();
      },
    });
  }

  /** @param {Message} message */
  async #regenerate(message) {
    const { talk } = this.#page;
    const data = await this.#done(talk.api.regenerate(message.chatId, message.seq));
    if (data !== null) talk.answers.expect(message.chatId, data.jobId, { stream: !talk.reading.isLive });
    this.#page.thread.follow();
  }

  /** @param {Message} message */
  async #erase(message) {
    const { talk } = this.#page;
    const sure = await ask({ title: 'Delete this message?', text: 'Nobody can bring it back.', yes: 'Delete', no: 'Keep it' });
    const data = sure ? await this.#done(talk.api.erase(message.chatId, message.seq)) : null;
    if (data !== null) talk.hear(data);
  }

  /** What was answered; null: it was refused, and that is said. @param {Promise<import('./types.js').Answer>} asked */
  async #done(asked) {
    const answer = await asked;
    const error = byId('composer-error');
    error.textContent = answer.kind === 'ok' ? '' : formText(answer);
    return answer.kind === 'ok' ? answer.data : null;
  }
}
