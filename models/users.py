"""Users: people with an account.

A username has one spelling: NFKC, then case folded, then `USERNAME`. Full-width,
circled and mathematical letters so become the ASCII ones they stand for, and
"Anna" is "anna". A letter that only looks like another one (a Cyrillic a) does
not become it, so it is refused: no two names that are shown alike can be taken.
"""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
import hmac
import re
import unicodedata
import uuid
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import CheckConstraint, Index, LargeBinary, Text, Uuid, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import clock
from models.account_errors import UsernameTaken, UserNotFound
from models.base import Bare, Base, stored_by_value
from models.errors import UnknownMember

USERNAME = re.compile(r"[a-z0-9][a-z0-9._-]{2,31}")
USERNAME_GIVEN = 64
"""Characters in which somebody may spell one: NFKC makes more of some, and fewer of others."""
RESERVED = re.compile(r"admin(istrator)?|all|everyone|guest|here|moderator|nobody|operator|parley|root|support|system")
"""Usernames that would pass for the service, or for everybody in a room."""
AI_ID = "00000000-0000-4000-8000-0000000000a1"
"""The AI: a user like any other, except that nobody can sign in as it. A migration makes it."""
DISPLAY_NAME_CHARACTERS = 64
NOBODYS_NAME = "Deleted user"
_UUID_CHARACTERS = 36
"""More than any username has, so that the one cannot be taken for the other."""


class Role(enum.StrEnum):
    """What somebody may do beyond their own things."""

    USER = "user"
    """Nothing."""
    OPERATOR = "operator"
    """Read everything, redrive and discard dead letters. Each look at another's things is on record."""
    ADMIN = "admin"
    """What an operator may, and say who has which role."""


class User(Base):
    """An account. Once deleted nothing of the person is left in it; the row stays, for what refers to it."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("(deleted_at IS NULL) = (username IS NOT NULL)", name="username_until_deleted"),
        CheckConstraint("deleted_at IS NULL OR password_hash IS NULL", name="no_password_once_deleted"),
        CheckConstraint("NOT is_ai OR password_hash IS NULL", name="nobody_is_the_ai"),
        Index("uq_users_username", "username", unique=True),
        Index("ix_users_created_at", "created_at", "id", postgresql_where=text("deleted_at IS NULL")),
        # For the sweep of what somebody has left behind.
        Index("ix_users_deleted_at", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL AND NOT erased")),
    )

    id: Mapped[str] = mapped_column(Uuid(as_uuid=False), primary_key=True)
    username: Mapped[str | None] = mapped_column(Text)
    """In its one spelling: NFKC, case folded. Null once deleted, so that it is free again."""
    display_name: Mapped[str] = mapped_column(Text)
    password_hash: Mapped[str | None] = mapped_column(Text)
    """argon2id, with its parameters in it. Null: nobody can sign in."""
    phone_hash: Mapped[bytes | None] = mapped_column(LargeBinary)
    """HMAC of the number; the number itself is kept nowhere. Not unique: nobody has proved that it is theirs."""
    role: Mapped[Role] = mapped_column(stored_by_value(Role), server_default=Role.USER)
    is_ai: Mapped[bool] = mapped_column(server_default=text("false"))
    created_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())
    last_active_at: Mapped[dt.datetime] = mapped_column(server_default=clock.now())
    """To the hour: it is written when tokens are, not with every request."""
    deleted_at: Mapped[dt.datetime | None]
    erased: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether nothing of a deleted user is left: `models.erasures`."""


def canonical(username: str) -> str:
    r"""A username in its one spelling.

    >>> canonical("Anna.B"), canonical("\N{FULLWIDTH LATIN SMALL LETTER A}nna"), canonical("\N{KELVIN SIGN}urt")
    ('anna.b', 'anna', 'kurt')

    Raises:
        ValueError: it can be none.
    """
    spelled = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", username).casefold())
    if not USERNAME.fullmatch(spelled):
        raise ValueError(username)
    return spelled


