"""Processes: the command lines of the product, the one place where they stand.

The documentation of the containers and the tests refer to these names.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from local.programs import Program

MIGRATION: Final = ("alembic", "upgrade", "head")


def _worker(queue_class: str) -> tuple[str, ...]:
    return (
        *("celery", "-A", "tasks.celery_app", "worker", "-P", "threads", "-c", "2", "-Q", queue_class),
        *("--without-mingle", "--without-gossip", "--without-heartbeat", "-n", f"{queue_class}@%h", "-l", "WARNING"),
    )


COMMANDS: Final = {
    "api": ("gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"),
    "gateway": ("api.gateway",),
    "dispatcher": ("tasks.dispatcher",),
    "worker": _worker("interactive"),
    "worker-batch": _worker("batch"),
}
"""Each is run as a module of the environment's Python: ``python -m …``."""


def migration(python: pathlib.Path, root: pathlib.Path, environment: Mapping[str, str]) -> Program:
    """Bring the database's tables up to this version of the code, once."""
    return replace(_program("migration", MIGRATION, python, root, environment), restarts=False)


def product(python: pathlib.Path, root: pathlib.Path, environment: Mapping[str, str]) -> list[Program]:
    """Everything that runs on top of PostgreSQL and Redis."""
    return [
        _program(name, module, python, root, _with_own_port(environment, number))
        for number, (name, module) in enumerate(COMMANDS.items())
    ]


def _with_own_port(environment: Mapping[str, str], number: int) -> Mapping[str, str]:
    """Of the metrics: on one machine no two can have the same. The api, number 0, needs none."""
    first = environment.get("METRICS_PORT", "").strip()
    if not first.isdecimal() or int(first) == 0:
        return environment
    return {**environment, "METRICS_PORT": str(int(first) + max(0, number - 1))}


def _program(
    name: str, module: tuple[str, ...], python: pathlib.Path, root: pathlib.Path, environment: Mapping[str, str]
) -> Program:
    return Program(name=name, command=(str(python), "-m", *module), environment=environment, folder=root)
