"""Heartbeats: which processes are at work, and how much each can take.

A process that lives says so every second or two. `/health/ready` shows the age
of the youngest beat of each kind; the announcer adds up the slots of the live
workers. Rows of processes that are long gone are pruned.
"""

from __future__ import annotations

import datetime as dt
import os
import secrets
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Text, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.base import Base
from models.states import RUNNING, in_sql

DISPATCHER = "dispatcher"
WORKER = "worker"
REAPER = "reaper"
"""Not a process: the last good tick of whichever dispatcher reaped."""

LIVE_SECONDS = 10
"""A process that has not been heard of for this long counts as gone."""
PRUNED_AFTER_HOURS = 24


class Heartbeat(Base):
    """The last sign of life of one process."""

    __tablename__ = "heartbeats"
    __table_args__ = {"postgresql_with": {"fillfactor": "50"}}  # noqa: RUF012

    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    instance: Mapped[str] = mapped_column(Text, primary_key=True)
    queue_class: Mapped[str] = mapped_column(Text, server_default="")
    slots: Mapped[int] = mapped_column(server_default="0")
    """Model calls this worker makes at once; 0 while it stops."""
    seen_at: Mapped[dt.datetime]


_BEAT = text("""
    INSERT INTO heartbeats (kind, instance, queue_class, slots, seen_at)
    VALUES (:kind, :instance, :queue_class, :slots, clock_timestamp())
    ON CONFLICT (kind, instance) DO UPDATE SET slots = excluded.slots, seen_at = excluded.seen_at
""")
_SINCE = text("SELECT EXTRACT(EPOCH FROM clock_timestamp() - max(seen_at)) FROM heartbeats WHERE kind = :kind")
_AGES = text("""
    SELECT kind, CAST(EXTRACT(EPOCH FROM clock_timestamp() - max(seen_at)) AS float8) AS age
    FROM heartbeats GROUP BY kind
""")
_ALL = text(f"""
    SELECT kind, instance, queue_class, slots, CAST(EXTRACT(EPOCH FROM clock_timestamp() - seen_at) AS float8) AS age,
           (SELECT count(*) FROM jobs WHERE leased_by = instance AND status IN {in_sql(RUNNING)}) AS running
    FROM heartbeats WHERE kind <> '{REAPER}' ORDER BY seen_at DESC LIMIT :most
""")  # noqa: S608
# The youngest of each kind stays: /health/ready asks whether there ever was one.
_PRUNE = text(f"""
    DELETE FROM heartbeats AS old WHERE seen_at < clock_timestamp() - interval '{PRUNED_AFTER_HOURS} hours'
    AND EXISTS (SELECT FROM heartbeats AS newer WHERE newer.kind = old.kind AND newer.seen_at > old.seen_at)
""")  # noqa: S608


def name_of_this_process() -> str:
    """``host:pid:random``: pids come round again, above all in containers."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


def beat(session: Session, *, kind: str, instance: str, queue_class: str = "", slots: int = 0) -> None:
    """Note that this process lives."""
    session.execute(_BEAT, {"kind": kind, "instance": instance, "queue_class": queue_class, "slots": slots})


def seconds_since(session: Session, kind: str) -> float | None:
    """Age of the youngest beat of this kind; None if there never was one."""
    age = session.execute(_SINCE, {"kind": kind}).scalar()
    return None if age is None else float(age)


def ages(session: Session) -> dict[str, float]:
    """Age in seconds of the youngest beat of each kind that ever beat."""
    return {row.kind: row.age for row in session.execute(_AGES)}


def all_of_them(session: Session, *, most: int) -> Sequence[Mapping[Any, Any]]:
    """Each process that has beaten in the last day, the latest first: its ``age`` in seconds, and jobs ``running``."""
    return session.execute(_ALL, {"most": most}).mappings().all()


def prune(session: Session) -> None:
    """Forget processes that are long gone."""
    session.execute(_PRUNE)
