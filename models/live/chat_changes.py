"""Chat changes: what a commit has changed in chats, told to the cache before whoever made it is answered.

Verbs note what they touch (`models.touched`); once their session has committed, it goes to Redis from here. So no verb
and no door can forget to, the cache never holds what the database lacks, and who reads after an answer reads what was
answered. Redis away costs one short wait now and then, and the entries of before (`models.live.circuit`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import event, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session as OrmSession

from models import logs, messages
from models.base import Session, bare
from models.live import chat_scripts as scripts
from models.live.broadcast import Broadcast
from models.live.chat_cache import ChatCache, encoded, leased, members_of, messages_of, rooms_of, unread_of
from models.live.circuit import GENERATION
from models.settings import Settings
from models.touched import Kind, Touch, changed_in, revoked_in

log = logs.logger()

_MEMBERS = text("SELECT user_id::text AS id FROM chat_members WHERE chat_id = CAST(:chat_id AS uuid) ORDER BY user_id")
_CHANGES = text(f"""
    SELECT {messages.SHOWN} FROM messages AS m WHERE m.chat_id = CAST(:chat_id AS uuid) AND m.change_seq > :version
    ORDER BY m.change_seq LIMIT :limit
""")  # noqa: S608
MOST_COUNTED = 20
"""Messages in one transaction that are counted one by one."""
_OF_MESSAGES = frozenset({Kind.POSTED, Kind.EDITED, Kind.DELETED})


def members_in(chat_id: str) -> list[str]:
    """Ids of who is in a chat, as PostgreSQL knows them."""
    with bare() as session:
        return [row["id"] for row in session.execute(_MEMBERS, {"chat_id": chat_id}).all()]


class ChatChanges:
    """Tells one cache."""

    def __init__(self, cache: ChatCache) -> None:
        self._cache = cache

    def tell(self, touches: Sequence[Touch]) -> None:
        """Have the cache know of them. Never fails."""
        versions: dict[str, int | None] = {}
        try:
            counted = [touch for touch in touches if touch.kind in (Kind.POSTED, Kind.READ)]
            if len(counted) > MOST_COUNTED:  # all at once: they are best counted anew
                self._forget([*touches, *(replace(touch, kind=Kind.DELETED) for touch in counted)])
            else:
                self._forget(touches)
                for touch in counted:
                    if touch.kind is Kind.POSTED:
                        versions[touch.chat_id] = self._posted(touch)
                    else:
                        self._count(touch)
            for chat_id in dict.fromkeys(touch.chat_id for touch in touches if touch.kind in _OF_MESSAGES):
                self._advance(chat_id, versions[chat_id] if chat_id in versions else self._version(chat_id))
        except SQLAlchemyError as error:
            # What it holds cannot be brought up to date, so it must go.
            log.warning("chats_not_cached", error=type(error).__name__)
            self._cache.circuit.fall_behind()

    def _forget(self, touches: Sequence[Touch]) -> None:
        """Drop what is best read anew, and every lease on it."""
        distinct = dict.fromkeys(replace(touch, seq=None) for touch in touches)
        entries = dict.fromkeys(entry for touch in distinct for entry in self._outdated(touch))
        if entries:
            gone = [key for entry in entries for key in _both(entry)]
            self._cache.circuit.tell(lambda redis: redis.delete(*gone))

    def _outdated(self, touch: Touch) -> list[str]:
        chat_id, user_id = touch.chat_id, touch.user_id
        if touch.kind is Kind.CHAT:
            return [messages_of(chat_id)]
        if touch.kind is Kind.MUTED:
            return [rooms_of(str(user_id))]
        if touch.kind is Kind.DELETED:
            return [unread_of(member, chat_id) for member in self._members(chat_id)]
        if touch.kind in (Kind.MEMBERS, Kind.ERASED):
            # Of whom, or of all: those from before are in the entry, those from now on in the table.
            concerned = [user_id] if user_id else {*self._members(chat_id), *members_in(chat_id)}
            of_each = [entry for each in concerned for entry in (rooms_of(each), unread_of(each, chat_id))]
            return [messages_of(chat_id), members_of(chat_id), *of_each]
        return []

    def _posted(self, touch: Touch) -> int | None:
        """Count a message for each member; the version of what is kept of its chat, if anything is."""
        chat_id, entry = touch.chat_id, messages_of(touch.chat_id)
        keys = (GENERATION, members_of(chat_id), entry, leased(entry))
        around = unread_of("\0", chat_id).split("\0")
        found: list[Any] = []
        given: tuple[Any, ...] = (touch.seq or 0, touch.user_id or "", *around)
        self._cache.circuit.tell(lambda redis: found.extend(redis.eval(scripts.POSTED, len(keys), *keys, *given)))
        if found and not found[0]:
            self._count(touch)  # who is in it was not known
        return int(found[1]) if found and found[1] is not None else None

    def _count(self, touch: Touch) -> None:
        """What is new to each of its members."""
        chat_id, seq, reader = touch.chat_id, touch.seq or 0, touch.user_id
        others = [each for each in self._members(chat_id) if each != reader] if touch.kind is Kind.POSTED else []
        keys = [GENERATION, *(key for each in others for key in _both(unread_of(each, chat_id)))]

        def count(redis: Any) -> None:
            pipeline = redis.pipeline(transaction=False)
            if others:
                pipeline.eval(scripts.COUNT, len(keys), *keys, seq)
            if reader:
                pipeline.eval(scripts.READ_UP_TO, 3, GENERATION, *_both(unread_of(reader, chat_id)), seq)
            pipeline.execute()

        self._cache.circuit.tell(count)

    def _version(self, chat_id: str) -> int | None:
        """Of what is kept of a chat, if anything is."""
        entry = messages_of(chat_id)

        def look(redis: Any) -> Any:
            pipeline = redis.pipeline(transaction=False)
            pipeline.delete(leased(entry))  # first: what was read before this commit is stored no more
            pipeline.hget(entry, "version")
            return pipeline.execute()

        found: list[Any] = []
        self._cache.circuit.tell(lambda redis: found.extend(look(redis)))
        return int(found[1]) if found and found[1] is not None else None

    def _advance(self, chat_id: str, version: int | None) -> None:
        """Write the messages through, if the chat's newest are kept."""
        if version is None:
            return
        entry, most = messages_of(chat_id), self._cache.most_messages
        with bare() as session:
            given = {"chat_id": chat_id, "version": version, "limit": most + 1}
            rows = session.execute(_CHANGES, given).all()
        if len(rows) > most:
            self._cache.circuit.tell(lambda redis: redis.delete(entry))
        elif rows:
            newest = max(row["seq"] for row in rows)
            fields = [value for row in rows for value in (row["seq"], encoded(row))]
            advanced = (entry, version, rows[-1]["change_seq"], most, newest, *fields)
            self._cache.circuit.tell(lambda redis: redis.eval(scripts.ADVANCE, 1, *advanced))

    def _members(self, chat_id: str) -> Sequence[str]:
        return self._cache.members(chat_id, lambda: members_in(chat_id))


