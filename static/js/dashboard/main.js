/** The dashboard: the wiring. @module */

import { Account } from '../account.js';
import { observe } from '../clock.js';
import { byId, setText } from '../dom.js';
import { Form } from '../form.js';
import { moment } from '../format.js';
import { listen } from '../http.js';
import { session } from '../me.js';
import { formText } from '../wording.js';
import { operatorApi } from './api.js';
import { Charts } from './charts.js';
import { Letters } from './letters.js';
import { fill, latencyRows, modelRows } from './numbers.js';
import { Operator } from './operator.js';
import { sections } from './sections.js';

const POLL_MS = 5_000;
/** As often as a sample comes, or nearly. */
const CHARTS_MS = 30_000;

const operator = new Operator(session);
const api = operatorApi((path, ask) => operator.send(path, ask));
const charts = new Charts(api);
const letters = new Letters(api, () => look());
const folded = sections(api, () => look());
const account = new Account(session);
const token = new Form({
  id: 'token', button: 'Open', busy: 'Opening…',
  fields: [{ name: 'token', label: 'Operator token', type: 'password', hint: 'ADMIN_TOKEN; make run keeps it in .data/admin-token.' }],
  submit: async (values) => enter(values.token.trim()),
  blame: { invalid_token: 'token', no_token: 'token', forbidden: 'token' },
  done: () => token.clear(),
});

/** @type {ReturnType<typeof setTimeout>|undefined} */
let timer;
let isOpen = false;
let chartsAt = 0;
let turn = 0;

/** Ask with the token from now on, if it is good. @param {string} given */
async function enter(given) {
  operator.use(given);
  const answer = await api.now();
  if (answer.kind === 'ok') show(answer.data);
  else operator.use(null);
  return answer;
}

/** Ask how things stand, and again after a while. */
async function look() {
  clearTimeout(timer);
  if (!operator.isSomebody || document.visibilityState === 'hidden') return;
  const mine = ++turn;
  const answer = await api.now();
  if (mine !== turn || !operator.isSomebody) return;
  if (answer.kind === 'ok') show(answer.data);
  else if (answer.kind === 'refused') shut(answer.status === 403 ? 'Your account may not see this: it needs the role of an operator.' : formText(answer));
  else {
    setText(byId('updated'), `${formText(answer)} The page keeps trying.`);
    byId('updated').dataset.kind = 'trouble';
  }
  if (answer.kind !== 'refused') timer = setTimeout(look, POLL_MS);
}

/** @param {Record<string, any>} now */
function show(now) {
  fill(document.body, now);
  byId('models').replaceChildren(...modelRows(now));
  byId('latency').replaceChildren(...latencyRows(now));
  byId('unsampled').hidden = now.recent !== null;
  setText(byId('updated'), `As of ${moment(Date.now())}`);
  byId('updated').dataset.kind = 'well';
  if (!isOpen) open();
  if (performance.now() - chartsAt >= CHARTS_MS) {
    chartsAt = performance.now();
    charts.load();
  }
}

function open() {
  isOpen = true;
  chartsAt = -CHARTS_MS;
  byId('entry').hidden = true;
  byId('board').hidden = false;
  byId('leave').hidden = !operator.hasToken;
  byId('account').hidden = operator.hasToken;
  letters.load();
  clearTimeout(timer);
  timer = setTimeout(look, POLL_MS);
}

/** Nothing is to be seen any more. @param {string} why */
function shut(why) {
  turn += 1;
  isOpen = false;
  clearTimeout(timer);
  operator.use(null);
  letters.clear();
  for (const section of folded) section.clear();
  fill(document.body, null);
  byId('board').hidden = byId('leave').hidden = true;
  byId('account').hidden = false;
  byId('entry').hidden = false;
  setText(byId('entry-why'), why);
}

function update() {
  if (operator.hasToken) return;
  byId('entry-account').hidden = session.state === 'user' || session.state === 'starting';
  if (session.state === 'user') look();
  else if (isOpen) shut(session.state === 'ended' ? 'Your session has ended. Sign in again.' : '');
}

byId('entry-token').append(token.element);
byId('entry-sign-in').addEventListener('click', () => account.open());
byId('leave').addEventListener('click', () => {
  shut('');
  update();
});
document.addEventListener('visibilitychange', look);
listen(observe);
session.listen(update);
update();
session.start();
