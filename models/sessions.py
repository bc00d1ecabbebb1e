"""Sessions: who is signed in where. A session is one family of refresh tokens; revoking it ends them all.

A refresh token is good once; what it is exchanged for follows from it and a key of
the server's (`api.tokens`). So two tabs that renew at once, or a page that did not
hear the answer, get the same successor if they ask within `REPLAY_SECONDS`: the
family never forks. Whatever is used again later, or after its successor was used,
is in two hands. Then nobody can tell whose they are, and the session ends.

Source: RFC 9700, "Best Current Practice for OAuth 2.0 Security", 4.14.2.
"""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, Uuid, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import clock, principals
from models.base import Base
from models.touched import revoked

REPLAY_SECONDS = 10
MOST_SESSIONS = 50
"""Of one user; the oldest ends when one more begins."""
LONGEST_DAYS = 365
"""However often it is renewed."""
DAY_SECONDS = 86_400


class UserSession(Base):
    """One sign-in on one device, until it is signed out, expires, or an old refresh token comes back."""

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_user_id", "user_id", "created_at", "id"),
        Index("ix_sessions_expires_at", "expires_at"),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    user_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())
    expires_at: Mapped[dt.datetime]
    revoked_at: Mapped[dt.datetime | None]


class RefreshToken(Base):
    """What a session is prolonged with, once."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (
        Index("ix_refresh_tokens_session_id", "session_id"),
        Index("ix_refresh_tokens_used_at", "used_at", postgresql_where=text("used_at IS NOT NULL")),
    )

    token_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    """SHA-256: the token is random, so a slow hash would add nothing."""
    session_id: Mapped[str] = mapped_column(Uuid(as_uuid=False), ForeignKey("sessions.id", ondelete="CASCADE"))
    issued_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())
    used_at: Mapped[dt.datetime | None]


_START = text("""
    WITH session AS (
        INSERT INTO sessions (id, user_id, expires_at)
        VALUES (CAST(:id AS uuid), CAST(:user_id AS uuid), clock_timestamp() + make_interval(secs => :seconds))
        RETURNING id
    )
    INSERT INTO refresh_tokens (token_hash, session_id) SELECT :token_hash, id FROM session
""")
_END_OLDEST = text(f"""
    UPDATE sessions SET revoked_at = clock_timestamp() WHERE id IN (
        SELECT id FROM sessions WHERE user_id = CAST(:user_id AS uuid) AND revoked_at IS NULL
        ORDER BY created_at DESC, id OFFSET {MOST_SESSIONS})
""")  # noqa: S608


def start(session: Session, user_id: str, *, token: str, days: float) -> str:
    """Sign a user in; answers the session's id.

    Args:
        token: its first refresh token.
        days: it ends if it is not renewed for so long.
    """
    session_id = str(uuid.uuid4())
    given = {"id": session_id, "user_id": user_id, "token_hash": principals.hashed(token)}
    session.execute(_START, {**given, "seconds": days * DAY_SECONDS})
    session.execute(_END_OLDEST, {"user_id": user_id})
    return session_id


class Refused(enum.Enum):
    """Why a session is not renewed."""

    ENDED = "ended"
    """It has ended, or there never was one."""
    REUSED = "reused"
    """The token had been used before. This ended the session."""


@dataclass(frozen=True, kw_only=True)
class Renewed:
    """A session that goes on."""

    session_id: str
    user: Mapping[Any, Any]


# Two that come with one token meet at its row: the second sees that it is used.
_LIVE = "revoked_at IS NULL AND expires_at > clock_timestamp() AND deleted_at IS NULL"
_USER = "users.id::text AS id, username, display_name, role, users.created_at"
_RENEW = text(f"""
    WITH used AS (
        UPDATE refresh_tokens SET used_at = clock_timestamp() FROM sessions JOIN users ON users.id = user_id
        WHERE token_hash = :old AND used_at IS NULL AND sessions.id = session_id AND {_LIVE}
        RETURNING sessions.id AS session_id, users.id AS user_id
    ), issued AS (
        INSERT INTO refresh_tokens (token_hash, session_id) SELECT :new, session_id FROM used
    ), prolonged AS (
        UPDATE sessions SET expires_at = LEAST(clock_timestamp() + make_interval(secs => :seconds),
                                               created_at + interval '{LONGEST_DAYS} days')
        FROM used WHERE sessions.id = used.session_id
    ), active AS (
        UPDATE users SET last_active_at = clock_timestamp() FROM used
        WHERE users.id = used.user_id AND last_active_at < clock_timestamp() - interval '1 hour'
    )
    SELECT used.session_id::text AS session_id, {_USER} FROM used JOIN users ON users.id = used.user_id
