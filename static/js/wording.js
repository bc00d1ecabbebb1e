/** Wording: what the page says about a job, a wait or a refusal. The status names are the API's own. @module */

import { between, duration, moment, ordinal, plural, roughly, ticking } from './format.js';

/** @typedef {import('./types.js').Job} Job */

/** Longer than this is worth a word of reassurance. */
const LONG_WAIT_MS = 10_000;
const LONG_ANSWER_MS = 20_000;

/**
 * How the job is doing, in a sentence or two.
 * @param {Job} job
 * @param {number} now by the server's clock
 */
export function progress(job, now) {
  const last = job.attempts?.at(-1);
  switch (job.status) {
    case 'created':
      return standing(job) ?? waiting(waited(job.createdAt, now));
    case 'processing':
      return 'A worker has it and puts the prompt together.';
    case 'analyzing':
      return job.note === 'still_working' ? 'The model has not said anything for a while; still waiting.'
        : answering(waited(last?.askedAt ?? job.updatedAt, now));
    case 'retrying':
      return standing(job) ?? `${setback(job)} ${nextTry(job, now)}`;
    case 'completed':
      return completed(job);
    case 'failed':
      return '';
    case 'cancelled':
      return 'Cancelled. There will be no answer.';
    default:
      return `The server says: ${job.status}.`;
  }
}

/**
 * Why a job waits, and where; null where the server does not say more than that it waits.
 * @param {Job} job
 */
function standing(job) {
  switch (job.waitReason) {
    case 'behind':
      return job.queuePosition ? place(job.queuePosition, job.etaSeconds ?? null) : null;
    case 'owner_limit':
      return 'Waiting for one of your other jobs to finish, because other people wait too.';
    case 'scheduled':
      return job.runAt ? `Scheduled for ${moment(Date.parse(job.runAt))}.` : null;
    case 'budget':
      return 'What may be spent today is spent; it goes on tomorrow.';
    case 'breaker_open':
      return "The model's server is down; it will be asked again by itself.";
    default:
      return null;
  }
}

/**
 * @param {number} position
 * @param {number|null} etaSeconds
 */
function place(position, etaSeconds) {
  const where = position === 1 ? 'Next in the queue' : `${ordinal(position)} in the queue`;
  return etaSeconds === null ? `${where}.` : `${where}, about ${roughly(etaSeconds)} until its turn.`;
}

/** @param {number} ms */
function waiting(ms) {
  return ms < LONG_WAIT_MS ? 'Waiting for a worker.' : 'Still waiting for a worker. It will be its turn.';
}

/** @param {number} ms */
function answering(ms) {
  return ms < LONG_ANSWER_MS ? 'The model is on it.' : 'The model is still on it.';
}

/** @param {Job} job */
function setback(job) {
  if (job.failures > 0) return `That did not work: failure ${job.failures} of at most ${job.maxAttempts}.`;
  return 'Put back for a moment; nothing is lost.';
}

/**
 * @param {Job} job
 * @param {number} now
 */
function nextTry(job, now) {
  const left = Date.parse(job.nextAttemptAt ?? '') - now;
  return left > 0 ? `Next try in ${ticking(left)}.` : 'Next try any moment.';
}

/** @param {Job} job */
function completed(job) {
  const took = duration(between(job.createdAt, job.attempts?.at(-1)?.finishedAt ?? job.updatedAt));
  const tries = job.attempts?.length > 1 ? `, at the ${ordinal(job.attempts.length)} try` : '';
  return took ? `Answered in ${took}${tries}.` : 'Answered.';
}

/**
 * @param {string} since
 * @param {number} now
 */
function waited(since, now) {
  return now - Date.parse(since);
}

/**
 * What came in the way of a request.
 * @param {import('./types.js').Trouble} trouble
 */
export function troubleText({ reason, status }) {
  if (status === 429) return 'Too many requests at once.';
  switch (reason) {
    case 'offline':
      return 'You are offline.';
    case 'network':
      return 'The server cannot be reached.';
    case 'timeout':
      return 'The server took too long to answer.';
    case 'busy':
      return 'The server is not ready.';
    case 'garbled':
      return 'Something other than Parley answered.';
    case 'signed_out':
      return 'You are not signed in.';
    default:
      return `The server had a problem (${status}).`;
  }
}

