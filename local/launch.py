"""Launch: the story of `make run`, from the settings to Ctrl-C.

Everything that can be refused is refused before anything slow begins.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from local import install, ports, postgres, processes, readiness, schema, valkey
from local.errors import CannotStart
from local.folder import Folder
from local.programs import Program
from local.stopping import Stopped, StopRequests
from local.summary import address, ready_text
from local.supervisor import Supervisor
from models import settings as product_settings
from models.settings import Settings

GRACE_SECONDS: Final = "3"
"""What running calls to a model get at Ctrl-C: here somebody waits at a terminal."""
OLD_TREE_SECONDS: Final = 3.0
"""What an earlier run in the same folder may take to go, beyond its grace."""
READY_SECONDS: Final = 60.0
MIGRATION_SECONDS: Final = 600.0
MANY_CRASHES: Final = 5
CHILD_OF: Final = {"database": "postgres", "redis": "valkey"}
"""The API names a component by its role; its log has the name of the program."""


class Server(Protocol):
    """An embedded server, prepared to be run."""

    @property
    def program(self) -> Program:
        """How to run it."""

    def is_ready(self) -> bool:
        """Whether it serves clients."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be run, after everything that could be refused has not been."""

    root: pathlib.Path
    folder: Folder
    lock: int
    settings: Settings
    environment: dict[str, str]
    """Of all processes. The addresses of the embedded servers are added as they become known."""

    @property
    def python(self) -> pathlib.Path:
        """What the product's processes are run with; this process may be another Python."""
        return install.python_of(self.root)


def main(root: pathlib.Path, environ: Mapping[str, str]) -> int:
    """Run the whole product until somebody stops it; returns the exit code."""
    begun = time.monotonic()
    return _said(lambda: run(prepare(root, environ), begun=begun))


def install_only(root: pathlib.Path, requirements: Sequence[str]) -> int:
    """Install, start nothing; returns the exit code."""
    return _said(lambda: install.install(root, requirements))


