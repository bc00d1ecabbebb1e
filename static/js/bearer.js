/** Bearer: the access token on a request, and whether an answer is about it. @module */

/** @typedef {import('./types.js').Answer} Answer */
/** @typedef {import('./types.js').Ask} Ask */

/**
 * @param {Ask} ask
 * @param {string|null} token
 * @returns {Ask}
 */
export function withToken(ask, token) {
  return token === null ? ask : { ...ask, headers: { ...ask.headers, Authorization: `Bearer ${token}` } };
}

/** Whether the credential, or the lack of one, was refused. @param {Answer} answer */
export function isUnauthorized(answer) {
  return answer.kind === 'refused' && answer.status === 401 && ['invalid_token', 'no_token'].includes(answer.problem.code ?? '');
}
