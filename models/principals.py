"""Principals: who stands behind a credential, as of now.

Revoking, expiring, deleting and changing a role are columns, so whoever asks here
knows. Whoever remembers the answer may do so for `KEPT_SECONDS`: that long a
revoked token may live on in another process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import text

from models.api_keys import Scope
from models.base import Bare
from models.users import Role

KEPT_SECONDS = 10.0
LAST_USED_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Principal:
    """A user, and what this credential is good for."""

    user_id: str
    role: Role
    scopes: frozenset[Scope] | None = None
    """Null: for all that the user may do."""


_BY_SESSION = text("""
    SELECT users.id::text AS user_id, role FROM sessions JOIN users ON users.id = sessions.user_id
    WHERE sessions.id = CAST(:id AS uuid) AND users.id = CAST(:user_id AS uuid)
    AND revoked_at IS NULL AND expires_at > clock_timestamp() AND deleted_at IS NULL
""")
_BY_KEY = text(f"""
    WITH found AS (
        SELECT api_keys.id, users.id::text AS user_id, role, scopes FROM api_keys JOIN users ON users.id = user_id
        WHERE key_hash = :key_hash AND revoked_at IS NULL
        AND (expires_at IS NULL OR expires_at > clock_timestamp()) AND deleted_at IS NULL
    ), used AS (
        UPDATE api_keys SET last_used_at = clock_timestamp() FROM found WHERE api_keys.id = found.id
        AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '{LAST_USED_SECONDS} seconds')
    )
    SELECT user_id, role, scopes FROM found
""")  # noqa: S608


def of_session(session: Bare, session_id: str, *, user_id: str) -> Principal | None:
    """The user who is signed in there; None if nobody is any more."""
    row = session.execute(_BY_SESSION, {"id": session_id, "user_id": user_id}).mappings().one_or_none()
    return None if row is None else Principal(user_id=row["user_id"], role=Role(row["role"]))


_STANDING = text("""
    SELECT sessions.id::text AS id FROM sessions JOIN users ON users.id = sessions.user_id
    WHERE sessions.id = ANY(CAST(:ids AS uuid[]))
    AND revoked_at IS NULL AND expires_at > clock_timestamp() AND deleted_at IS NULL
""")


def standing(session: Bare, session_ids: Collection[str]) -> set[str]:
    """Those of these sessions in which somebody is still signed in."""
    return {row["id"] for row in session.execute(_STANDING, {"ids": list(session_ids)}).mappings().all()}


def of_key(session: Bare, key: str) -> Principal | None:
    """The user whose API key this is; None if it is nobody's any more. Notes that it was used."""
    row = session.execute(_BY_KEY, {"key_hash": hashed(key)}).mappings().one_or_none()
    if row is None:
        return None
    scopes = frozenset(Scope(scope) for scope in row["scopes"])
    return Principal(user_id=row["user_id"], role=Role(row["role"]), scopes=scopes)


def hashed(secret: str) -> bytes:
    """What is kept of a random secret. It has too many bits to be guessed, so a slow hash would add nothing."""
    return hashlib.sha256(secret.encode()).digest()