def _said(work: Callable[[], None]) -> int:
    """Do the work; turn a refusal into its sentence and an exit code."""
    try:
        work()
    except (CannotStart, product_settings.SettingRefused, OSError) as refusal:
        print(refusal, file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # while installing; later it is a request to stop
        return 1
    return 0


def say(line: str) -> None:
    """Print; a terminal that has gone away is no reason to leave processes behind."""
    with contextlib.suppress(OSError):
        print(line, flush=True)


def prepare(root: pathlib.Path, environ: Mapping[str, str]) -> Plan:
    """Read the settings, take folder and port, install.

    Raises:
        SettingRefused: see `models.settings`.
        CannotStart: the folder or the port belongs to somebody else, or installing failed.
    """
    environment = dict(environ)
    if not environment.get("STOP_GRACE_SECONDS", "").strip():
        environment["STOP_GRACE_SECONDS"] = GRACE_SECONDS
    for doubt in product_settings.doubts(environ):
        say(doubt)
    settings = product_settings.from_environment(environment)
    folder = Folder(settings.data_folder)
    folder.make()
    lock = take(folder, settings)
    check_port(settings)
    install.install(root, install.TO_TRACE if settings.otel_endpoint else install.TO_RUN)
    environment |= {"PARLEY_DATA": str(folder.path), "PYTHONUNBUFFERED": "1"}
    environment["GATEWAY_PORT"] = str(settings.own_gateway_port)
    environment["ADMIN_TOKEN"] = settings.admin_token or folder.admin_token()
    environment["TOKEN_KEY"] = settings.token_key or folder.token_key()
    # On this machine alone, whoever reaches the port may try it out.
    for name, value in (("ALLOW_GUESTS", "true"), ("REGISTRATION", "open")):
        environment[name] = environment.get(name, "").strip() or value
    return Plan(root=root, folder=folder, lock=lock, settings=settings, environment=environment)


def take(folder: Folder, settings: Settings) -> int:
    """The folder's lock, or a refusal with a command that works."""
    wait = settings.stop_grace_seconds + OLD_TREE_SECONDS
    try:
        return folder.lock(wait_seconds=wait, address=address(settings), say=say)
    except CannotStart as refusal:
        another = f"PARLEY_DATA={shlex.quote(os.path.relpath(folder.path) + '2')} {other_ports(settings)} make run"
        raise CannotStart(f"{refusal}; for another beside it: {another}") from None


def other_ports(settings: Settings) -> str:
    """Settings with which both the API and the gateway can listen."""
    port = ports.free_row(settings.host, after=settings.port, length=2)
    return f"PORT={port} GATEWAY_PORT={port + 1}" if settings.gateway_port else f"PORT={port}"


def check_port(settings: Settings) -> None:
    """Refuse a port that cannot be had, with a command that works."""
    for name, port, use in (
        ("PORT", settings.port, ""),
        ("GATEWAY_PORT", settings.own_gateway_port, " (the gateway's)"),
    ):
        try:
            is_free = ports.can_listen(settings.host, port)
        except OSError as why:
            raise CannotStart(f"Cannot listen on HOST={settings.host} {name}={port}: {why.strerror}.") from None
        if not is_free:
            raise CannotStart(f"Port {port}{use} is taken; choose another: {_instead_of(name, settings)} make run")


def _instead_of(name: str, settings: Settings) -> str:
    if name == "PORT":
        return other_ports(settings)
    after = max(settings.port, settings.own_gateway_port)
    return f"GATEWAY_PORT={ports.free_row(settings.host, after=after, length=1)}"


def run(plan: Plan, *, begun: float) -> None:
    """Start everything, say so, and stay until asked to stop."""
    sys.path.append(str(install.packages_of(plan.root)))  # only to find the servers' wheels
    with supervised(plan) as supervisor, contextlib.suppress(Stopped):
        database = start_servers(plan, supervisor)
        if plan.settings.database_url or not schema.is_current(plan.environment["DATABASE_URL"], plan.root):
            migrate(plan, supervisor)
        start_product(plan, supervisor)
        seconds = time.monotonic() - begun
        say(ready_text(plan.settings, folder=plan.folder.path, database=database, seconds=seconds))
        supervisor.run_until(lambda: False)


@contextlib.contextmanager
def supervised(plan: Plan) -> Iterator[Supervisor]:
    """A supervisor that leaves nothing behind, however the block ends."""
    requests = StopRequests()
    requests.listen()
    grace = plan.settings.stop_grace_seconds
    supervisor = Supervisor(
        logs=plan.folder.logs, grace_seconds=grace, keep_open=(plan.lock,), requests=requests, say=say
    )
    try:
        yield supervisor
    finally:
        say("Stopping")
        supervisor.stop()
        plan.folder.unpublish()


def start_servers(plan: Plan, supervisor: Supervisor) -> pathlib.Path | None:
    """Start the servers for which no address is set; returns the database's folder, if there is one here.

    Valkey comes up while the database is being made.
    """
    servers: list[Server] = []
    database = None
    if not plan.settings.redis_url:
        cache = valkey.prepare(plan.folder.path)
        servers.append(_start(cache, supervisor))
        plan.environment["REDIS_URL"] = cache.url
    if not plan.settings.database_url:
        truth = postgres.prepare(plan.folder.path)
        servers.append(_start(truth, supervisor))
        plan.environment["DATABASE_URL"] = truth.url
        database = truth.home.data
    for server in servers:
        _wait_for_server(server, supervisor)
    plan.folder.publish({name: plan.environment[name] for name in ("DATABASE_URL", "REDIS_URL", "ADMIN_TOKEN")})
    return database


def _start(server: Server, supervisor: Supervisor) -> Server:
    say(f"Starting {server.program.name}")
    supervisor.start(server.program)
    return server


def _wait_for_server(server: Server, supervisor: Supervisor) -> None:
    name = server.program.name
    if not supervisor.run_until(server.is_ready, seconds=READY_SECONDS, max_crashes=MANY_CRASHES):
        raise CannotStart(f"{name} does not answer after {READY_SECONDS:g} s; {supervisor.end_of_log(name)}")


def migrate(plan: Plan, supervisor: Supervisor) -> None:
    """Bring the tables up to date. A failure is final: the product would run on tables it does not know."""
    say("Migrating the database")
    child = supervisor.start(processes.migration(plan.python, plan.root, plan.environment))
    is_over = supervisor.run_until(lambda: not child.is_running(), seconds=MIGRATION_SECONDS)
    if not is_over or child.process.returncode != 0:
        raise CannotStart(f"The database could not be migrated; {supervisor.end_of_log('migration')}")


def start_product(plan: Plan, supervisor: Supervisor) -> None:
    """Start the product's processes together; returns when the API says that all of them are ready."""
    programs = processes.product(plan.python, plan.root, plan.environment)
    say(f"Starting {', '.join(program.name for program in programs)}")
    for program in programs:
        supervisor.start(program)
    last = readiness.Answer()

    def is_ready() -> bool:
        nonlocal last
        last = readiness.ask(plan.settings.host, plan.settings.port)
        return last.is_ready and readiness.answers(plan.settings.host, plan.settings.own_gateway_port)

    if not supervisor.run_until(is_ready, seconds=READY_SECONDS, max_crashes=MANY_CRASHES):
        raise CannotStart(_not_ready(last, supervisor))


def _not_ready(answer: readiness.Answer, supervisor: Supervisor) -> str:
    missing = [CHILD_OF.get(name, name) for name in answer.missing] or ["gateway"]
    log = next((name for name in missing if name in supervisor.children), "api")
    return f"Not ready after {READY_SECONDS:g} s, missing: {', '.join(missing)}; {supervisor.end_of_log(log)}"
