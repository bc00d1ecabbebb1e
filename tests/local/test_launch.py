"""The whole story, with a product that is quick to start: modules that stand in for gunicorn, Celery and Alembic."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final

import psutil
import pytest

from local import install, ports
from local.errors import CannotStart
from local.launch import prepare
from tests.local.polling import are_gone, until

ROOT: Final = pathlib.Path(__file__).resolve().parents[2]

STAYS: Final = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True: time.sleep(60)
"""
STARTS_COUNTED: Final = """
import os, psycopg2
connection = psycopg2.connect(os.environ["DATABASE_URL"])
with connection, connection.cursor() as cursor:
    cursor.execute("CREATE TABLE IF NOT EXISTS starts ()")
    cursor.execute("INSERT INTO starts DEFAULT VALUES")
    cursor.execute("SELECT count(*) FROM starts")
    print("start", cursor.fetchone()[0])
"""
ALWAYS_READY: Final = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status": "ready"}')
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
ANSWERS: Final = ALWAYS_READY.replace("PORT", "GATEWAY_PORT")
LAUNCHER: Final = """
import os, pathlib, signal, sys
from local import install, launch
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests under nohup ignore it, and children inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)  # as do those in the background of a shell
install.install = lambda root, requirements: None
root = pathlib.Path(sys.argv[1])
(root / ".venv").exists() or (root / ".venv").symlink_to(sys.prefix)
sys.exit(launch.main(root, os.environ))
"""


