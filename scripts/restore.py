"""Restore: put a backup in the place of the database. `make restore FILE=…`.

Everything of Parley has to be stopped. The file goes into a new database, which is brought to this version's tables and
asked for its invariants; only then do the two change names, both at once. Everybody has to sign in again. What was
there is kept as ``parley_before_<time>_<digits>``, until somebody drops it.

    python -m scripts.restore FILE

The database is ``DATABASE_URL``, or that of `make run`. Exit code 0: it is in place. 1: something remains to be
done, which it says. 2: it was refused, and all is as before.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import psycopg2
from alembic.config import Config
from alembic.script import ScriptDirectory
from psycopg2 import sql
from redis import RedisError

from models.live import client
from models.settings import Settings
from scripts import beside, dumps, endings
from scripts.dumps import Refused

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOODBYE_SECONDS = 2.0
"""Who has hung up, we too, is known to the server for a moment more."""
CONNECTED = """
    SELECT DISTINCT COALESCE(NULLIF(application_name, ''), usename) FROM pg_stat_activity
    WHERE datname = %s AND pid <> pg_backend_pid() AND backend_type = 'client backend' ORDER BY 1 LIMIT 5
"""
SIGN_OUT = "UPDATE sessions SET revoked_at = clock_timestamp() WHERE revoked_at IS NULL"
"""Who signed out since the backup must not be signed in again; nobody knows any more who that was."""
LOCK = 0x5041524C
"""An advisory lock with the database's name: one restoring of it at a time."""
REVISION = re.compile(r"[0-9]{4}")
"""Of Parley's tables. Alembic's own are twelve hexadecimal digits, and other products use Alembic, too."""
TABLES = """
    SELECT relname FROM pg_class table_ WHERE relkind IN ('r', 'p', 'f')
        AND relnamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname ~ '^pg_' OR nspname = 'information_schema')
        AND NOT EXISTS (
            SELECT FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = table_.oid AND deptype = 'e'
        )
"""
"""Whatever their schema; those of an extension are nobody's."""
THERE = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)"


class Unfinished(Exception):
    """Not as before, and not all done; the message says what is where, and what remains to be done."""


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
    except Unfinished as why:
        print(why, file=sys.stderr)
        return 1
    return 0


def restore(ours: Settings, file: pathlib.Path) -> str:
    """Put it in place; what to tell.

    Raises:
        Refused: and all is as before.
        Unfinished
    """
    begun, name = time.monotonic(), dumps.name_of(ours)
    _refuse_unknown(file)
    elsewhere = dumps.with_name(ours, "postgres")
    with dumps.spoken(), contextlib.closing(dumps.connect(elsewhere)) as server:
        _refuse_company(server, name)
        _refuse_silence(ours)
        _refuse_strangers(server, ours)
        with server.cursor() as cursor:
            beside.sweep(cursor, name, "restored")
        with beside.made(elsewhere, beside.called(name, "restored")) as fresh:
            dumps.load(file, into=fresh)
            _prove(fresh)
            _refuse_company(server, name)
            _refuse_silence(ours)
            former = _swap(server, name=name, fresh=dumps.name_of(fresh))
    before = f"what was there before is {former}" if former else "there was nothing before"
    said = f"{file} is in place after {time.monotonic() - begun:.1f} s; {before}"
    try:
        _forget_what_is_live(ours)
    except (RedisError, SystemExit) as error:
        raise Unfinished(
            f"{said}. But Redis still knows what was live in that ({dumps.first_line(error)}): "
            f"remove its keys {client.name(ours, '*')} before you start Parley."
        ) from None
    return said


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
        cursor.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", (LOCK, name))
        if not cursor.fetchone()[0]:
            raise Refused("Another backup is being put in the place of this database.")
        until = time.monotonic() + GOODBYE_SECONDS
        while found := _connected(cursor, name):
            if time.monotonic() > until:
                raise Refused(f"The database is in use by {', '.join(found)}: stop everything of Parley first.")
            time.sleep(0.05)


def _connected(cursor: Any, name: str) -> list[str]:
    cursor.execute(CONNECTED, (name,))
    return [row[0] for row in cursor.fetchall()]


def _refuse_silence(ours: Settings) -> None:
    """Parley must not start on a restored database with what Redis knows of another."""
    if not ours.redis_url:
        return
    try:
        with client.connect(ours) as live:
            live.ping()
    except RedisError as error:
        raise Refused(f"Redis does not answer, and has to forget what is live: {dumps.first_line(error)}") from None


def _refuse_strangers(server: Any, ours: Settings) -> None:
    """A wrong ``DATABASE_URL`` must not put somebody else's tables away."""
    with server.cursor() as cursor:
        cursor.execute(THERE, (dumps.name_of(ours),))
        if not cursor.fetchone()[0]:
            return
    with contextlib.closing(dumps.connect(ours)) as connection, connection.cursor() as cursor:
        cursor.execute(TABLES)
        tables = {row[0] for row in cursor.fetchall()}
        revision = ""
        if "alembic_version" in tables:
            cursor.execute("SELECT max(version_num) FROM public.alembic_version")
            revision = cursor.fetchone()[0] or ""
    if tables and not REVISION.fullmatch(revision):
        raise Refused(f"{dumps.name_of(ours)} holds tables that are not Parley's, {min(tables)} for one: name another.")


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


def _swap(server: Any, *, name: str, fresh: str) -> str:
    """Both names change, or neither; the name of what was there, or nothing if there was nothing."""
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    former = beside.called(name, f"before_{dumps.stamp()}")
    there = False
    try:
        with server, server.cursor() as cursor:
            cursor.execute(THERE, (name,))
            [there] = cursor.fetchone()
            if there:
                cursor.execute(rename.format(sql.Identifier(name), sql.Identifier(former)))
            cursor.execute(rename.format(sql.Identifier(fresh), sql.Identifier(name)))
    except psycopg2.Error as error:
        if not server.closed:
            raise
        sign = former if there else name
        raise Unfinished(
            f"The connection was lost while the databases changed names ({dumps.first_line(error)}). If {sign} is "
            "there, the backup is in place, and Redis has yet to forget; if not, all is as before."
        ) from None
    return former if there else ""


def _forget_what_is_live(ours: Settings) -> None:
    """What Redis knows is of another database now. Nobody uses it: everything is stopped."""
    if not ours.redis_url:
        shutil.rmtree(ours.data_folder / "valkey" / "appendonlydir", ignore_errors=True)
        return
    with client.connect(ours) as live:
        for key in live.scan_iter(match=client.name(ours, "*"), count=1000):
            live.unlink(key)


if __name__ == "__main__":
    endings.exit_when_told()
    sys.exit(main(sys.argv[1:], os.environ))
