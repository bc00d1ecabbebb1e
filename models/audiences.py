"""Audiences: who is to hear of what happens in chats, asked of many chats at once.

For a process that holds the sockets of some users. Who may read a message is asked when it is delivered, after it was
read: so nobody who was removed before is among them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from models import messages
from models.base import Bare

MOST_ROOMS = 5_000
"""Of one user, those in which something was said last; what happens in others is seen when they are read."""
MOST_NEWS = 200
"""Messages of one chat at once."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A user in a chat, and how far the chat has come."""

    chat_id: str
    user_id: str
    joined_seq: int | None
    """They see what is above; None: they are not in it."""
    last_seq: int
    last_change_seq: int


_ROOMS = text("""
    SELECT chats.id::text AS chat_id, user_id::text AS user_id, joined_seq, last_seq, last_change_seq
    FROM chat_members JOIN chats ON chats.id = chat_id WHERE user_id = CAST(:user_id AS uuid)
    ORDER BY last_message_at DESC, chats.id DESC LIMIT :most
""")
_PLACES = text("""
    SELECT asked.chat_id::text AS chat_id, asked.user_id::text AS user_id, joined_seq,
           COALESCE(last_seq, 0) AS last_seq, COALESCE(last_change_seq, 0) AS last_change_seq
    FROM unnest(CAST(:chat_ids AS uuid[]), CAST(:user_ids AS uuid[])) AS asked (chat_id, user_id)
    LEFT JOIN chats ON chats.id = asked.chat_id
    LEFT JOIN chat_members ON chat_members.chat_id = asked.chat_id AND chat_members.user_id = asked.user_id
""")
_NEWS = text(f"""
    SELECT {messages.SHOWN} FROM unnest(CAST(:chat_ids AS uuid[]), CAST(:since AS bigint[])) AS asked (id, since)
    CROSS JOIN LATERAL (
        SELECT * FROM messages WHERE messages.chat_id = asked.id AND messages.change_seq > asked.since
        ORDER BY messages.change_seq LIMIT {MOST_NEWS}
    ) AS m ORDER BY m.chat_id, m.change_seq
""")  # noqa: S608
# One statement, so one moment: whoever had been removed before a message was said is not among its readers. They stand
# in the first row of each chat. Prepared, because planning it for all partitions costs more than running it.
_TOLD = text(f"""
    WITH readers AS MATERIALIZED (
        SELECT chat_id, jsonb_object_agg(user_id, joined_seq) AS joined FROM chat_members
        WHERE chat_id = ANY(CAST(:chat_ids AS uuid[])) AND user_id = ANY(CAST(:user_ids AS uuid[])) GROUP BY chat_id
    )
    SELECT {messages.SHOWN}, CASE WHEN place = 1 THEN joined END AS readers,
           GREATEST(0, CAST(EXTRACT(EPOCH FROM clock_timestamp() - m.created_at) AS float8)) AS age_seconds
    FROM unnest(CAST(:chat_ids AS uuid[]), CAST(:since AS bigint[])) AS asked (id, since)
    CROSS JOIN LATERAL (
        SELECT *, row_number() OVER (ORDER BY messages.change_seq) AS place FROM messages
        WHERE messages.chat_id = asked.id AND messages.change_seq > asked.since
        ORDER BY messages.change_seq LIMIT {MOST_NEWS}
    ) AS m LEFT JOIN readers ON readers.chat_id = m.chat_id ORDER BY m.chat_id, m.change_seq
""").execution_options(prepared=True)  # noqa: S608
_MEMBERS = text("SELECT user_id::text AS user_id FROM chat_members WHERE chat_id = CAST(:chat_id AS uuid) ORDER BY 1")
_NEAR = text("""
    SELECT DISTINCT others.user_id::text AS user_id FROM chat_members AS mine
    JOIN chat_members AS others ON others.chat_id = mine.chat_id
    WHERE mine.user_id = CAST(:user_id AS uuid) AND others.user_id = ANY(CAST(:user_ids AS uuid[]))
""")
_MEMBERSHIPS = text("""
    SELECT chat_id::text AS chat_id, user_id::text AS user_id FROM chat_members
    WHERE user_id = ANY(CAST(:user_ids AS uuid[]))
""")
_MOVED = text("""
    SELECT chats.id::text AS chat_id
    FROM unnest(CAST(:chat_ids AS uuid[]), CAST(:since AS bigint[])) AS asked (id, since)
    JOIN chats ON chats.id = asked.id WHERE last_change_seq > since
""")


def rooms(session: Bare, user_id: str) -> list[Place]:
    """All chats that somebody is in, up to `MOST_ROOMS`."""
    found = session.execute(_ROOMS, {"user_id": user_id, "most": MOST_ROOMS}).mappings().all()
    return [Place(**row) for row in found]


def places(session: Bare, asked: Collection[tuple[str, str]]) -> list[Place]:
    """Where these users stand in these chats, by ``(chat_id, user_id)``."""
    given = {"chat_ids": [chat_id for chat_id, _ in asked], "user_ids": [user_id for _, user_id in asked]}
    return [Place(**row) for row in session.execute(_PLACES, given).mappings().all()]


def news(session: Bare, since: Mapping[str, int]) -> Sequence[Mapping[Any, Any]]:
    """What has happened to the messages of these chats behind a ``change_seq`` each, by chat and in that order."""
    given = {"chat_ids": list(since), "since": list(since.values())}
    return session.execute(_NEWS, given).mappings().all()


Readers = dict[tuple[str, str], int]


def told(session: Bare, since: Mapping[str, int], user_ids: Collection[str]) -> tuple[list[dict[str, Any]], Readers]:
    """The same, and which of these users are in the chats of which there is any: ``joined_seq`` by chat and user."""
    given = {"chat_ids": _array(since), "since": _array(since.values()), "user_ids": _array(user_ids)}
    rows, readers = session.execute(_TOLD, given).all(), {}
    for row in rows:
        for user_id, joined_seq in (row.pop("readers") or {}).items():
            readers[row["chat_id"], user_id] = joined_seq
    return rows, readers


def _array(values: Iterable[object]) -> str:
    """Ids or numbers as PostgreSQL writes an array: of a list it would not know the type, where it is prepared."""
    return "{" + ",".join(map(str, values)) + "}"


def members(session: Bare, chat_id: str) -> list[str]:
    """Ids of who is in a chat."""
    return [row["user_id"] for row in session.execute(_MEMBERS, {"chat_id": chat_id}).mappings().all()]


def near(session: Bare, user_id: str, user_ids: Collection[str]) -> list[str]:
    """Those of these users who share a chat with somebody."""
    found = session.execute(_NEAR, {"user_id": user_id, "user_ids": list(user_ids)}).mappings().all()
    return [row["user_id"] for row in found]


def memberships(session: Bare, user_ids: Collection[str]) -> list[tuple[str, str]]:
    """Who of these is where: ``(chat_id, user_id)``."""
    found = session.execute(_MEMBERSHIPS, {"user_ids": list(user_ids)}).mappings().all()
    return [(row["chat_id"], row["user_id"]) for row in found]


def moved(session: Bare, since: Mapping[str, int]) -> list[str]:
    """Those of these chats in which something has happened behind a ``change_seq``."""
    given = {"chat_ids": list(since), "since": list(since.values())}
    return [row["chat_id"] for row in session.execute(_MOVED, given).mappings().all()]
