"""Broadcast: what a commit has changed, told to every gateway, one channel for each chat and one for each user.

A message names what has changed and says little of it; what it is now, whoever hears of it reads from PostgreSQL. It
may be lost: whoever listens also looks by itself once it has been away, and so do the pages behind it.

Verbs note what they touch (`models.touched`). Once their session has committed, it is handed to a thread, which
publishes all that has gathered in one go. So nobody waits for Redis. What Redis does not take is kept and sent once it
does, up to a bound.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from models import logs
from models.live import client
from models.settings import Settings
from models.touched import Kind, Touch

CHAT, USER = "chat", "user"
MOST_GATHERED = 20_000
"""While Redis does not take them; more are dropped."""
SENT_AT_ONCE = 500
PAUSE_SECONDS = 1.0
LOG_SECONDS = 30.0

_OF_USERS = frozenset({Kind.MEMBERS, Kind.MUTED, Kind.READ, Kind.ERASED})
"""Kinds that whoever is concerned hears of on a channel of their own, too: they may not listen to the chat's yet."""

log = logs.logger()


def of_chat(settings: Settings, chat_id: str) -> str:
    """The channel of a chat."""
    return client.name(settings, CHAT, chat_id)


def of_user(settings: Settings, user_id: str) -> str:
    """The channel of a user."""
    return client.name(settings, USER, user_id)


class Broadcast:
    """One for each process; its thread starts with the first word, that is, after any fork.

    Args:
        members_in: ids of who is in a chat.
    """

    def __init__(self, settings: Settings, *, members_in: Callable[[str], Iterable[str]]) -> None:
        self._settings, self._members_in = settings, members_in
        self._redis = client.connect(settings)
        self._lock = threading.Lock()
        self._gathered: list[tuple[str, dict[str, Any]]] = []
        self._touches: list[Touch] = []
        self._set = threading.Event()
        self._started = False
        self._logged_at = -LOG_SECONDS

    def tell(self, touches: Sequence[Touch]) -> None:
        """Have these published soon. Never waits, never fails."""
        if not touches:
            return
        with self._lock:
            if len(self._touches) < MOST_GATHERED:
                self._touches.extend(touches)
            self._start()
        self._set.set()

    def say_to_chat(self, chat_id: str, said: Mapping[str, Any]) -> None:
        """Have something said to whoever listens to a chat. Never waits, never fails."""
        self._say(of_chat(self._settings, chat_id), {**said, "chat": chat_id})

    def say_to_user(self, user_id: str, said: Mapping[str, Any]) -> None:
        """Have something said to whoever listens to a user. Never waits, never fails."""
        self._say(of_user(self._settings, user_id), {**said, "user": user_id})

    def _say(self, channel: str, said: dict[str, Any]) -> None:
        with self._lock:
            if len(self._gathered) < MOST_GATHERED:
                self._gathered.append((channel, said))
            self._start()
        self._set.set()

    def _start(self) -> None:
        if not self._started:
            self._started = True
            threading.Thread(target=self._run, name="broadcast", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._set.wait()
            self._set.clear()
            with self._lock:
                touches, self._touches = self._touches, []
                gathered, self._gathered = self._gathered, []
            try:
                # What was said of a message before its commit comes before what is said after it.
                gathered += [(of_chat(self._settings, t.chat_id), as_said(t)) for t in touches]
                gathered += self._to_users(touches)
                touches = []
                while gathered:
                    self._publish(gathered[:SENT_AT_ONCE])
                    gathered = gathered[SENT_AT_ONCE:]
            except (RedisError, OSError, SQLAlchemyError) as error:
                self._keep(touches, gathered)
                self._complain(error)
                time.sleep(PAUSE_SECONDS)
                self._set.set()

    def _to_users(self, touches: Iterable[Touch]) -> list[tuple[str, dict[str, Any]]]:
        """What has to be said on users' channels.

        Raises:
            SQLAlchemyError: nobody knows who they are.
        """
        said = []
        for touch in touches:
            if touch.kind in _OF_USERS:
                # Of a chat that has just been made nobody has been told yet, so they are asked for.
                concerned = [touch.user_id] if touch.user_id else self._members_in(touch.chat_id)
                said += [(of_user(self._settings, each), as_said(touch, to=each)) for each in concerned]
        return said

    def _publish(self, said: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        encoded = [(channel, json.dumps(each, separators=(",", ":"))) for channel, each in said]
        if len(encoded) == 1:  # as mostly; a pipeline for it costs twice as much
            self._redis.publish(*encoded[0])
            return
        pipeline = self._redis.pipeline(transaction=False)
        for each in encoded:
            pipeline.publish(*each)
        pipeline.execute()

    def _keep(self, touches: Sequence[Touch], gathered: Sequence[tuple[str, dict[str, Any]]]) -> None:
        with self._lock:
            self._touches[:0] = touches[:MOST_GATHERED]
            self._gathered[:0] = gathered[:MOST_GATHERED]

    def _complain(self, error: Exception) -> None:
        """Once in a while: what is lost here is found by those who look."""
        if time.monotonic() - self._logged_at > LOG_SECONDS:
            self._logged_at = time.monotonic()
            log.warning("broadcast_waits", error=type(error).__name__)


def as_said(touch: Touch, *, to: str | None = None) -> dict[str, Any]:
    """A touch as it is published.

    >>> as_said(Touch(chat_id="c", kind=Kind.POSTED, seq=3, user_id="u"))
    {'kind': 'posted', 'chat': 'c', 'seq': 3, 'user': 'u'}
    """
    return {"kind": touch.kind.value, "chat": touch.chat_id, "seq": touch.seq, "user": to or touch.user_id}
