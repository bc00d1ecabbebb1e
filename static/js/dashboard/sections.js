/** The sections below the dead letters: jobs, batches, cost, processes, and who did what. @module */

import { announce } from '../announcer.js';
import { ask } from '../ask.js';
import { serverNow } from '../clock.js';
import { h } from '../dom.js';
import { moment, plural, since } from '../format.js';
import { UNFINISHED } from '../statuses.js';
import { deed, row } from './listing.js';
import { Section } from './section.js';
import { timeline } from './timeline.js';
import { count, seconds, UNKNOWN } from './units.js';

/** @typedef {ReturnType<import('./api.js').operatorApi>} Api */
/** @typedef {import('../types.js').Answer} Answer */

const JOB_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** @param {Api} api @param {() => void} changed called when something was done that numbers tell of */
export function sections(api, changed) {
  return [jobs(api, changed), batches(api, changed), cost(api), processes(api), audit(api)];
}

/** @param {Api} api @param {() => void} changed */
function jobs(api, changed) {
  /** One job, as a list of it. @param {string} jobId @returns {Promise<Answer>} */
  const one = async (jobId) => {
    const answer = await api.job(jobId);
    return answer.kind === 'ok' ? { ...answer, data: { items: [answer.data], nextCursor: null } } : answer;
  };
  return new Section('jobs', ({ search, status, type }, cursor) => (JOB_ID.test(search) ? one(search)
    : api.jobs({ owner: search, status, type, cursor })), (job, list) => {
    const { jobId, status, type, owner, createdAt, finishedAt, attempt, failures, maxAttempts, model, error, worker, batchId } = job;
    const of = `job ${jobId}`;
    /** @param {HTMLElement} its @param {string} text */
    const gone = (its, text) => {
      list.remove(its);
      announce(text);
      changed();
    };
    const deeds = [];
    if (UNFINISHED.has(status)) deeds.push(deed('Cancel', of, () => sure('Cancel this job?', 'It never gets an answer, and cannot be taken up again.', () => api.cancel(jobId)), (its) => gone(its, 'The job is cancelled.')));
    if (status === 'failed') deeds.push(deed('Redrive', of, () => api.redrive(jobId), (its) => gone(its, 'The job is redriven.')));
    return row({
      name: error === null ? status : `${status}: ${error.code}`,
      facts: [
        ['Made', since(createdAt, serverNow())], finishedAt === null ? null : ['Ended', since(finishedAt, serverNow())], ['Type', type], ['Owner', owner],
        ['Attempts', String(attempt)], failures > 0 ? ['Failures', `${failures} of ${maxAttempts}`] : null, ['Model', model], ['Worker', worker],
        ['Batch', batchId], ['Job', jobId],
      ],
      deeds,
      more: timeline(of, () => api.job(jobId)),
    });
  }, 'No such jobs.');
}

/** @param {Api} api @param {() => void} changed */
function batches(api, changed) {
  return new Section('batches', (_, cursor) => api.batches({ cursor }), (batch, list) => {
    const { batchId, owner, total, counts, createdAt, cancelledAt } = batch;
    const of = `batch ${batchId}`;
    const left = [...UNFINISHED].reduce((sum, status) => sum + counts[status], 0);
    /** @param {string} text */
    const again = (text) => () => {
      announce(text);
      changed();
      list.load();
    };
    const deeds = [];
    if (left > 0) deeds.push(deed('Cancel', of, () => sure('Cancel the rest of this batch?', `${plural(left, 'job')} never get an answer.`, () => api.cancelBatch(batchId)), again('The batch is cancelled.')));
    if (counts.failed > 0 && cancelledAt === null) deeds.push(deed('Retry failed', of, () => api.retryFailed(batchId), again('What failed is tried again.')));
    const bar = h('progress', { max: total, value: total - left, 'aria-label': `Finished of ${of}` });
    return row({
      name: `${count(total - left)} of ${count(total)} finished`,
      facts: [
        ['Made', since(createdAt, serverNow())], ['Owner', owner], cancelledAt === null ? null : ['Cancelled', since(cancelledAt, serverNow())],
        .../** @type {[string, number][]} */ (Object.entries(counts)).filter(([, number]) => number > 0).map(([status, number]) => /** @type {[string, string]} */ ([status, count(number)])),
        ['Batch', batchId],
      ],
      deeds,
      more: bar,
    });
  }, 'No batches.');
}

/** @param {Api} api */
function cost(api) {
  /** Today, this month, and of today each model and each owner. @returns {Promise<Answer>} */
  const sums = async () => {
    const answer = await api.cost();
    if (answer.kind !== 'ok') return answer;
    const { currency, today, month, byModel, byOwner } = answer.data;
    const items = [
      { ...today, name: 'Today' }, { ...month, name: 'This month' },
      ...byModel.map((/** @type {any} */ sum) => ({ ...sum, name: `Today: ${sum.model}` })),
      ...byOwner.map((/** @type {any} */ sum) => ({ ...sum, name: `Today: ${sum.owner}` })),
    ];
    return { ...answer, data: { items: items.map((item) => ({ ...item, currency })) } };
  };
  return new Section('cost', sums, ({ name, currency, cost: spent, calls, promptTokens, completionTokens, unpricedCalls }) => row({
    name,
    facts: [
      ['Cost', spent === null ? UNKNOWN : `${spent} ${currency}`], ['Calls', count(calls)], unpricedCalls > 0 ? ['Without a price', count(unpricedCalls)] : null,
      ['Tokens asked', count(promptTokens)], ['Tokens answered', count(completionTokens)],
    ],
  }), 'Nothing was spent.');
}

/** @param {Api} api */
function processes(api) {
  return new Section('processes', () => api.processes(), ({ kind, instance, queueClass, slots, running, seenSeconds, live }) => {
    const element = row({
      name: `${kind}${queueClass === null ? '' : `, ${queueClass}`}${live ? '' : ': silent'}`,
      facts: [
        ['Seen', `${seconds(seenSeconds)} ago`], kind === 'worker' ? ['In flight', `${count(running)} of ${count(slots)}`] : null, ['Process', instance],
      ],
    });
    element.dataset.silent = String(!live);
    return element;
  }, 'No process was heard of in the last day.');
}

/** @param {Api} api */
function audit(api) {
  return new Section('audit', ({ action, actor, subject }, cursor) => api.audit({ action, actor, subject, cursor }),
    ({ at, actor, action, subject, requestId, facts }) => row({
      name: action,
      facts: [
        ['At', moment(Date.parse(at))], ['Actor', actor], ['Subject', subject], ...Object.entries(facts).map(([name, value]) => /** @type {[string, string]} */ ([name, String(value)])),
        ['Request', requestId],
      ],
    }), 'No such notes.');
}

/** @param {string} title @param {string} text @param {() => Promise<Answer>} act @returns {Promise<Answer|null>} */
async function sure(title, text, act) {
  return (await ask({ title, text, yes: 'Cancel it', no: 'Leave it' })) ? act() : null;
}
