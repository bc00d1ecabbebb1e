"""What is true: the tables, and the verbs that stand beside them. No Flask, no Celery, no commit."""

from __future__ import annotations

import importlib

TABLES = (
    "models.attempts",
    "models.batches",
    "models.breakers",
    "models.heartbeats",
    "models.idempotency",
    "models.jobs",
    "models.retention",
    "models.snapshots",
)


def load_tables() -> None:
    """Import every module that declares a table, so that ``Base.metadata`` is complete."""
    for module in TABLES:
        importlib.import_module(module)
