"""Exports: all that is stored of one person, section by section, page by page.

What is secret stays so: of passwords, tokens and keys there are only hashes, and
those say nothing to anybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import TextClause, text
from sqlalchemy.orm import Session

from models import owners

PAGE_ROWS = 100
PAGE_BYTES = 2 * 1024 * 1024
"""A page ends with the row that reaches this, so that what is held in memory is this and one row."""
Row = Mapping[Any, Any]

_PROFILE = text("""
    SELECT id::text AS user_id, username, display_name, role, created_at, last_active_at,
           phone_hash IS NOT NULL AS phone_number_is_kept,
           (SELECT COALESCE(jsonb_object_agg(day, tokens), '{}') FROM usage WHERE owner = :owner) AS daily_tokens,
           (SELECT COALESCE(jsonb_object_agg(day, cost), '{}') FROM (
               SELECT day, trim_scale(sum(cost))::text AS cost FROM spending WHERE owner = :owner GROUP BY day
           ) AS days) AS daily_cost
    FROM users WHERE id = CAST(:user_id AS uuid) AND deleted_at IS NULL
""")
# octet_length() of a long text is read from its header, so nothing is fetched that is not shown.
_PAGE = """
    SELECT * FROM (
        SELECT *, sum(size) OVER (ORDER BY created_at, id) - size AS before FROM (
            SELECT {columns}, {size} AS size FROM {table} AS stored WHERE {whose}
            AND (CAST(:at AS timestamptz) IS NULL OR ({time}, stored.id) > (:at, CAST(:id AS {id_type})))
            ORDER BY {time}, stored.id LIMIT {rows}
        ) AS rows
    ) AS page WHERE before < {bytes} ORDER BY created_at, id
"""
_MESSAGES = "(SELECT *, chat_id || ':' || seq AS id FROM messages)"
_SEAT = "FROM chat_members WHERE chat_id = stored.id AND user_id = CAST(:user_id AS uuid)"
_SEATED = f"EXISTS (SELECT {_SEAT})"
_MINE, _OWN = "user_id = CAST(:user_id AS uuid)", "owner = :owner"


@dataclass(frozen=True, kw_only=True)
class Section:
    """One kind of what is stored. Its rows have ``created_at`` and ``id``, and go by them."""

    name: str
    columns: str
    table: str
    whose: str
    size: str = "0"
    time: str = "created_at"
    id_type: str = "uuid"

    @property
    def statement(self) -> TextClause:
        """Of one page."""
        return text(_PAGE.format(**vars(self), rows=PAGE_ROWS, bytes=PAGE_BYTES))


SECTIONS = (
    Section(name="sessions", table="sessions", whose=_MINE, columns="id, created_at, expires_at, revoked_at"),
    Section(
        name="keys",
        table="api_keys",
        whose=_MINE,
        columns="id, name, prefix, scopes, created_at, expires_at, last_used_at, revoked_at",
    ),
    Section(
        name="batches",
        table="batches",
        whose=_OWN,
        columns="""id, total, created_at, cancelled_at,
                   (SELECT key FROM idempotency_keys WHERE batch_id = stored.id LIMIT 1) AS idempotency_key""",
    ),
    Section(
        name="jobs",
        table="jobs",
        whose=_OWN,
        size="octet_length(message) + COALESCE(octet_length(result), 0)",
        columns="""id, type, status, message, result, truncated, model, degraded, priority, created_at, updated_at,
                   run_at, finished_at, error_code, error_message, attempt, failures, batch_id, batch_position,
                   custom_id, (SELECT key FROM idempotency_keys WHERE job_id = stored.id LIMIT 1) AS idempotency_key""",
    ),
    Section(
        name="chats",
        table="chats",
        whose=_SEATED,
        columns=f"""id, type, title, created_at,
                    (SELECT role {_SEAT}) AS role, (SELECT joined_at {_SEAT}) AS joined_at""",
    ),
    Section(
        name="messages",
        table=_MESSAGES,
        whose="sender_id = CAST(:user_id AS uuid)",
        size="octet_length(content)",
        id_type="text",
        columns="""id, chat_id, seq, content, client_msg_id, reply_to, created_at, edited_at, deleted_at,
                   (SELECT array_agg(content ORDER BY version) FROM message_versions AS v
                    WHERE v.chat_id = stored.chat_id AND v.seq = stored.seq) AS versions""",
    ),
    Section(
        name="replies",
        table=_MESSAGES,
        whose=f"is_ai AND chat_id IN (SELECT id FROM chats AS stored WHERE type = 'ai' AND {_SEATED})",  # noqa: S608
        size="octet_length(content)",
        id_type="text",
        columns="id, chat_id, seq, content, status, created_at",
    ),
    Section(name="actions", table="audit_log", whose="actor = :owner", time="at", id_type="bigint",
            columns="id, at AS created_at, action, subject, facts"),
)  # fmt: skip
_STATEMENTS = {section.name: section.statement for section in SECTIONS}
_INSIDE = ("size", "before")


def profile(session: Session, user_id: str) -> Row | None:
    """The account itself; None if there is none any more."""
    given = {"user_id": user_id, "owner": owners.of_user(user_id)}
    return session.execute(_PROFILE, given).mappings().one_or_none()


def page(session: Session, section: Section, user_id: str, *, after: Row | None) -> Sequence[dict[str, Any]]:
    """The next rows of a section behind ``after``, oldest first; empty at the end."""
    at, row_id = (after["created_at"], after["id"]) if after else (None, None)
    given = {"user_id": user_id, "owner": owners.of_user(user_id), "at": at, "id": row_id}
    rows = session.execute(_STATEMENTS[section.name], given).mappings()
    return [{name: value for name, value in row.items() if name not in _INSIDE} for row in rows]
