"""Moments: the place in a chat that a time stands for.

Messages are paged by number, and never by time alone: two may have the same. But the times of a chat's messages never
go back as their numbers grow, so a time parts them in two, and where, some twenty of them tell: they are halved until
one is left. No index by time has to be kept for that.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import text
from sqlalchemy.orm import Session

from models import members
from models.base import Bare

# Below `low` all are from before; from `high` on none is. A scalar subquery: one look at the key for each halving.
# OFFSET 0 keeps it one, though its answer is used twice.
_PARTED = text(f"""
    WITH RECURSIVE halves (low, high) AS (
        SELECT joined_seq, last_seq + 1 FROM {members.READABLE}
        UNION ALL
        SELECT CASE WHEN is_before THEN middle ELSE low END, CASE WHEN is_before THEN high ELSE middle END
        FROM (
            SELECT low, high, (low + high) / 2 AS middle, COALESCE((
                SELECT created_at < CAST(:at AS timestamptz) FROM messages
                WHERE chat_id = CAST(:chat_id AS uuid) AND seq = (low + high) / 2), false) AS is_before
            FROM halves WHERE high - low > 1 OFFSET 0
        ) AS halved
    )
    SELECT min(high) AS seq FROM halves
""")  # noqa: S608


def seq_at(session: Session | Bare, chat_id: str, *, reader: str, at: dt.datetime) -> int:
    """The first ``seq`` that was not said before ``at``; of what the reader may see, and one more than there are.

    Raises:
        ChatNotFound: the reader is not in it.
    """
    parted = session.execute(_PARTED, {"chat_id": chat_id, "user_id": reader, "at": at}).mappings().one_or_none()
    if parted is None or parted["seq"] is None:
        raise members.not_in(session, chat_id, user_id=reader)
    return int(parted["seq"])