/**
 * @param {number} retryAt in `Date.now()` terms
 * @param {string} verb what happens then
 */
export function againIn(retryAt, verb) {
  const left = retryAt - Date.now();
  return left > 0 ? `${verb} in ${ticking(left)}.` : `${verb} now…`;
}

/**
 * What became of a press on Cancel; nothing once the job is cancelled, as its status says so.
 * @param {import('./types.js').Cancelling} cancelling
 */
export function cancellingText(cancelling) {
  return cancelling.state === 'cancelling' ? 'Cancelling…' : `Not cancelled yet. ${troubleText(cancelling.trouble)}`;
}

/**
 * Why the server would not take a message: a heading and its reasons.
 * @param {import('./types.js').Refusal} refusal
 */
export function refusalText({ status, problem }) {
  const reasons = (problem.errors ?? []).map((error) => error.message ?? '').filter(Boolean);
  const heading = status === 413 ? 'The message is too large for the server.' : 'The server did not take this message.';
  const said = reasons.length > 0 ? reasons : [problem.detail ?? problem.title ?? ''].filter(Boolean);
  return { heading, reasons: said, code: problem.code ?? String(status) };
}

/**
 * One line for screen readers when a job's status has changed.
 * @param {Job} job
 * @param {string} name
 */
export function announcement(job, name) {
  const said = {
    completed: 'completed, the answer is there',
    failed: `failed. ${job.error?.message ?? ''}`,
    retrying: `retrying after failure ${job.failures} of ${job.maxAttempts}`,
  };
  return `${name}: ${said[/** @type {keyof typeof said} */ (job.status)] ?? job.status}`;
}

/**
 * Why another model than the first choice answered; null when the first choice did.
 * @param {Job} job
 */
export function substitution({ degraded, model }) {
  return degraded ? `Answered by ${model ?? 'another model'}, because the first choice was not available.` : null;
}

/**
 * Who answered, unless the substitution has said so, and what it took.
 * @param {Job} job
 */
export function facts(job) {
  const { model, usage, degraded } = job;
  const tokens = usage ? `${plural(usage.totalTokens, 'token')}` : '';
  return [degraded ? '' : model ?? '', tokens].filter(Boolean);
}

/** What the codes of `errors` mean at a field of a form; the server's own sentence serves for any other. */
const AT_A_FIELD = {
  required: 'This is needed.',
  invalid_username: 'Use 3 to 32 of a–z, 0–9, dot, hyphen and underscore, a letter or digit first.',
  invalid_name: 'Use 1 to 64 letters or other visible characters.',
  username_taken: 'Somebody has this username already.',
  wrong_password: 'This is not your present password.',
  invitation_required: 'An account is made by invitation here. Enter the code of yours.',
  invitation_invalid: 'This invitation is not valid, or no longer.',
};

/** What the codes of refusals mean that no field is to blame for. */
const AT_THE_FORM = {
  wrong_credentials: 'Username or password is wrong.',
  registration_closed: 'Nobody can register here. Ask whoever runs this server for an account.',
  too_many_keys: 'You have as many API keys as you may. Revoke one first.',
  scope_refused: 'Your account may not do what you have ticked.',
};

/**
 * @param {{code?: string, message?: string}} error one of `errors`
 * @returns {string}
 */
export function fieldText({ code, message }) {
  return AT_A_FIELD[/** @type {keyof typeof AT_A_FIELD} */ (code)] ?? message ?? 'The server does not take this.';
}

/** A refusal that is to be said again later. @param {keyof typeof AT_THE_FORM} code */
export function refusalOf(code) {
  return AT_THE_FORM[code];
}

/**
 * Why a form came to nothing, for what cannot be said at one of its fields.
 * @param {Exclude<import('./types.js').Answer, {kind: 'ok'}>} answer
 * @returns {string}
 */
export function formText(answer) {
  if (answer.kind === 'trouble') {
    const again = answer.retryAfterMs === null ? 'Try again.' : `Try again in ${ticking(answer.retryAfterMs)}.`;
    return `${answer.status === 429 ? 'That was tried too often.' : troubleText(answer)} ${again}`;
  }
  const { code, detail, title } = answer.problem;
  return AT_THE_FORM[/** @type {keyof typeof AT_THE_FORM} */ (code)] ?? detail ?? title ?? 'The server did not take this.';
}
