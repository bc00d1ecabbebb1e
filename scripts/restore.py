"""Restore: put a backup in the place of the database. `make restore FILE=…`.

Everything of Parley has to be stopped. The file goes into a new database, which is brought to this version's tables and
asked for its invariants; only then do the two change names. Everybody has to sign in again. What was there is kept as
``parley_before_<time>``, until somebody drops it.

    python -m scripts.restore FILE

The database is ``DATABASE_URL``, or that of `make run`. Exit code 0: it is in place. 2: it was refused, and all is as
before.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg2 import sql

from models.live import client
from models.settings import Settings
from scripts import dumps
from scripts.dumps import Refused

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONNECTED = """
    SELECT DISTINCT COALESCE(NULLIF(application_name, ''), usename) FROM pg_stat_activity
    WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY 1 LIMIT 5
"""
SIGN_OUT = "UPDATE sessions SET revoked_at = clock_timestamp() WHERE revoked_at IS NULL"
"""Who signed out since the backup must not be signed in again; nobody knows any more who that was."""
THERE = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)"


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Do it, and say what was done; returns the exit code."""
    if len(arguments) != 1 or not arguments[0] or arguments[0].startswith("-"):
        print(__doc__)
        return 2
    try:
        with dumps.database(environ, idle=True) as ours:
            print(restore(ours, pathlib.Path(arguments[0])))
    except Refused as why:
        print(why, file=sys.stderr)
        return 2
    return 0


def restore(ours: Settings, file: pathlib.Path) -> str:
    """Put it in place; what to tell.

    Raises:
        Refused: and all is as before.
    """
    begun, now, name = time.monotonic(), dumps.stamp(), dumps.name_of(ours)
    _refuse_unknown(file)
    fresh, former = f"{name}_restored_{now}", f"{name}_before_{now}"
    beside = dumps.with_name(ours, "postgres")
    with contextlib.closing(dumps.connect(beside)) as server:
        _refuse_company(server, name)
        try:
            _prove(dumps.restored(beside, file, fresh))
            _refuse_company(server, name)
            kept = _swap(server, name=name, fresh=fresh, former=former)
        except BaseException:
            dumps.drop(beside, fresh)
            raise
    _forget_what_is_live(ours)
    before = f"what was there before is {former}" if kept else "there was nothing before"
    return f"{file} is in place after {time.monotonic() - begun:.1f} s; {before}"


def revision_of(file: pathlib.Path) -> str:
    """Which tables a dump was made of.

    Raises:
        Refused: it is no dump of a Parley.
    """
    if not file.is_file():
        raise Refused(f"{file} is no file.")
    text = dumps.run("pg_restore", "--data-only", "--table=alembic_version", "--file=-", str(file))
    _, found, rest = text.partition("FROM stdin;\n")
    if not found:
        raise Refused(f"{file} is no backup of Parley.")
    return rest.split("\n", 1)[0].strip()


def _refuse_unknown(file: pathlib.Path) -> None:
    config = Config()
    config.set_main_option("script_location", str(ROOT / "migrations"))
    known = {each.revision for each in ScriptDirectory.from_config(config).walk_revisions()}
    if (revision := revision_of(file)) not in known:
        raise Refused(f"{file} has tables of a newer version ({revision}): install that version, then restore.")


def _refuse_company(server: Any, name: str) -> None:
    with server.cursor() as cursor:
        cursor.execute(CONNECTED, (name,))
        if found := [row[0] for row in cursor.fetchall()]:
            raise Refused(f"The database is in use by {', '.join(found)}: stop everything of Parley first.")


def _prove(ours: Settings) -> None:
    """Bring its tables to this version, end its sessions, and ask its invariants."""
    environment = {**os.environ, "DATABASE_URL": ours.database_url, "REDIS_URL": ours.redis_url or "redis://unused:1/0"}
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise Refused(f"Its tables cannot be brought to this version: {ran.stderr.strip().splitlines()[-1]}")
    with contextlib.closing(dumps.connect(ours)) as connection, connection.cursor() as cursor:
        cursor.execute(SIGN_OUT)
    if broken := dumps.broken(ours):
        raise Refused("; ".join(broken))


def _swap(server: Any, *, name: str, fresh: str, former: str) -> bool:
    """Whether there was a database of this name."""
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    with server.cursor() as cursor:
        cursor.execute(THERE, (name,))
        [there] = cursor.fetchone()
        if there:
            cursor.execute(rename.format(sql.Identifier(name), sql.Identifier(former)))
        cursor.execute(rename.format(sql.Identifier(fresh), sql.Identifier(name)))
    return bool(there)


def _forget_what_is_live(ours: Settings) -> None:
    """What Redis knows is of another database now. Nobody uses it: everything is stopped."""
    if not ours.redis_url:
        shutil.rmtree(ours.data_folder / "valkey" / "appendonlydir", ignore_errors=True)
        return
    with client.connect(ours) as live:
        for key in live.scan_iter(match=client.name(ours, "*"), count=1000):
            live.unlink(key)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
