from __future__ import annotations

import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg2
import pytest

from local import postgres, programs
from local.embedded import RunningServer
from local.errors import CannotStart
from local.folder import Folder
from local.programs import Program
from tests.local.polling import is_alive, until

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made() -> Iterator[pathlib.Path]:
    """A data folder whose database has been made: making one takes seconds."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="parley-made-"))
    folder.chmod(0o755)
    postgres.prepare(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def server(open_folder: pathlib.Path, made: pathlib.Path) -> Iterator[RunningServer]:
    """A durable server of the test's own."""
    subprocess.run(["cp", "-a", f"{made}/.", str(open_folder)], check=True)  # keeps owners, as shutil would not
    running = postgres.start(open_folder)
    yield running
    running.stop()


def ask(server: RunningServer, statement: str) -> str:
    """The first value of the first row."""
    connection = psycopg2.connect(server.url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            row = cursor.fetchone() if cursor.description else None
            return str(row[0]) if row else ""
    finally:
        connection.close()


def test_whoever_runs_it_has_a_psql_as_the_page_on_operating_says(
    server: RunningServer, tmp_path: pathlib.Path
) -> None:
    """It is part of the wheel; nobody has to install another."""
    (words,) = re.findall(
        r"^```bash\n(set -a;.*?)^```", (ROOT / "docs/how-to/operate.md").read_text(), re.MULTILINE | re.DOTALL
    )
    folder = Folder(tmp_path / ".data")
    folder.make()
    folder.publish({"DATABASE_URL": server.url})
    (tmp_path / "local").symlink_to(ROOT / "local")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    ask(server, "CREATE TABLE jobs AS SELECT 'created' AS status FROM generate_series(1, 7)")

    printed = subprocess.check_output(["bash", "-ec", words], cwd=tmp_path, text=True)

    assert "created |     7" in printed


def test_the_database_speaks_utf_8_in_an_order_every_machine_shares(server: RunningServer) -> None:
    """The locale is PostgreSQL's own: indexes stay right when the system's library changes."""
    kind = "SELECT concat_ws(' ', datlocprovider, datlocale, pg_encoding_to_char(encoding))"

    assert ask(server, f"{kind} FROM pg_database WHERE datname = 'parley'") == "b C.UTF-8 UTF8"


def test_nobody_gets_in_without_the_password(server: RunningServer, open_folder: pathlib.Path) -> None:
    """Every user of the machine can reach the port."""
    parts = urlsplit(server.url)
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(server.url.replace(str(parts.password), "wrong"))

    key = open_folder / "keys" / "postgres-password"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert ask(server, "SELECT rolpassword FROM pg_authid WHERE rolname = 'parley'").startswith("SCRAM-SHA-256$")
    assert str(parts.password) not in " ".join(server.program.command)


def test_what_was_committed_is_there_after_kill_9(server: RunningServer, open_folder: pathlib.Path) -> None:
    """The pid file the killed one left behind does not keep the next from starting."""
    ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    os.kill(server.pid, signal.SIGKILL)
    server.process.wait()

    again = postgres.start(open_folder)

    assert ask(again, "SELECT answer FROM kept") == "42"
    again.stop()


@pytest.fixture
def stranger(server: RunningServer, open_folder: pathlib.Path) -> Iterator[int]:
    """The number of some other process of PostgreSQL's user."""
    program = Program(
        name="stranger", command=("/bin/sleep", "60"), environment={}, folder=open_folder, uid=server.program.uid
    )
    process = programs.spawn(program, log=open_folder / "stranger.log")
    until(lambda: "sleep" in pathlib.Path(f"/proc/{process.pid}/cmdline").read_text().split("\0")[0])
    yield process.pid
    process.kill()
    process.wait()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows whose number it is")
def test_a_pid_file_with_a_strangers_number_is_no_obstacle(
    server: RunningServer, open_folder: pathlib.Path, stranger: int
) -> None:
    """After a reboot, or in a container, the number in it belongs to somebody else."""
    server.stop()
    data = open_folder / "postgres"
    (data / "postmaster.pid").write_text(f"{stranger}\n{data}\n")

    again = postgres.start(open_folder)

    assert ask(again, "SELECT 1") == "1"
    again.stop()


def test_a_first_start_that_was_interrupted_is_begun_anew(open_folder: pathlib.Path) -> None:
    """Half a database is in the draft folder only."""
    draft = open_folder / "postgres.new" / "data"
    draft.mkdir(parents=True)
    (draft / "PG_VERSION").write_text("18\n")

    server = postgres.start(open_folder, durable=False)

    assert ask(server, "SELECT 1") == "1"
    assert not draft.parent.exists()
    server.stop()


def test_a_lost_password_is_replaced_and_the_data_kept(server: RunningServer, open_folder: pathlib.Path) -> None:
    """Deleting the keys must not lock anyone out of their own data."""
    ask(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    server.stop()
    shutil.rmtree(open_folder / "keys")

    again = postgres.start(open_folder)

    assert again.url.rsplit(":", 1)[0] != server.url.rsplit(":", 1)[0]
    assert ask(again, "SELECT answer FROM kept") == "42"
    again.stop()


def test_data_of_another_version_is_refused_in_a_sentence(server: RunningServer, open_folder: pathlib.Path) -> None:
    """PostgreSQL cannot read it; the person has to decide."""
    server.stop()
    (open_folder / "postgres" / "PG_VERSION").write_text("17\n")

    with pytest.raises(CannotStart, match="is of PostgreSQL 17, this is 18"):
        postgres.start(open_folder)


def test_a_folder_its_user_cannot_enter_is_no_obstacle(tmp_path: pathlib.Path) -> None:
    """As root, the server is another user: the data then lies elsewhere, and a link says where."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)

    server = postgres.start(closed, durable=False)
    data = (closed / "postgres").resolve()

    assert ask(server, "SELECT 1") == "1"
    assert (data / "PG_VERSION").exists()
    server.stop()
    assert not data.exists()


STARTER = """
import pathlib, sys
from local import postgres, valkey
for module in (postgres, valkey):
    print(module.start(pathlib.Path(sys.argv[1]), durable=False).pid, flush=True)
input()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's death")
def test_servers_started_alone_die_with_whoever_started_them(open_folder: pathlib.Path) -> None:
    """A test run that is killed leaves nothing running."""
    command = [sys.executable, "-c", STARTER, str(open_folder)]
    starter = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    assert starter.stdin is not None
    pids = [int(starter.stdout.readline()) for _ in range(2)]
    assert all(is_alive(pid) for pid in pids)

    starter.kill()
    starter.communicate()

    until(lambda: not any(is_alive(pid) for pid in pids))
