/**
 * Types: the shapes that pass between the modules. Nothing here runs.
 *
 * @typedef {'created'|'processing'|'analyzing'|'retrying'|'completed'|'failed'|'cancelled'} Status
 * @typedef {'chat'|'summarize'} Kind
 *
 * @typedef {Object} Attempt
 * @property {string|null} startedAt when a worker claimed the job
 * @property {string|null} askedAt when the model was given the prompt
 * @property {string|null} finishedAt
 * @property {string|null} outcome
 * @property {string|null} errorCode
 *
 * @typedef {Object} Job what `GET /api/jobs/<id>` answers
 * @property {string} jobId
 * @property {Status} status
 * @property {string} type
 * @property {string} createdAt
 * @property {string} updatedAt
 * @property {string|null} result
 * @property {{code: string, message: string}|null} error
 * @property {number} attempt claims so far
 * @property {number} failures
 * @property {number} maxAttempts
 * @property {string|null} nextAttemptAt
 * @property {string} [deadlineAt]
 * @property {string|null} [runAt]
 * @property {number} [priority] 0 to 9, 5 unless asked for
 * @property {number|null} [queuePosition] while it waits for its turn, from 1
 * @property {number|null} [etaSeconds] until its turn
 * @property {'behind'|'owner_limit'|'backoff'|'scheduled'|'breaker_open'|'budget'|null} [waitReason] while it waits
 * @property {'still_working'|null} [note]
 * @property {string|null} [batchId]
 * @property {string|null} model
 * @property {boolean|null} [degraded] another model than the first choice answered
 * @property {boolean|null} truncated
 * @property {{promptTokens: number, completionTokens: number, totalTokens: number}|null} usage
 * @property {Attempt[]} attempts
 *
 * @typedef {Object} Problem a problem+json body; every field may be missing
 * @property {string} [title]
 * @property {string} [detail]
 * @property {string} [code]
 * @property {string} [requestId]
 * @property {{pointer?: string, code?: string, message?: string}[]} [errors]
 *
 * @typedef {'offline'|'network'|'timeout'|'busy'|'server'|'garbled'|'signed_out'} Reason why a request came to nothing
 *
 * @typedef {Object} Refusal the server read the request and said no
 * @property {number} status
 * @property {Problem} problem
 *
 * @typedef {Object} Trouble the request came to nothing and may be repeated
 * @property {Reason} reason
 * @property {number|null} status
 * @property {Problem} problem
 * @property {number|null} retryAfterMs
 *
 * @typedef {{kind: 'ok', status: number, data: any, retryAfterMs: number|null}
 *   | ({kind: 'refused'} & Refusal)
 *   | ({kind: 'trouble'} & Trouble)} Answer
 *
 * @typedef {RequestInit & {timeoutMs: number}} Ask a request; the time is for the headers and the body together
 * @typedef {(path: string, ask: Ask) => Promise<Answer>} Send
 *
 * @typedef {Object} User what `GET /api/me` answers to somebody with an account
 * @property {string} userId
 * @property {string} username
 * @property {string} displayName
 * @property {'user'|'operator'|'admin'} [role]
 * @property {string} [createdAt]
 *
 * @typedef {'starting'|'guest'|'user'|'ended'|'needed'} SessionState `starting`: not known yet; `ended`: a user's,
 *   who has to sign in again; `needed`: nobody's, at a server that serves no guests
 *
 * @typedef {Object} ApiKey one row of `GET /api/me/keys`
 * @property {string} keyId
 * @property {string} name
 * @property {string} prefix how the key begins
 * @property {string[]} scopes
 * @property {string} createdAt
 * @property {string|null} expiresAt
 * @property {string|null} lastUsedAt
 * @property {string} [key] the whole of it, only when it was made just now
 *
 * @typedef {Trouble & {retryAt: number}} Wait trouble, and when (in `Date.now()` terms) the next try is due
 *
 * @typedef {Object} Entry one message of this browser, as it is kept in localStorage
 * @property {string} id names the entry in this browser only
 * @property {string} key the Idempotency-Key, the same for every try
 * @property {string} message
 * @property {Kind} type
 * @property {number} addedAt
 * @property {string|null} jobId null until the server has accepted the message
 * @property {Refusal|null} refusal
 * @property {Job|null} job as last seen
 * @property {boolean} gone the server no longer knows the job
 *
 * @typedef {{state: 'sending', again: boolean} | {state: 'waiting', again: boolean, wait: Wait}} Sending how an unsent entry is doing;
 *   `again` when it is not the first try
 *
 * @typedef {{state: 'cancelling'} | {state: 'uncancelled', trouble: Trouble}} Cancelling what became of a press on Cancel
 *
 * @typedef {Sending|Cancelling} Doing what this tab is doing about an entry: an unsent one is sent, a sent one cancelled
 */

export {};
