"""Check invariants: asks a database for jobs that break an invariant. `make check-invariants`.

The database is ``DATABASE_URL``, or that of the `make run` which uses the data
folder (``PARLEY_DATA``). Exit code 0: every invariant holds. 1: one is broken, or time
ran out before it was known. 2: there is no database to ask.
"""

from __future__ import annotations

import os
import pathlib
import shlex
import sys
from collections.abc import Mapping

from sqlalchemy.exc import SQLAlchemyError

from local.folder import Folder
from models import base, invariants, settings, waiting
from models.invariants import Checked
from models.settings import Settings


def main(environ: Mapping[str, str]) -> int:
    """Ask, print a line for each invariant, and say by the exit code whether all hold."""
    ours = settings.from_environment(environ)
    ours = ours if ours.database_url else settings.from_environment({**environ, **published(ours.data_folder)})
    if not ours.database_url:
        print("There is no database to ask: set DATABASE_URL, or start `make run`.", file=sys.stderr)
        return 2
    try:
        checked = ask(ours)
    except SQLAlchemyError as error:
        print(f"The database does not answer: {error}", file=sys.stderr)
        return 2
    for each in checked:
        print(line(each))
    return 0 if all(each.holds for each in checked) else 1


def published(folder: pathlib.Path) -> dict[str, str]:
    """What a running instance tells tools about itself; nothing while none runs."""
    try:
        lines = Folder(folder).services.read_text().splitlines()
    except OSError:
        return {}
    return dict(word.split("=", 1) for text in lines for word in shlex.split(text))


def ask(ours: Settings) -> list[Checked]:
    """Every invariant, on a connection of our own."""
    waiting.bound_every_wait(connect_seconds=ours.db_connect_seconds, statement_seconds=ours.db_statement_seconds)
    engine = base.open_database(ours, name="invariants")
    try:
        with base.Session.begin() as session:
            return invariants.check(session)
    finally:
        engine.dispose()


def line(checked: Checked) -> str:
    """
    >>> line(Checked(name="overlooked", count=0, violations=[]))
    'ok       overlooked'
    """
    if checked.count is None:
        return f"UNKNOWN  {checked.name}: not answered in time"
    if checked.holds:
        return f"ok       {checked.name}"
    return f"BROKEN   {checked.name}: {checked.count}, such as {', '.join(checked.violations)}"


if __name__ == "__main__":
    sys.exit(main(os.environ))