""")  # noqa: S608
_KNOWN = text(f"""
    SELECT session_id::text AS session_id, {_USER}, {_LIVE} AS is_live,
           used_at > clock_timestamp() - interval '{REPLAY_SECONDS} seconds'
           AND EXISTS (SELECT FROM refresh_tokens WHERE token_hash = :new AND used_at IS NULL) AS is_replay
    FROM refresh_tokens JOIN sessions ON sessions.id = session_id JOIN users ON users.id = user_id
    WHERE token_hash = :old
""")  # noqa: S608
_REVOKE = text("""
    UPDATE sessions SET revoked_at = clock_timestamp() WHERE revoked_at IS NULL
    AND (id = CAST(:id AS uuid) OR user_id = CAST(:user_id AS uuid)) AND id IS DISTINCT FROM CAST(:but AS uuid)
    RETURNING user_id::text AS user_id
""")


def renew(session: Session, token: str, *, successor: str, days: float) -> Renewed | tuple[Refused, str | None]:
    """Exchange a refresh token for its successor, or say why not, and whose it was.

    Whoever gets `Refused.REUSED` is the one that ended the session: it comes once.
    """
    hashes = {"old": principals.hashed(token), "new": principals.hashed(successor)}
    row = session.execute(_RENEW, {**hashes, "seconds": days * DAY_SECONDS}).mappings().one_or_none()
    if row is not None:
        return Renewed(session_id=row["session_id"], user=row)
    known = session.execute(_KNOWN, hashes).mappings().one_or_none()
    if known is None or not known["is_live"]:
        return Refused.ENDED, None
    if known["is_replay"]:
        return Renewed(session_id=known["session_id"], user=known)
    return (Refused.REUSED if revoke(session, known["session_id"]) else Refused.ENDED), known["id"]


def revoke(session: Session, session_id: str) -> str | None:
    """End it; answers whose it was, or None if it had ended before."""
    user_id: str | None = session.execute(_REVOKE, {"id": session_id, "user_id": None, "but": None}).scalar()
    if user_id is not None:
        revoked(session, user_id)
    return user_id


def revoke_all(session: Session, user_id: str, *, but: str | None = None) -> int:
    """End all sessions of a user, perhaps ``but`` one; how many there were."""
    revoked(session, user_id)
    return len(session.execute(_REVOKE, {"id": None, "user_id": user_id, "but": but}).all())


_OF_TOKEN = text("SELECT session_id::text FROM refresh_tokens WHERE token_hash = :token_hash")


def of_token(session: Session, token: str) -> str | None:
    """The session that a refresh token belongs to, used or not."""
    found: str | None = session.execute(_OF_TOKEN, {"token_hash": principals.hashed(token)}).scalar_one_or_none()
    return found


_PRUNE = text("""
    DELETE FROM sessions WHERE id = ANY(ARRAY(
        SELECT id FROM sessions WHERE expires_at < statement_timestamp() ORDER BY expires_at
        LIMIT :most FOR UPDATE SKIP LOCKED))
""")
_PRUNE_TOKENS = text("""
    DELETE FROM refresh_tokens WHERE token_hash = ANY(ARRAY(
        SELECT token_hash FROM refresh_tokens WHERE used_at < statement_timestamp() - make_interval(secs => :seconds)
        ORDER BY used_at LIMIT :most FOR UPDATE SKIP LOCKED))
""")


def prune(session: Session, *, most: int, days: float) -> int:
    """Delete up to ``most`` expired sessions and ``most`` tokens used long ago; how many of whichever were more.

    Args:
        days: after which a browser drops its cookie. Until then an old token that comes back has to be recognised.
    """
    limits = {"most": most, "seconds": days * DAY_SECONDS}
    results: list[Any] = [session.execute(each, limits) for each in (_PRUNE, _PRUNE_TOKENS)]
    return max(int(result.rowcount) for result in results)
