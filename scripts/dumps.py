"""Dumps: one database in a file, by PostgreSQL's own tools, and what such a file holds.

`scripts.backup` writes them, `scripts.restore` reads them; both look at them here.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import pathlib
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import psycopg2
from psycopg2 import extensions, sql
from sqlalchemy.exc import SQLAlchemyError

import local.postgres
from local.errors import CannotStart
from local.folder import Folder
from local.postgres import packaged
from models import base, invariants, settings, waiting
from models.settings import Settings
from scripts.check_invariants import line, published

NO_PATIENCE = 0.5
"""Seconds to wait for a `make run` that is ending."""
PROOF_SECONDS = 1800.0
"""For the invariants of a whole database: nobody waits for an answer, and a good file is not bad because it is long."""
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "TMPDIR", "HOME", "OPENSSL_CONF", "SSL_CERT_DIR", "SSL_CERT_FILE", "KRB5CCNAME")
"""What PostgreSQL's programs need of the environment, besides ``PG…``. The product's own secrets are none of theirs."""
UNSPEAKABLE = {"oauth_client_secret", "scram_client_key", "scram_server_key", "sslpassword"}
"""Parts of an address for which libpq has no place but the command line, which everybody on the machine may read."""
TABLES = """
    SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition
        AND relnamespace = 'public'::regnamespace ORDER BY relname
"""


class Refused(Exception):
    """It cannot be done; the message is a sentence that says why. Nothing has been changed."""


@contextlib.contextmanager
def database(environ: Mapping[str, str], *, idle: bool) -> Iterator[Settings]:
    """The settings with the database to work on: ``DATABASE_URL``, or that of `make run`, which is started if need be.

    Args:
        idle: whether nothing may be working on it.

    Raises:
        Refused: it is `make run`'s, which runs and shall not.
    """
    ours = settings.from_environment(environ)
    if ours.database_url:
        yield ours
        return
    running = published(ours.data_folder)
    if running and not idle:
        yield settings.from_environment({**environ, **running})
        return
    folder = Folder(ours.data_folder)
    try:
        folder.make()
        lock = folder.lock(wait_seconds=NO_PATIENCE)
    except CannotStart as error:
        raise Refused(str(error)) from None
    server = local.postgres.start(folder.path)
    try:
        # Not just put in: SQLAlchemy wants the driver named, which the settings see to.
        yield settings.from_environment({**environ, "DATABASE_URL": server.url})
    finally:
        server.stop()
        os.close(lock)


def connect(ours: Settings) -> Any:
    """A connection that commits each statement.

    Raises:
        Refused: there is none to be had.
    """
    try:
        connection = psycopg2.connect(ours.libpq_url, application_name="parley dumps", connect_timeout=5)
    except psycopg2.OperationalError as error:
        raise Refused(f"The database does not answer: {error}") from None
    connection.set_isolation_level(extensions.ISOLATION_LEVEL_AUTOCOMMIT)
    return connection


@contextlib.contextmanager
def spoken() -> Iterator[None]:
    """Whatever the database refuses becomes a sentence.

    Raises:
        Refused
    """
    try:
        yield
    except (psycopg2.Error, SQLAlchemyError) as error:
        raise Refused(f"The database refused: {first_line(error)}") from None


def first_line(error: BaseException) -> str:
    """What it says, without the lines that explain where."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def name_of(ours: Settings) -> str:
    """Of the database."""
    return str(extensions.parse_dsn(ours.libpq_url)["dbname"])


def with_name(ours: Settings, name: str) -> Settings:
    """The same with another database of the same server."""
    head, _, tail = ours.database_url.partition("?")
    path = f"/{quote(name, safe='')}"
    return replace(ours, database_url=head.rsplit("/", 1)[0] + path + (f"?{tail}" if tail else ""))


def run(program: str, *arguments: str, on: Settings | None = None) -> str:
    """What a program of PostgreSQL says on standard output.

    It is told the whole address, certificates and all, on its command line; the password by the environment, which
    is private.

    Raises:
        Refused: it failed, or is not there.
    """
    address = extensions.parse_dsn(on.libpq_url) if on else {}
    if secret := UNSPEAKABLE & address.keys():
        raise Refused(f"{program} can be told {min(secret)} only where everybody may read it: use a key without one.")
    environment = {key: value for key, value in os.environ.items() if key in PASSED_ON or key.startswith("PG")}
    if password := address.pop("password", None):
        environment["PGPASSWORD"] = str(password)
    binary = packaged(program) or shutil.which(program)
    if binary is None:
        raise Refused(f"{program} is not there: install PostgreSQL's client programs, or requirements-local.txt.")
    command = [binary, *([f"--dbname={extensions.make_dsn(**address)}"] if address else []), *arguments]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        said = ran.stderr.strip().splitlines()
        raise Refused(f"{program} failed: {said[0] if said else ran.returncode}")
    return ran.stdout


def counts(cursor: Any) -> dict[str, int]:
    """How many rows each table has, as this transaction sees it."""
    cursor.execute(TABLES)
    held = {}
    for (name,) in cursor.fetchall():
        cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name)))
        held[name] = cursor.fetchone()[0]
    return held


def load(file: pathlib.Path, *, into: Settings) -> None:
    """Put into an empty database what the file holds.

    Raises:
        Refused: the file is damaged.
    """
    run("pg_restore", "--exit-on-error", "--no-owner", "--no-privileges", "--jobs=2", str(file), on=into)
    with contextlib.closing(connect(into)) as connection, connection.cursor() as cursor:
        # A dump has no statistics, and without them every statement is planned as if tables were empty.
        cursor.execute("ANALYZE")


def broken(ours: Settings) -> list[str]:
    """A line for each invariant that does not hold in a database, or was not known in time."""
    patient = replace(ours, db_statement_seconds=PROOF_SECONDS)
    waiting.bound_every_wait(connect_seconds=ours.db_connect_seconds, statement_seconds=PROOF_SECONDS)
    engine = base.open_database(patient, name="invariants")
    try:
        with base.Session.begin() as session:
            checked = invariants.check(session, seconds=PROOF_SECONDS)
            return [line(each) for each in checked if not each.holds]
    finally:
        engine.dispose()
        extensions.set_wait_callback(None)


def stamp() -> str:
    """The time, for a name: ``20261127-031500``, in UTC."""
    return f"{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}"
