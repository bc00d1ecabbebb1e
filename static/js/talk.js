/**
 * The talk: messages, their jobs and their cards, of whoever is using the page.
 *
 *     composer ─▶ outbox ─POST─▶ session ─▶ server
 *                   │               ▲
 *                   ▼               │
 *                 store ◀─ poller ─GET
 *                   │
 *                 list, announcer, notices
 *
 * The store is what is true for this page. Whatever happens, an entry is changed there first and then shown.
 * @module
 */

import { announce, flagTab } from './announcer.js';
import { jobsApi } from './api.js';
import { Canceller } from './canceller.js';
import { Composer } from './composer.js';
import { List } from './list.js';
import { session } from './me.js';
import { Notices } from './notices.js';
import { Outbox } from './outbox.js';
import { Poller } from './poller.js';
import { FINAL, SETTLED } from './statuses.js';
import { Store } from './store.js';
import { excerpt } from './text.js';
import { announcement, refusalText, troubleText } from './wording.js';

/** @typedef {import('./types.js').Entry} Entry */
/** @typedef {import('./types.js').Job} Job */
/** @typedef {import('./types.js').Kind} Kind */
/** @typedef {import('./types.js').Sending} Sending */

const api = jobsApi((path, ask) => session.send(path, ask));
export const store = new Store(session.who?.userId);
export const notices = new Notices(() => poller.wake({ insist: true }));
const poller = new Poller(api.fetchJob, {
  onJob,
  onGone,
  onTrouble: (jobId, wait, failures) => notices.trouble(jobId, wait, failures),
  onWell: (jobId) => notices.well(jobId),
});
const outbox = new Outbox(store, api.createJob, { onSending, onSent, onRefused });
const canceller = new Canceller(api.cancelJob, { onCancelling, onCancelled, onTooLate, onGone });
const list = new List({ again, sendNow: (id) => outbox.send(id), edit, cancel, remove });
export const composer = new Composer(store, submit);

/**
 * @param {string} message
 * @param {Kind} type
 */
function submit(message, type) {
  const { entry, left } = outbox.keep(message, type);
  left.forEach(forget);
  show(entry);
  list.reveal(entry.id);
  outbox.send(entry.id);
  warnWhenForgetful();
  return entry.id;
}

/** @param {Entry} entry */
function show(entry) {
  list.show(entry, outbox.sending(entry.id) ?? canceller.cancelling(entry.jobId));
}

/** A new job for the same message. @param {string} id */
function again(id) {
  const entry = store.get(id);
  if (entry !== null) list.focus(submit(entry.message, entry.type));
}

/** Take a refused message back into the box. @param {string} id */
function edit(id) {
  const entry = store.get(id);
  remove(id);
  if (entry !== null) composer.fill(entry.message, entry.type);
}

/** @param {string} id */
function cancel(id) {
  const jobId = store.get(id)?.jobId;
  if (jobId) canceller.cancel(jobId);
}

/** @param {string} id */
function remove(id) {
  const entry = store.get(id);
  store.remove(id);
  if (entry !== null) forget(entry);
}

/** Let go of an entry that has left the store. @param {Entry} entry */
function forget({ id, jobId }) {
  outbox.forget(id);
  if (jobId !== null) letGo(jobId);
  list.remove(id);
}

/** Ask no more about a job; a look under way comes too late. @param {string} jobId */
function letGo(jobId) {
  poller.unwatch(jobId);
  notices.well(jobId);
  canceller.forget(jobId);
}

/**
 * @param {string} id
 * @param {Sending} sending
 */
function onSending(id, sending) {
  const entry = store.get(id);
  if (entry === null) return;
  show(entry);
  if (sending.state === 'waiting' && !sending.again) announce(`${excerpt(entry.message)}: not sent yet. ${troubleText(sending.wait)}`);
}

/**
 * @param {Entry} entry
 * @param {number|null} retryAfterMs
 */
