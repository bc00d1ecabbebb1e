"""The notifier: tells people of messages that they have not seen come, by whatever sender there is.

    claim (a transaction) ──▶ who is online (Redis) ──▶ send (no transaction) ──▶ note it (a transaction)

At least once: whoever dies after sending and before noting it has it sent again a minute later, under the same name.
A receiver that answers nobody is not asked for each message: the first failure ends the round, what was claimed with it
is given back untried, and the next round comes some seconds later.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy.orm import Session as OrmSession

from models import logs, notifications
from models.base import Session
from models.live.presence import ASKED_AT_ONCE, Presences
from models.notifications import Notice
from tasks.senders import Sender
from tasks.webhook import NotSent, again_after

THREADS = 8
DEFERRED_SECONDS = 30
PAUSE_SECONDS = 1.0
DOWN_SECONDS = 5.0
"""Before another round, when nobody answered."""

log = logs.logger()


@dataclass(frozen=True)
class _Tried:
    notice: Notice
    user_ids: Sequence[str]
    failure: NotSent | None = None
    was_sent: bool = False
    """Neither: it was not tried."""


class Notifier:
    """One for each dispatcher."""

    def __init__(self, sender: Sender, presences: Presences) -> None:
        self._sender, self._presences = sender, presences
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="notifier")

    def tick(self) -> float:
        """Send what is due, as much as is claimed at once; seconds to rest."""
        with Session.begin() as session:
            claimed = notifications.claim(session, most=self._sender.at_once)
        if not claimed:
            return PAUSE_SECONDS
        online = self._online({user_id for notice in claimed for user_id in notice.user_ids})
        meant = [(notice, [each for each in notice.user_ids if each not in online]) for notice in claimed]
        is_down = threading.Event()
        tried = list(self._threads.map(lambda one: self._try(*one, is_down=is_down), [one for one in meant if one[1]]))
        with Session.begin() as session:
            notifications.done(session, [notice for notice, user_ids in meant if not user_ids])
            notifications.done(session, [one.notice for one in tried if one.was_sent])
            untried = [one.notice for one in tried if not one.was_sent and one.failure is None]
            notifications.defer(session, untried, seconds=DEFERRED_SECONDS)
            for one in tried:
                if one.failure is not None:
                    self._note_failure(session, one, one.failure)
        if is_down.is_set():
            return DOWN_SECONDS
        return 0.0 if len(claimed) == self._sender.at_once else PAUSE_SECONDS

    def _online(self, user_ids: Collection[str]) -> set[str]:
        """Nobody, while Redis does not say: rather told twice than not at all."""
        asked = sorted(user_ids)
        pages = [asked[first : first + ASKED_AT_ONCE] for first in range(0, len(asked), ASKED_AT_ONCE)]
        found = (self._presences.of(page) for page in pages)
        return {user_id for page in found for user_id, presence in page.items() if presence.is_online}

    def _try(self, notice: Notice, user_ids: Sequence[str], *, is_down: threading.Event) -> _Tried:
        if is_down.is_set():
            return _Tried(notice, user_ids)
        try:
            self._sender.send(notice, user_ids)
        except NotSent as failure:
            if failure.is_down:
                is_down.set()
            return _Tried(notice, user_ids, failure)
        return _Tried(notice, user_ids, was_sent=True)

    def _note_failure(self, session: OrmSession, one: _Tried, failure: NotSent) -> None:
        notice, reason = one.notice, str(failure)
        about = {"chat_id": notice.chat_id, "seq": notice.seq, "attempt": notice.attempt, "reason": reason}
        seconds = again_after(failure, attempt=notice.attempt)
        if seconds is None:
            notifications.give_up(session, notice, user_ids=one.user_ids, error=reason)
            log.error("notification_given_up", **about)
            return
        notifications.again(session, notice, user_ids=one.user_ids, error=reason, seconds=seconds)
        log.warning("notification_failed", **about)
