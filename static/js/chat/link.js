/**
 * The link: how this page and the server stand, from all that is known of it. Pure.
 * @module
 */

/**
 * @typedef {'live'|'polling'|'connecting'|'reconnecting'|'degraded'|'offline'} LinkKind
 * @typedef {{kind: LinkKind, label: string, banner: string}} Link an empty banner: nothing worth a line
 */

const PARTS = { database: 'The database', redis: 'The live service', ai: 'The AI' };

/**
 * @param {Object} so
 * @param {boolean} so.online as the browser says
 * @param {import('./socket.js').SocketState|null} so.socket null: there is no gateway
 * @param {boolean} so.answered whether the last request was answered
 * @param {Record<string, any>} so.health what the last ping said: `ok`, `degraded` or `down` of each part
 * @param {number} so.waiting messages that are still to be sent
 * @returns {Link}
 */
export function linkOf({ online, socket, answered, health, waiting }) {
  if (!online) return { kind: 'offline', label: 'Offline', banner: `You are offline. ${kept(waiting)}` };
  if (!answered) return { kind: 'reconnecting', label: 'Reconnecting…', banner: `The server cannot be reached. Trying again. ${kept(waiting)}` };
  const ill = Object.entries(PARTS).filter(([part]) => health[part] === 'down' || health[part] === 'degraded');
  if (ill.length > 0) return { kind: 'degraded', label: 'Limited', banner: ill.map(([part, name]) => complaint(part, name, health[part])).join(' ') };
  if (socket === 'lost') return { kind: 'reconnecting', label: 'Reconnecting…', banner: 'Live updates are interrupted. New messages come a little later until they are back.' };
  if (socket === 'live') return { kind: 'live', label: 'Live', banner: '' };
  if (socket === 'connecting') return { kind: 'connecting', label: 'Connecting…', banner: '' };
  return { kind: 'polling', label: 'Up to date every few seconds', banner: '' };
}

/** @param {string} part @param {string} name @param {string} how */
function complaint(part, name, how) {
  if (part === 'ai') return how === 'down' ? 'The AI is not answering at the moment. Messages to people go through.' : 'The AI is slower than usual.';
  if (part === 'redis') return 'Live updates are limited at the moment; nothing is lost.';
  return how === 'down' ? `${name} is away. What you write is kept here and sent when it is back.` : `${name} is slower than usual.`;
}

/** @param {number} waiting */
function kept(waiting) {
  if (waiting === 0) return 'What you have read stays here, and what you write is sent later.';
  return `${waiting === 1 ? '1 message is' : `${waiting} messages are`} kept and will be sent.`;
}