def display_name(given: str, *, most: int = DISPLAY_NAME_CHARACTERS) -> str:
    """A name to be shown, of a person or a thing, as it is kept: NFC, without white space around it.

    Raises:
        ValueError: it is empty, too long, or holds what no screen shows as it is (line ends, escapes, marks that
            turn the direction of writing).
    """
    name = unicodedata.normalize("NFC", given).strip()
    if not 1 <= len(name) <= most:
        raise ValueError(given)
    # C: control, format, surrogate, private, unassigned; Zl and Zp: line and paragraph separators.
    if any(unicodedata.category(letter)[0] == "C" or unicodedata.category(letter) in ("Zl", "Zp") for letter in name):
        raise ValueError(given)
    return name


def phone_hash(number: str | None, *, key: str) -> bytes | None:
    """What is kept of a phone number; None without a key.

    Args:
        number: E.164, as in +4930123456.
    """
    return hmac.digest(key.encode(), number.encode(), hashlib.sha256) if number and key else None


_SHOWN = "id::text AS id, username, display_name, role, created_at, last_active_at"
_CREATE = text(f"""
    INSERT INTO users (id, username, display_name, password_hash, phone_hash)
    VALUES (CAST(:id AS uuid), :username, :display_name, :password_hash, :phone_hash)
    ON CONFLICT (username) DO NOTHING RETURNING {_SHOWN}
""")  # noqa: S608
_CREDENTIALS = text(f"""
    SELECT {_SHOWN}, password_hash FROM users WHERE deleted_at IS NULL
    AND (username = :username OR id = CAST(:id AS uuid))
""")  # noqa: S608
_ONE = text(f"SELECT {_SHOWN} FROM users WHERE id = CAST(:id AS uuid) AND deleted_at IS NULL")  # noqa: S608


def create(
    session: Session, *, username: str, display_name: str, password_hash: str, phone_hash: bytes | None
) -> Mapping[Any, Any]:
    """Make an account; answers it. However many want one name at once, one gets it.

    Raises:
        UsernameTaken: somebody has it, or nobody may: `RESERVED`.
    """
    if RESERVED.fullmatch(username):
        raise UsernameTaken
    row = {"id": str(uuid.uuid4()), "username": username, "display_name": display_name}
    made = session.execute(_CREATE, {**row, "password_hash": password_hash, "phone_hash": phone_hash})
    if (user := made.mappings().one_or_none()) is None:
        raise UsernameTaken
    return user


def credentials(
    session: Session | Bare, *, username: str | None = None, user_id: str | None = None
) -> Mapping[Any, Any] | None:
    """The user of this name or id, with the hash of their password; None if there is none."""
    return session.execute(_CREDENTIALS, {"username": username, "id": user_id}).mappings().one_or_none()


def one(session: Session | Bare, user_id: str) -> Mapping[Any, Any]:
    """The user.

    Raises:
        UserNotFound: there is none any more.
    """
    user = session.execute(_ONE, {"id": user_id}).mappings().one_or_none()
    if user is None:
        raise UserNotFound
    return user


_NAMED = text("""
    SELECT id::text AS id, username FROM users WHERE deleted_at IS NULL AND NOT is_ai
    AND (id = ANY(CAST(:ids AS uuid[])) OR username = ANY(CAST(:usernames AS text[])))
""")


def named(session: Session, names: Collection[str]) -> Sequence[str]:
    """Ids of the people of these names, each an id or a username; everybody once. The AI is none of them.

    Raises:
        UnknownMember: nobody has one of the names.
    """
    spelled = {given: _one_spelling(given) for given in names}
    known = list(filter(None, spelled.values()))
    given = {"ids": [name for name in known if len(name) == _UUID_CHARACTERS]}
    given["usernames"] = [name for name in known if len(name) != _UUID_CHARACTERS]
    found = session.execute(_NAMED, given).all()
    there = {name for person in found for name in person}
    for name, spelling in spelled.items():
        if spelling not in there:
            raise UnknownMember(name)
    return [person.id for person in found]


