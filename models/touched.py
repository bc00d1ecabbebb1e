"""Touched: what a transaction has changed in chats, for whoever wants to know once it is committed.

Verbs note it on the session, so that no door can forget to; a listener to its commit takes it from there. What is
rolled back goes with its session and is told to nobody.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

_TOUCHED = "touched chats"
_REVOKED = "revoked users"


class Kind(enum.StrEnum):
    """What has happened."""

    CHAT = "chat"
    """The chat itself is another: its title, or when the AI answers."""
    MEMBERS = "members"
    """Somebody (``user_id``) has come, gone, or may do more or less than before."""
    POSTED = "posted"
    EDITED = "edited"
    DELETED = "deleted"
    """A message (``seq``) is a tombstone now."""
    READ = "read"
    """A member (``user_id``) has read up to ``seq``."""
    MUTED = "muted"
    """A member (``user_id``) wants to be told of it, or not any more."""
    SUMMARY = "summary"
    """There is another summary: its version is ``seq``."""
    ERASED = "erased"
    """There is no such chat any more."""


@dataclass(frozen=True, kw_only=True)
class Touch:
    """One thing that has changed."""

    chat_id: str
    kind: Kind
    seq: int | None = None
    user_id: str | None = None


def touched(session: Session, *, chat_id: str, kind: Kind, seq: int | None = None, user_id: str | None = None) -> None:
    """Have this told, should the session commit."""
    session.info.setdefault(_TOUCHED, []).append(Touch(chat_id=chat_id, kind=kind, seq=seq, user_id=user_id))


def changed_in(session: Session) -> Sequence[Touch]:
    """What the transaction just committed has changed, in its order; forgets it."""
    changed: Sequence[Touch] = session.info.pop(_TOUCHED, ())
    return changed


def revoked(session: Session, user_id: str) -> None:
    """Have it told, should the session commit, that something this user could show is good no more."""
    session.info.setdefault(_REVOKED, []).append(user_id)


def revoked_in(session: Session) -> Sequence[str]:
    """Of whom the transaction just committed has revoked something; forgets it."""
    found: Sequence[str] = session.info.pop(_REVOKED, ())
    return found
