/**
 * Types of chats: the shapes that pass between the modules. Nothing here runs.
 *
 * @typedef {import('../types.js').Answer} Answer
 * @typedef {import('../types.js').Problem} Problem
 *
 * @typedef {Object} Chat as `GET /api/chats` lists it
 * @property {string} chatId
 * @property {'ai'|'1_to_1'|'group'} type
 * @property {string|null} title
 * @property {{userId: string, displayName: string}|null} other
 * @property {'always'|'mention'|'off'} aiMode
 * @property {'all'|'admins'} aiCallers
 * @property {'member'|'admin'} role
 * @property {boolean} muted
 * @property {number} lastSeq
 * @property {number} lastReadSeq
 * @property {number} unread
 * @property {boolean} unreadCapped
 * @property {string} lastMessageAt
 * @property {string|null} lastMessagePreview
 *
 * @typedef {Object} Message
 * @property {string} chatId
 * @property {number} seq
 * @property {string} senderId
 * @property {boolean} isAi
 * @property {string} content
 * @property {string} clientMsgId
 * @property {number|null} replyTo
 * @property {'complete'|'stopped'} status
 * @property {string|null} jobId
 * @property {string} createdAt
 * @property {string|null} editedAt
 * @property {string|null} deletedAt
 * @property {number} changeSeq
 *
 * @typedef {Object} MessagesPage
 * @property {Message[]} items
 * @property {number|null} before
 * @property {number|null} after
 * @property {number} lastChangeSeq
 *
 * @typedef {Object} Member
 * @property {string} userId
 * @property {string} displayName
 * @property {boolean} isAi
 * @property {'member'|'admin'} role
 * @property {number} lastReadSeq
 *
 * @typedef {Object} Unsent a message that the server has not confirmed yet
 * @property {string} clientMsgId
 * @property {string} chatId of a chat, or of one that its first message makes
 * @property {string} content
 * @property {number|null} replyTo
 * @property {number} addedAt
 * @property {'queued'|'sending'|'waiting'|'failed'} state
 * @property {string} [why] it failed
 *
 * @typedef {Object} Speech an answer of the AI that is being made
 * @property {string} jobId
 * @property {string} status
 * @property {number} attempt
 * @property {string} text
 * @property {string} [error]
 *
 * @typedef {{online: boolean, lastSeenAt: string|null}} Presence
 */

export {};