def _both(entry: str) -> tuple[str, str]:
    """An entry and its lease."""
    return entry, leased(entry)


class _Process:
    """Whom this process's `Session` tells."""

    changes: ChatChanges | None = None
    broadcast: Broadcast | None = None


def cache_from_now_on(settings: Settings) -> ChatCache:
    """The cache of this process, told of every commit of its `Session`; and after it whoever listens elsewhere."""
    cache = ChatCache(settings)
    _Process.changes = ChatChanges(cache)
    _Process.broadcast = Broadcast(settings, members_in=members_in)
    return cache


def broadcast() -> Broadcast:
    """This process's."""
    assert _Process.broadcast is not None, "cache_from_now_on comes first"
    return _Process.broadcast


def forget() -> None:
    """Tell nobody any more."""
    _Process.changes = _Process.broadcast = None


@event.listens_for(Session, "after_commit")
def _committed(session: OrmSession) -> None:
    touches = changed_in(session)
    gone = revoked_in(session)
    if touches and _Process.changes is not None:
        _Process.changes.tell(touches)
    if _Process.broadcast is not None:  # second: who reads because of it must not find what was before
        _Process.broadcast.tell(touches)
        for user_id in gone:
            _Process.broadcast.say_to_user(user_id, {"kind": "revoked"})
