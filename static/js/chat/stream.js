/** Streams: server-sent events read by `fetch`, because an `EventSource` cannot say who asks. @module */

/** @typedef {{id: string, event: string, data: string}} StreamEvent */

/**
 * The events of an answer, as they come.
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<StreamEvent>}
 */
export async function* events(body) {
  const reader = body.pipeThrough(/** @type {any} */ (new TextDecoderStream())).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    rest += value;
    const parts = rest.split('\n\n');
    rest = parts.pop() ?? '';
    for (const part of parts) {
      const event = parseEvent(part);
      if (event !== null) yield event;
    }
  }
}

/** @param {string} text one event @returns {StreamEvent|null} null: a comment, or nothing with data */
export function parseEvent(text) {
  const event = { id: '', event: 'message', data: '' };
  for (const line of text.split('\n')) {
    const [, field, value] = /^(id|event|data): ?(.*)$/.exec(line) ?? [];
    if (field === 'data') event.data += (event.data === '' ? '' : '\n') + value;
    else if (field === 'id' || field === 'event') event[field] = value;
  }
  return event.data === '' ? null : event;
}

/**
 * Open a stream as whoever is signed in.
 * @param {import('../session.js').Session} session
 * @param {string} path
 * @param {{signal: AbortSignal, lastEventId: string}} how
 */
export async function openStream(session, path, { signal, lastEventId }) {
  /** @type {Record<string, string>} */
  const resume = lastEventId === '' ? {} : { 'Last-Event-ID': lastEventId };
  const ask = () => fetch(path, { signal, headers: { Authorization: `Bearer ${session.token}`, ...resume } });
  const response = await ask();
  if (response.status !== 401) return response;
  // Any request renews a token that has run out.
  await session.send('/api/me', { timeoutMs: 10_000 });
  return ask();
}
