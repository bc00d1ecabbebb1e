"""What is true: the tables, and the verbs that stand beside them. No Flask, no Celery, no commit."""

from __future__ import annotations

import importlib
import re

TABLES = (
    "models.api_keys",
    "models.attempts",
    "models.audit",
    "models.batches",
    "models.breakers",
    "models.budget_alerts",
    "models.chats",
    "models.heartbeats",
    "models.idempotency",
    "models.invitations",
    "models.jobs",
    "models.members",
    "models.messages",
    "models.notifications",
    "models.quotas",
    "models.reports",
    "models.retention",
    "models.samples",
    "models.sessions",
    "models.snapshots",
    "models.spending",
    "models.summaries",
    "models.users",
)


def load_tables() -> None:
    """Import every module that declares a table, so that ``Base.metadata`` is complete."""
    for module in TABLES:
        importlib.import_module(module)


def is_declared(_object: object, name: str | None, kind: str, *_: object) -> bool:
    """Whether a thing of the database is one that the code declares: partitions are not, only what they belong to.

    As Alembic's ``include_object``.
    """
    return kind != "table" or not _PARTITION.fullmatch(name or "")


_PARTITION = re.compile(r"messages_\d+")
