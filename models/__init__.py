"""What is true: the tables, and the verbs that stand beside them. No Flask, no Celery, no commit."""

from __future__ import annotations

import importlib

TABLES = (
    "models.api_keys",
    "models.attempts",
    "models.audit",
    "models.batches",
    "models.breakers",
    "models.heartbeats",
    "models.idempotency",
    "models.invitations",
    "models.jobs",
    "models.quotas",
    "models.retention",
    "models.sessions",
    "models.snapshots",
    "models.users",
)


def load_tables() -> None:
    """Import every module that declares a table, so that ``Base.metadata`` is complete."""
    for module in TABLES:
        importlib.import_module(module)
