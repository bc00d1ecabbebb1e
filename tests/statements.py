"""Statements: how many a piece of code sends to PostgreSQL, through a session or bare."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from models import base, prepared


@contextmanager
def counted(*, by: int | None = None) -> Iterator[list[str]]:
    """``with counted() as sent``: the text of each that this process sends meanwhile, or one thread of it."""
    sent: list[str] = []
    run = prepared.run

    def note(statement: str) -> None:
        if by is None or by == threading.get_ident():
            sent.append(statement)

    def by_session(_: Any, __: Any, statement: str, *___: Any) -> None:
        note(statement)

    def bare(cursor: Any, statement: prepared.Statement, *given: Any, **more: Any) -> None:
        note(statement.plain)
        run(cursor, statement, *given, **more)

    engines = [maker.kw["bind"] for maker in (base.Session, base.Autocommit)]
    for engine in engines:
        event.listen(engine, "before_cursor_execute", by_session)
    prepared.run = bare
    try:
        yield sent
    finally:
        prepared.run = run
        for engine in engines:
            event.remove(engine, "before_cursor_execute", by_session)


def number_of(work: Callable[[], object]) -> int:
    """How many this work sends in its own thread: what others ask meanwhile, by the clock, is not its doing."""
    with counted(by=threading.get_ident()) as sent:
        work()
    return len(sent)