class Launched:
    """A launcher that runs, and what it prints."""

    def __init__(self, folder: pathlib.Path, port: int) -> None:
        self.begun = time.monotonic()
        self.process = psutil.Popen(
            [sys.executable, "-c", LAUNCHER, str(folder)],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PORT": str(port), "PARLEY_DATA": str(folder / "data")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def until_ready(self) -> str:
        """Everything printed until it stays."""
        printed = ""
        while "Ctrl-C" not in printed:
            line = str(self.process.stdout.readline())
            assert line, printed
            printed += line
        return printed

    def tree(self) -> list[int]:
        """Every process below it."""
        return [process.pid for process in self.process.children(recursive=True)]

    def stop(self, number: int) -> tuple[int, str, float]:
        """Exit code, what it still printed, and how long it took."""
        begun = time.monotonic()
        self.process.send_signal(number)
        rest, _ = self.process.communicate(timeout=30)
        return self.process.returncode, rest, time.monotonic() - begun


@pytest.fixture
def product(open_folder: pathlib.Path) -> pathlib.Path:
    """A checkout whose gunicorn, Celery and Alembic are modules of a few lines."""
    (open_folder / "tasks").mkdir()
    (open_folder / "api").mkdir()
    for name, code in {
        "alembic.py": STARTS_COUNTED,
        "gunicorn.py": ALWAYS_READY,
        "celery.py": STAYS,
        "tasks/dispatcher.py": STAYS,
        "api/gateway.py": ANSWERS,
    }.items():
        (open_folder / name).write_text(code)
    return open_folder


@pytest.fixture
def launch(product: pathlib.Path) -> Iterator[Callable[[], Launched]]:
    """Launches the product; kills what is left of it at the end."""
    port = ports.free_port()
    launched: list[Launched] = []

    def go() -> Launched:
        launched.append(Launched(product, port))
        return launched[-1]

    yield go
    for each in launched:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.process.kill()
        each.process.communicate()


def test_everything_starts_stops_and_starts_again_with_its_data(
    launch: Callable[[], Launched], product: pathlib.Path
) -> None:
    """Twice from nothing to ready and back; the second time the database remembers the first."""
    first = launch()
    printed = first.until_ready()
    tree = first.tree()
    code, rest, seconds = first.stop(signal.SIGINT)

    assert "Parley is ready at http://127.0.0.1:" in printed
    assert (code, rest) == (0, "Stopping\n")
    assert seconds <= 5.0
    assert are_gone(tree)

    second = launch()
    second.until_ready()
    assert second.stop(signal.SIGTERM)[0] == 0
    assert (product / "data" / "logs" / "migration.log").read_text() == "start 1\nstart 2\n"


def test_tools_find_the_running_instance_and_no_other(launch: Callable[[], Launched], product: pathlib.Path) -> None:
    """Addresses of servers that are gone would lead tools to a stranger's."""
    launched = launch()
    launched.until_ready()
    services = product / "data" / "services.env"

    names = [line.partition("=")[0] for line in services.read_text().splitlines()]
    assert names == ["DATABASE_URL", "REDIS_URL", "ADMIN_TOKEN"]

    launched.stop(signal.SIGHUP)
    assert not services.exists()


def test_a_start_right_after_kill_9_waits_for_the_old_processes(launch: Callable[[], Launched]) -> None:
    """Neither the port nor the database is fought over."""
    killed = launch()
    killed.until_ready()
    tree = killed.tree()
    killed.process.kill()

    again = launch()
    again.until_ready()

    assert are_gone(tree)
    assert again.stop(signal.SIGINT)[0] == 0


def test_a_server_that_is_killed_comes_back_at_its_address(launch: Callable[[], Launched]) -> None:
    """The others keep the address they were given at the start."""
    launched = launch()
    launched.until_ready()
    postgres = next(child for child in launched.process.children() if child.name() == "postgres")
    command = postgres.cmdline()

    postgres.kill()

    until(lambda: any(_runs_as(child, command) for child in launched.process.children() if child != postgres))
    code, rest, _ = launched.stop(signal.SIGINT)
    assert code == 0
    assert rest.startswith("postgres was killed by signal 9; it is started again in 0.2 s")


def _runs_as(process: psutil.Process, command: list[str]) -> bool:
    try:
        return bool(process.cmdline() == command)
    except psutil.NoSuchProcess:
        return False


def test_a_migration_that_fails_ends_the_start_with_its_log(
    launch: Callable[[], Launched], product: pathlib.Path
) -> None:
    """The product would run on tables it does not know."""
    (product / "alembic.py").write_text("raise SystemExit('no such revision')")

    launched = launch()
    printed, _ = launched.process.communicate(timeout=60)

    assert launched.process.returncode == 1
    assert printed.endswith("migration.log:\n    no such revision\n")


def test_a_product_that_crashes_at_every_start_ends_the_start_with_its_log(
    launch: Callable[[], Launched], product: pathlib.Path
) -> None:
    """Ready it will never be, so nobody waits a minute for it."""
    (product / "gunicorn.py").write_text("raise SystemExit('no such option')")

    launched = launch()
    printed, _ = launched.process.communicate(timeout=60)

    assert launched.process.returncode == 1
    assert "api crashed 5 times; the end of " in printed
    assert printed.endswith("    no such option\n")


def test_who_starts_it_twice_is_told_where_the_first_is_and_how_to_have_another(
    open_folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a command that works: the folder and both ports are free."""
    monkeypatch.setattr(install, "install", lambda *_: None)
    monkeypatch.setattr("local.launch.OLD_TREE_SECONDS", 0.0)
    monkeypatch.chdir(open_folder)
    port = ports.free_port()
    environment = {"PARLEY_DATA": ".data", "PORT": str(port), "STOP_GRACE_SECONDS": "0.1"}
    first = prepare(open_folder, environment)

    with pytest.raises(CannotStart) as refused:
        prepare(open_folder, environment)

    here, _, command = str(refused.value).partition("; for another beside it: ")
    address = f"http://127.0.0.1:{port}"
    assert (
        here
        == f"Parley already runs in {open_folder}/.data (process {os.getpid()}, {address}): use that one, or stop it"
    )
    *other, make, run = command.split()
    assert (make, run, other[0]) == ("make", "run", "PARLEY_DATA=.data2")
    second = prepare(open_folder, environment | dict(each.split("=") for each in other))
    for plan in (first, second):
        os.close(plan.lock)


@pytest.mark.parametrize(
    ("endpoint", "wanted"), [("", install.TO_RUN), ("http://127.0.0.1:4318", install.TO_TRACE)], ids=["off", "on"]
)
def test_what_traces_need_is_installed_where_they_are_wanted(
    open_folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, endpoint: str, wanted: tuple[str, ...]
) -> None:
    """Whoever sets the variable need know nothing of requirements; everybody else has none of it."""
    installed: list[object] = []
    monkeypatch.setattr(install, "install", lambda _, requirements: installed.append(requirements))
    environment = {"PARLEY_DATA": str(open_folder / "data"), "PORT": str(ports.free_port())}

    plan = prepare(open_folder, {**environment, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint})
    os.close(plan.lock)

    assert installed == [wanted]
