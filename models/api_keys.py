"""API keys: what a script signs in with. Shown once; only a hash is kept."""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
import secrets
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, Text, Uuid, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import clock
from models.account_errors import KeyNotFound, TooManyKeys, UserNotFound
from models.base import Base
from models.touched import revoked

BEGINNING = "parley_"
"""Of every key, so that scanners of repositories and logs can find one."""
PREFIX_CHARACTERS = 14
MOST_KEYS = 50
KEPT_DAYS = 30
"""Revoked or expired ones: so that whoever finds one in a log can still learn whose it was."""


class Scope(enum.StrEnum):
    """What a key may be used for, at most: never for more than its user may."""

    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    CHATS_READ = "chats:read"
    CHATS_WRITE = "chats:write"
    ADMIN = "admin"
    """What the user may as an operator or an admin."""


class ApiKey(Base):
    """One key of one user."""

    __tablename__ = "api_keys"
    __table_args__ = (
        Index("uq_api_keys_key_hash", "key_hash", unique=True),
        Index("ix_api_keys_user_id", "user_id", "created_at", "id"),
        Index("ix_api_keys_prefix", "prefix", postgresql_where=text("revoked_at IS NULL")),
        Index("ix_api_keys_ended", text("LEAST(revoked_at, expires_at)")),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    user_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(Text)
    prefix: Mapped[str] = mapped_column(Text)
    """How the key begins, for finding it again when one turns up where it should not be."""
    key_hash: Mapped[bytes] = mapped_column(LargeBinary)
    """SHA-256 of the whole."""
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    created_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())
    expires_at: Mapped[dt.datetime | None]
    last_used_at: Mapped[dt.datetime | None]
    """To the minute."""
    revoked_at: Mapped[dt.datetime | None]


_SHOWN = "id::text AS id, name, prefix, scopes, created_at, expires_at, last_used_at"
_LOCK = text("SELECT id FROM users WHERE id = CAST(:user_id AS uuid) AND deleted_at IS NULL FOR UPDATE")
_COUNT = text("SELECT count(*) FROM api_keys WHERE user_id = CAST(:user_id AS uuid) AND revoked_at IS NULL")
_CREATE = text(f"""
    INSERT INTO api_keys (id, user_id, name, prefix, key_hash, scopes, expires_at)
    SELECT CAST(:id AS uuid), users.id, :name, :prefix, :key_hash, CAST(:scopes AS text[]), :expires_at
    FROM users WHERE id = CAST(:user_id AS uuid) AND deleted_at IS NULL
    RETURNING {_SHOWN}
""")  # noqa: S608


def create(
    session: Session, user_id: str, *, name: str, scopes: Sequence[Scope], expires_at: dt.datetime | None
) -> tuple[str, Mapping[Any, Any]]:
    """Make a key: ``(the key, which nobody can be told again, what is shown of it)``.

    Raises:
        UserNotFound: there is no such user any more.
        TooManyKeys: the user has enough of them.
    """
    # Two at once are counted one after the other.
    if session.execute(_LOCK, {"user_id": user_id}).one_or_none() is None:
        raise UserNotFound
    if session.execute(_COUNT, {"user_id": user_id}).scalar_one() >= MOST_KEYS:
        raise TooManyKeys(MOST_KEYS)
    key = BEGINNING + secrets.token_urlsafe(32)
    given: dict[str, object] = {"id": str(uuid.uuid4()), "user_id": user_id, "name": name, "expires_at": expires_at}
    given |= {"prefix": key[:PREFIX_CHARACTERS], "key_hash": hashlib.sha256(key.encode()).digest()}
    return key, session.execute(_CREATE, {**given, "scopes": [scope.value for scope in scopes]}).mappings().one()


_ALL = text(f"""
    SELECT {_SHOWN} FROM api_keys WHERE user_id = CAST(:user_id AS uuid) AND revoked_at IS NULL
    ORDER BY created_at, id
""")  # noqa: S608
_REVOKE = text("""
    UPDATE api_keys SET revoked_at = clock_timestamp()
    WHERE id = CAST(:id AS uuid) AND user_id = CAST(:user_id AS uuid) AND revoked_at IS NULL RETURNING prefix
""")


def of_user(session: Session, user_id: str) -> Sequence[Mapping[Any, Any]]:
    """A user's keys that are not revoked, `MOST_KEYS` at most."""
    return session.execute(_ALL, {"user_id": user_id}).mappings().all()


def revoke(session: Session, key_id: str, *, user_id: str) -> None:
    """End a key.

    Raises:
        KeyNotFound: it is none of this user's, or has been revoked before.
    """
    if session.execute(_REVOKE, {"id": key_id, "user_id": user_id}).one_or_none() is None:
        raise KeyNotFound
    revoked(session, user_id)


_PRUNE = text(f"""
    DELETE FROM api_keys WHERE id = ANY(ARRAY(
        SELECT id FROM api_keys
        WHERE LEAST(revoked_at, expires_at) < statement_timestamp() - interval '{KEPT_DAYS} days'
        LIMIT :most FOR UPDATE SKIP LOCKED))
""")  # noqa: S608


def prune(session: Session, *, most: int) -> int:
    """Delete up to ``most`` that ended `KEPT_DAYS` ago; how many there were."""
    return session.execute(_PRUNE, {"most": most}).rowcount  # type: ignore[attr-defined,no-any-return]