def _one_spelling(name: str) -> str | None:
    try:
        return str(uuid.UUID(name)) if len(name) == _UUID_CHARACTERS else canonical(name)
    except ValueError:
        return None


_ACTIVE = text("""
    UPDATE users SET last_active_at = clock_timestamp(), password_hash = COALESCE(:better, password_hash)
    WHERE id = CAST(:id AS uuid) AND deleted_at IS NULL AND password_hash = :verified RETURNING id
""")


def signed_in(session: Session, user_id: str, *, verified: str, better: str | None = None) -> bool:
    """Note that somebody has proved to be this user; False if that was true a moment ago and is no more.

    Args:
        verified: the hash that was compared with.
        better: what replaces it, made with newer parameters.
    """
    given = {"id": user_id, "verified": verified, "better": better}
    return session.execute(_ACTIVE, given).one_or_none() is not None


_CHANGE = text(f"""
    UPDATE users SET display_name = COALESCE(:display_name, display_name),
        password_hash = COALESCE(:password_hash, password_hash),
        phone_hash = CASE WHEN :new_phone THEN :phone_hash ELSE phone_hash END
    WHERE id = CAST(:id AS uuid) AND deleted_at IS NULL
    AND (CAST(:verified AS text) IS NULL OR password_hash = :verified)
    RETURNING {_SHOWN}
""")  # noqa: S608


def change(session: Session, user_id: str, *, verified: str | None = None, **changes: Any) -> Mapping[Any, Any] | None:
    """Change ``display_name``, ``password_hash`` or ``phone_hash``; what is not named stays.

    Answers None if the user is no more, or the password is another than ``verified`` by now.
    """
    given = {"display_name": None, "password_hash": None, "phone_hash": None, **changes}
    given |= {"id": user_id, "verified": verified, "new_phone": "phone_hash" in changes}
    return session.execute(_CHANGE, given).mappings().one_or_none()


_SET_ROLE = text(f"""
    UPDATE users SET role = :role WHERE id = CAST(:id AS uuid) AND deleted_at IS NULL AND NOT is_ai RETURNING {_SHOWN}
""")  # noqa: S608
_PAGE = text(f"""
    SELECT {_SHOWN} FROM users WHERE deleted_at IS NULL AND NOT is_ai
    AND (CAST(:username AS text) IS NULL OR username = :username)
    AND (CAST(:key_prefix AS text) IS NULL OR id IN (
        SELECT user_id FROM api_keys WHERE prefix = :key_prefix AND revoked_at IS NULL))
    AND (CAST(:at AS timestamptz) IS NULL OR (created_at, id) < (CAST(:at AS timestamptz), CAST(:id AS uuid)))
    ORDER BY created_at DESC, users.id DESC LIMIT :limit
""")  # noqa: S608


def set_role(session: Session, user_id: str, role: Role) -> Mapping[Any, Any]:
    """Say what somebody may do beyond their own things.

    Raises:
        UserNotFound: there is no such user.
    """
    user = session.execute(_SET_ROLE, {"id": user_id, "role": role.value}).mappings().one_or_none()
    if user is None:
        raise UserNotFound
    return user


def page(
    session: Session,
    *,
    limit: int,
    before: tuple[dt.datetime, str] | None = None,
    username: str | None = None,
    key_prefix: str | None = None,
) -> Sequence[Mapping[Any, Any]]:
    """Users, the latest first; ``before`` is ``(created_at, id)`` of the last one already seen.

    Args:
        key_prefix: only whoever has an API key that begins so.
    """
    at, user_id = before or (None, None)
    given = {"limit": limit, "at": at, "id": user_id, "username": username, "key_prefix": key_prefix}
    return session.execute(_PAGE, given).mappings().all()
