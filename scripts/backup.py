"""Backup: the whole database in one file, and the proof that it can be read again. `make backup`.

The rows are those of one moment, whatever is written meanwhile. The file is then restored into a second database of
the same server, whose rows are counted and whose invariants are asked; only then does it get its name. It holds what
people wrote: it is made for its owner only.

    python -m scripts.backup [FOLDER]          (default: `backups/` of the data folder, PARLEY_DATA)

The database is ``DATABASE_URL``, or that of `make run`. Exit code 0: the file is there, and good. 1: it is not good.
2: it cannot be made, or another is being made. Whoever ends it by a signal finds nothing left of it.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from models.settings import Settings
from scripts import beside, drafts, dumps, endings
from scripts.dumps import Refused

LOCK = 0x5041524C42
"""An advisory lock, as the migrations' is: one backup at a time."""


class Damaged(Exception):
    """What was written is not what was there; the message says where."""


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Make one, and say where; returns the exit code."""
    if len(arguments) > 1 or "--help" in arguments:
        print(__doc__)
        return 2
    try:
        with dumps.database(environ, idle=False) as ours:
            folder = pathlib.Path(arguments[0]) if arguments else ours.data_folder / "backups"
            print(backup(ours, folder))
    except Refused as why:
        print(why, file=sys.stderr)
        return 2
    except OSError as why:
        print(f"The backup cannot be written: {why}", file=sys.stderr)
        return 2
    except Damaged as why:
        print(f"The backup is not good, and was removed: {why}", file=sys.stderr)
        return 1
    return 0


def backup(ours: Settings, folder: pathlib.Path) -> str:
    """Make one; what to tell.

    Raises:
        Refused, Damaged
    """
    begun, name = time.monotonic(), dumps.name_of(ours)
    begin = drafts.stem(name)
    # The connection is what has the lock: it stays until the proof is done.
    with dumps.spoken(), contextlib.closing(dumps.connect(ours)) as connection, connection.cursor() as cursor:
        _refuse_company(cursor)
        folder.mkdir(parents=True, exist_ok=True)
        drafts.sweep(folder, begin)
        beside.sweep(cursor, name, "check")
        with drafts.draft(folder, begin) as draft:
            held = _written(ours, cursor, draft)
            written = time.monotonic()
            _checked(ours, draft, held)
            file = drafts.finish(draft, begin)
    return (
        f"{file}: {sum(held.values())} rows of {len(held)} tables, {file.stat().st_size / 2**20:.1f} MB in "
        f"{written - begun:.1f} s, restored and compared in {time.monotonic() - written:.1f} s"
    )


def _refuse_company(cursor: Any) -> None:
    cursor.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,))
    if not cursor.fetchone()[0]:
        raise Refused("Another backup of this database is being made.")


def _written(ours: Settings, cursor: Any, draft: pathlib.Path) -> dict[str, int]:
    """How many rows of each table are in it: both the dump and the counting see one snapshot."""
    cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    cursor.execute("SELECT pg_export_snapshot()")
    [snapshot] = cursor.fetchone()
    held = dumps.counts(cursor)
    if "alembic_version" not in held:
        raise Refused("This database holds no Parley: there is nothing to back up.")
    dumps.run(
        *("pg_dump", "--format=custom", "--no-owner", "--no-privileges"),
        *(f"--snapshot={snapshot}", f"--file={draft}"),
        on=ours,
    )
    # The proof takes long, and an open snapshot would keep every dead row until then.
    cursor.execute("COMMIT")
    return held


def _checked(ours: Settings, draft: pathlib.Path, held: Mapping[str, int]) -> None:
    with beside.made(ours, beside.called(dumps.name_of(ours), "check")) as theirs:
        dumps.load(draft, into=theirs)
        with contextlib.closing(dumps.connect(theirs)) as connection, connection.cursor() as cursor:
            found = dumps.counts(cursor)
        if found != held:
            differing = sorted(table for table in {*found, *held} if found.get(table) != held.get(table))
            raise Damaged(", ".join(f"{each}: {held.get(each)} rows, restored {found.get(each)}" for each in differing))
        if broken := dumps.broken(theirs):
            raise Damaged("; ".join(broken))


if __name__ == "__main__":
    endings.exit_when_told()
    sys.exit(main(sys.argv[1:], os.environ))
