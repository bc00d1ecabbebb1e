"""People: accounts that are signed in, in groups of ten. Without passwords, which would take longer than all else."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import text

from api.tokens import Tokens
from models import chats
from models.base import Session
from models.settings import Settings

ROOM = 10
KEY = "a-key-of-the-benchmarks-of-43-characters-123"
"""`TOKEN_KEY` of the product that is measured."""
TOKEN_SECONDS = 86_400

_USERS = text("""
    INSERT INTO users (id, username, display_name)
    SELECT id, 'u-' || left(CAST(id AS text), 8) || right(CAST(id AS text), 8), 'Somebody'
    FROM unnest(CAST(:ids AS uuid[])) AS id
""")
_SESSIONS = text("""
    INSERT INTO sessions (id, user_id, expires_at)
    SELECT id, user_id, clock_timestamp() + interval '1 day'
    FROM unnest(CAST(:ids AS uuid[]), CAST(:users AS uuid[])) AS given (id, user_id)
""")


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody with a token and a group."""

    user_id: str
    token: str
    chat: str


def people(ours: Settings, number: int) -> Sequence[Person]:
    """So many, in groups of `ROOM`. The database of this process is open."""
    users, sessions = ([str(uuid.uuid4()) for _ in range(number)] for _ in range(2))
    tokens = Tokens(replace(ours, token_key=KEY, access_seconds=TOKEN_SECONDS))
    with Session.begin() as session:
        session.execute(_USERS, {"ids": users})
        session.execute(_SESSIONS, {"ids": sessions, "users": users})
    found = []
    for first in range(0, number, ROOM):
        members = users[first : first + ROOM]
        with Session.begin() as session:
            chat = chats.create_group(session, user_id=members[0], title="Room", member_ids=members[1:], key=KEY)
        for user_id, session_id in zip(members, sessions[first:], strict=False):
            token = tokens.sign(user_id=user_id, session_id=session_id)
            found.append(Person(user_id=user_id, token=token, chat=chat))
    return found
