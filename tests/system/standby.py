"""PostgreSQLs of one's own: one alone, and a pair, one following the other by way of a network that can fail."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
from dataclasses import replace
from typing import Any, Self

import psycopg2

import local.postgres
from local import embedded, ports
from local.postgres import ENVIRONMENT, NAME, Postgres
from local.programs import Program, last_lines, run_to_end
from tests.fault_proxy import FaultProxy
from tests.system.outages import Fragile
from tests.system.stack import eventually

DURABLE = ("fsync=on", "synchronous_commit=on", "full_page_writes=on")


class Primary:
    """``with Primary(folder) as one``: an empty database that loses no commit, and room for more servers."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        made = local.postgres.prepare(self._folder, durable=False)
        self._made = with_settings(made, *DURABLE)
        for folder in made.home.disposable:
            self._open.callback(shutil.rmtree, folder, ignore_errors=True)
        self.set_up()
        self.primary = self._run(self._made)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def set_up(self) -> None:
        """What has to be done before it is started for the first time."""

    def ask(self, server: Fragile, statement: str) -> list[tuple[Any, ...]]:
        """Rows of one statement, in a transaction of its own."""
        connection = psycopg2.connect(server.url)
        connection.autocommit = True
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _once(self, program: str, *arguments: str) -> None:
        """Run something to its end, as the server's user; a bare name is one of PostgreSQL's programs."""
        home, name = self._made.home, pathlib.Path(program).name
        log = self._folder / f"{name}.log"
        run = Program(
            name=name,
            command=(program if program.startswith("/") else home.binary(program), *arguments),
            environment={
                **ENVIRONMENT,
                "PATH": f"{home.binaries / 'bin'}:/usr/bin:/bin",
                "PGPASSWORD": self._made.password,
            },
            folder=home.data.parent,
            uid=home.uid,
        )
        assert run_to_end(run, log=log) == 0, last_lines(log)

    def _run(self, postgres: Postgres) -> Fragile:
        log = self._folder / f"{postgres.port}.log"
        server = embedded.run_alone(postgres.program, url=postgres.url, log=log, is_ready=postgres.is_ready)
        fragile = Fragile(server)
        self._open.callback(server.stop)
        self._open.callback(fragile.stop)
        return fragile

    def _at(self, data: pathlib.Path) -> Postgres:
        """The same server on other files, at a port of its own."""
        port = ports.free_port()
        command = self._made.program.command
        program = replace(self._made.program, command=(command[0], "-D", str(data), *command[3:]))
        home = replace(self._made.home, data=data)
        return with_settings(replace(self._made, program=program, home=home, port=port), f"port={port}")


class Pair(Primary):
    """``with Pair(folder) as pair``: an empty database that is followed, asynchronously to begin with."""

    def __enter__(self) -> Self:
        super().__enter__()
        # pg_rewind reads back to the last checkpoint before the two parted; it runs PostgreSQL as its files say.
        self.ask(self.primary, "ALTER SYSTEM SET wal_keep_size = '256MB'")
        self.ask(self.primary, "SELECT pg_reload_conf()")
        self.wire = self._open.enter_context(FaultProxy(self._made.port))
        self.standby = self._run(self._copied())
        eventually(lambda: self.ask(self.primary, "SELECT true FROM pg_stat_replication WHERE state = 'streaming'"))
        return self

    @property
    def url(self) -> str:
        """As Parley has it: whichever of the two can be written to."""
        both = f"host=127.0.0.1,127.0.0.1&port={self.primary.port},{self.standby.port}"
        return f"postgresql://{NAME}:{self._made.password}@/{NAME}?{both}&target_session_attrs=read-write"

    def demand_both(self) -> None:
        """From here on a commit is acknowledged when the standby has it too."""
        self.ask(self.primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.ask(self.primary, "SELECT pg_reload_conf()")
        eventually(lambda: self.ask(self.primary, "SELECT true FROM pg_stat_replication WHERE sync_state = 'sync'"))

    def catch_up(self) -> None:
        """Wait until the standby has all that the primary has now."""
        [(written,)] = self.ask(self.primary, "SELECT pg_current_wal_flush_lsn()::text")
        eventually(lambda: self.ask(self.standby, f"SELECT true WHERE pg_last_wal_replay_lsn() >= '{written}'"))

    def promote(self) -> None:
        """Have the standby be the primary; returns when it is."""
        self.wire.switch("refuse")
        assert self.ask(self.standby, "SELECT pg_promote()") == [(True,)]

    def come_back(self) -> None:
        """The old primary follows the new one; what it alone had is gone. Returns when it has what the other has."""
        home = self._made.home
        where = f"host=127.0.0.1 port={self.standby.port} user={NAME} dbname={NAME}"
        self._once("pg_rewind", "-D", str(home.data), f"--source-server={where}", "-R")
        self._run(self._made)
        self.primary, self.standby = self.standby, self.primary
        eventually(lambda: self.ask(self.primary, "SELECT true FROM pg_stat_replication WHERE state = 'streaming'"))
        self.catch_up()

    def _copied(self) -> Postgres:
        """The primary's files, set up to follow it, as `docs/how-to/fail-over.md` has it."""
        home = self._made.home
        copy = home.data.with_name("standby")
        copy.mkdir(mode=0o700)
        home.give(copy)
        where = f"host=127.0.0.1 port={self.wire.port} user={NAME}"
        self._once("pg_basebackup", "-D", str(copy), "-d", where, "-R", "-X", "stream", "-c", "fast")
        return self._at(copy)


def with_settings(postgres: Postgres, *settings: str) -> Postgres:
    """The same server with these, which win over its files and its other options."""
    options = [part for setting in settings for part in ("-c", setting)]
    return replace(postgres, program=replace(postgres.program, command=(*postgres.program.command, *options)))
