/** Text: what a message may be, as the server sees it, and how an answer is divided. @module */

/** In characters as the server counts them: code points, not UTF-16 units. */
export const MOST_CHARACTERS = 32_000;
/** The counter appears this far from the limit. */
export const NEAR_LIMIT = 2_000;

/**
 * The message that is sent: no blank lines around it, and nothing that JSON or PostgreSQL cannot hold.
 * @param {string} text
 */
export function clean(text) {
  const whole = /** @type {any} */ (text).toWellFormed?.() ?? text;
  return whole.replaceAll('\0', '').replace(/^(?:[^\S\n]*\n)+/, '').trimEnd();
}

/** @param {string} text */
export function countCharacters(text) {
  let count = text.length;
  for (let i = 0; i < text.length; i += 1) {
    const unit = text.charCodeAt(i);
    if (unit >= 0xd800 && unit <= 0xdbff) count -= 1;
  }
  return count;
}

/**
 * What is wrong with a cleaned message, or null.
 * @param {string} message
 */
export function fault(message) {
  if (message.trim() === '') return 'Write a message first.';
  const count = countCharacters(message);
  if (count <= MOST_CHARACTERS) return null;
  const over = count - MOST_CHARACTERS;
  const [most, by] = [MOST_CHARACTERS, over].map((number) => number.toLocaleString('en'));
  return `A message can have ${most} characters; this one is ${by} too long.`;
}

/**
 * The first words of a message, to name it by.
 * @param {string} message
 */
export function excerpt(message) {
  const line = message.trim().replace(/\s+/g, ' ');
  return line.length > 48 ? `${line.slice(0, 46).replace(/\s\S*$/, '')}…` : line;
}

/**
 * @typedef {{kind: 'paragraph'|'code', text: string}} Block
 */

/**
 * An answer's paragraphs and fenced code, in order. Everything else stays as the model wrote it.
 * @param {string} text
 * @returns {Block[]}
 */
export function blocks(text) {
  const parts = text.replace(/\r\n?/g, '\n').split(/^```[^\n`]*\n([\s\S]*?)^```[ \t]*$/m);
  return parts.flatMap((part, index) => (index % 2 === 1 ? [code(part)] : paragraphs(part)));
}

/** @param {string} text @returns {Block} */
function code(text) {
  return { kind: 'code', text: text.replace(/\n$/, '') };
}

/** @param {string} text @returns {Block[]} */
function paragraphs(text) {
  const parts = text.split(/\n[^\S\n]*\n/).map((part) => part.replace(/^\n+|\s+$/g, ''));
  return parts.filter(Boolean).map((part) => ({ kind: 'paragraph', text: part }));
}

/** Without the marks that Markdown makes headings, emphasis and code of. @param {string} text one line of it */
export function unmarked(text) {
  return text.replace(/(^|\s)#{1,6}\s+/g, '$1').replace(/(\*\*|`+)(?=\S)(.+?)\1/g, '$2');
}
