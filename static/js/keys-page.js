/** The page of API keys: the wiring. @module */

import { accountApi } from './account-api.js';
import { Account } from './account.js';
import { observe } from './clock.js';
import { byId, setText } from './dom.js';
import { listen } from './http.js';
import { KeyList } from './key-list.js';
import { KeyMaker } from './key-maker.js';
import { session } from './me.js';
import { formText } from './wording.js';

const api = accountApi((path, ask) => session.send(path, ask));
const list = new KeyList(api.revokeKey);
const maker = new KeyMaker(api.makeKey, (key) => list.add(key));
const account = new Account(session);

async function load() {
  list.say('Loading…');
  const whose = session.who?.userId;
  const answer = await api.fetchKeys();
  if (session.who?.userId !== whose) return;
  if (answer.kind === 'ok') list.show(answer.data.items);
  else list.say(formText(answer));
}

/** Whose keys are they, if anybody's? @type {string|null} */
let shown = null;

function update() {
  const { state, user } = session;
  const signedIn = state === 'user';
  byId('keys-own').hidden = !signedIn;
  byId('keys-guest').hidden = signedIn || state === 'starting';
  setText(byId('keys-why'), state === 'ended' ? 'Your session has ended. Sign in again to see your keys.'
    : 'API keys belong to an account. Sign in or register to make one.');
  if (shown === (user?.userId ?? null)) return;
  shown = user?.userId ?? null;
  list.say('');
  maker.reset(user?.role);
  if (signedIn) load();
}

byId('keys-list').append(list.element);
byId('keys-make').append(maker.element);
byId('keys-sign-in').addEventListener('click', () => account.open());
listen(observe);
session.listen(update);
update();
session.start();
