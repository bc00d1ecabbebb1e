/** The statuses of a job, in the groups that matter here. Their names are the API's own. @module */

export const UNFINISHED = new Set(['created', 'retrying', 'processing', 'analyzing']);
export const FINAL = new Set(['completed', 'failed', 'cancelled']);

/** Finished for good. A failed job may be redriven by an operator. */
export const SETTLED = new Set(['completed', 'cancelled']);