function onSent(entry, retryAfterMs) {
  show(entry);
  announce(`${excerpt(entry.message)}: ${entry.job?.status ?? 'accepted'}`);
  poller.watch(/** @type {string} */ (entry.jobId), { quick: true, retryAfterMs });
}

/** @param {Entry} entry */
function onRefused(entry) {
  show(entry);
  const { heading, reasons } = refusalText(/** @type {import('./types.js').Refusal} */ (entry.refusal));
  announce([heading, ...reasons].join(' '));
}

/**
 * @param {string} jobId
 * @param {import('./types.js').Cancelling} cancelling
 */
function onCancelling(jobId, cancelling) {
  const entry = store.byJob(jobId);
  if (entry === null) return;
  show(entry);
  if (cancelling.state === 'uncancelled') announce(`${excerpt(entry.message)}: not cancelled yet. ${troubleText(cancelling.trouble)}`);
}

/** @param {Job} job */
function onCancelled(job) {
  letGo(job.jobId);
  onJob(job);
}

/** It had ended before. How it did is for the next look to say, not for one that may have left earlier. @param {string} jobId */
function onTooLate(jobId) {
  poller.unwatch(jobId);
  poller.watch(jobId);
}

/** @param {Job} job */
function onJob(job) {
  const before = store.byJob(job.jobId);
  if (before === null || JSON.stringify(before.job) === JSON.stringify(job)) return;
  // Another tab has cancelled it, or seen its end, while this answer was on its way.
  if (SETTLED.has(before.job?.status ?? '') && before.job?.status !== job.status) return;
  const entry = store.patch(before.id, { job, gone: false });
  if (FINAL.has(job.status)) canceller.forget(job.jobId);
  if (entry === null) return;
  show(entry);
  if (before.job?.status === job.status) return;
  announce(announcement(job, excerpt(entry.message)));
  if (job.status === 'completed') flagTab('Answered');
  if (job.status === 'failed') flagTab('Failed');
}

/** @param {string} jobId */
function onGone(jobId) {
  letGo(jobId);
  const before = store.byJob(jobId);
  const entry = before && store.patch(before.id, { gone: true });
  if (!entry) return;
  show(entry);
  announce(`${excerpt(entry.message)}: gone, the server no longer knows it`);
}

/** Show what the store holds, and follow what is not finished. Also when another tab has changed it. */
export function reconcile() {
  const entries = store.list();
  const kept = new Set(entries.map((entry) => entry.id));
  for (const id of list.ids) if (!kept.has(id)) list.remove(id);
  for (const entry of entries) {
    show(entry);
    const { jobId, job, gone } = entry;
    if (jobId !== null && !gone && !SETTLED.has(job?.status ?? '')) poller.watch(jobId);
  }
}

/**
 * Show the list of whoever this is now, and nothing of whoever it was.
 * @param {string|null} before a user's id; null: a guest
 * @param {string|null} whose
 */
export function turnTo(before, whose) {
  if (before === null && whose !== null) {
    store.moveTo(whose);
    composer.restore();
  } else {
    for (const part of [poller, outbox, canceller, list, notices]) part.clear();
    if (whose === null) store.wipe();
    store.turnTo(whose);
    composer.restore({ anew: true });
  }
  reconcile();
}

/** Say so where nothing is kept over a reload. */
export function warnWhenForgetful() {
  if (!store.lasting) notices.stand('This browser keeps nothing for this page: a reload will forget the list.');
}

/** How many messages are nowhere but here. */
export function countUnsent() {
  return store.list().filter(({ jobId, refusal }) => jobId === null && refusal === null).length;
}

/** Forget every message. */
export function clearList() {
  for (const entry of [...store.list()]) remove(entry.id);
  notices.clear();
  composer.focus();
}

/** Ask and send at once: waiting any longer makes no sense. @param {{insist?: boolean}} [how] */
export function wake(how) {
  outbox.sendAll();
  poller.wake(how);
}

/** Bring the figures that run up to date. */
export function tick() {
  list.tick();
  notices.tick();
}
