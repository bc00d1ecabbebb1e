/** Me: the one session of this page. @module */

import { Session } from './session.js';

export const session = new Session();
