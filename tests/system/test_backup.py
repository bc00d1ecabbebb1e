"""Backup and restore, by PostgreSQL's own tools; what cannot be done is refused and changes nothing."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import psycopg2
import pytest
from psycopg2 import extensions

from models.live import client
from models.settings import Settings
from scripts import backup, drafts, dumps, restore
from scripts.dumps import Refused
from tests.conftest import ROOT
from tests.system.destroyed import a_database, ask, names

pytestmark = pytest.mark.xdist_group("people")


@pytest.fixture
def there(worker_id: str) -> Iterator[Settings]:
    """A database to destroy."""
    with a_database(worker_id, purpose="_backup") as ours:
        yield ours


def fill(ours: Settings) -> None:
    """People who are signed in."""
    people = "INSERT INTO users (id, username, display_name) SELECT gen_random_uuid(), 'u' || n, 'U' FROM {}"
    ask(ours, people.format("generate_series(1, 500) AS n"))
    ask(ours, "INSERT INTO sessions (id, user_id, expires_at) SELECT id, id, now() + interval '1 day' FROM users")


def file_of(folder: pathlib.Path) -> pathlib.Path:
    """The only one there."""
    [file] = folder.iterdir()
    return file


def test_what_was_destroyed_is_there_again(there: Settings, tmp_path: pathlib.Path) -> None:
    """Every row of the backup's moment and none of later; the file is its owner's; Redis has forgotten."""
    fill(there)
    told = backup.backup(there, tmp_path)
    file = file_of(tmp_path)
    before = ask(there, "SELECT md5(string_agg(users::text, ',' ORDER BY id)) FROM users")
    ask(there, "DELETE FROM users WHERE username <> 'u1'")
    ask(there, "DROP TABLE attempts")
    with client.connect(there) as live:
        live.set(client.name(there, "chat", "1"), "of later")
        live.set("somebody-elses", "stays")

    said = restore.restore(there, file)

    with client.connect(there) as live:
        assert sorted(live.keys("*")) == [b"somebody-elses"]
    assert ask(there, "SELECT md5(string_agg(users::text, ',' ORDER BY id)) FROM users") == before
    assert ask(there, "SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 0
    assert dumps.broken(there) == []
    assert ask(there, "SELECT count(*) FROM pg_stats WHERE schemaname = 'public' AND tablename = 'users'") > 0
    assert (stat.S_IMODE(file.stat().st_mode), "restored and compared" in told) == (0o600, True)
    former = next(name for name in names(there) if "_before_" in name)
    assert former in said
    assert ask(dumps.with_name(there, former), "SELECT username FROM users") == "u1"


def test_one_backup_at_a_time(there: Settings, tmp_path: pathlib.Path) -> None:
    """The second is refused and leaves nothing."""
    with contextlib.closing(dumps.connect(there)) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (backup.LOCK,))

        with pytest.raises(Refused, match="Another backup"):
            backup.backup(there, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_one_backup_at_a_time_until_it_is_proved(
    there: Settings, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proof is the longer half."""
    load, during = dumps.load, []

    def overtaken(file: pathlib.Path, *, into: Settings) -> None:
        load(file, into=into)
        with pytest.raises(Refused, match="Another backup"):
            backup.backup(there, tmp_path)
        during.append(names(there))

    monkeypatch.setattr(dumps, "load", overtaken)

    backup.backup(there, tmp_path)

    [[*_, checked]] = during
    assert "_check_" in checked
    assert file_of(tmp_path).is_file()


def test_a_backup_that_does_not_hold_what_was_there_gets_no_name(
    there: Settings, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The restored rows are counted, not believed."""
    load = dumps.load

    def lossy(file: pathlib.Path, *, into: Settings) -> None:
        load(file, into=into)
        ask(into, "DELETE FROM sessions")

    fill(there)
    monkeypatch.setattr(dumps, "load", lossy)

    with pytest.raises(backup.Damaged, match="sessions: 501 rows, restored 0"):
        backup.backup(there, tmp_path)

    assert list(tmp_path.iterdir()) == []
    assert [name for name in names(there) if "_check_" in name] == []


def test_a_long_database_is_proved_however_long_that_takes(there: Settings) -> None:
    """Its limits are for those who wait for an answer."""
    assert dumps.broken(replace(there, db_statement_seconds=0.001)) == []


def test_what_cannot_be_restored_changes_nothing(there: Settings, tmp_path: pathlib.Path) -> None:
    """Tables of a newer version, a damaged file, no file, and a product that runs."""
    ask(there, "UPDATE alembic_version SET version_num = '9999'")
    backup.backup(there, tmp_path)
    newer = file_of(tmp_path)
    with pytest.raises(Refused, match="newer version \\(9999\\)"):
        restore.restore(there, newer)
    ask(there, "UPDATE alembic_version SET version_num = '0001'")

    newer.unlink()
    broken = tmp_path / "broken.dump"
    broken.write_bytes(b"PGDMP nothing")
    for file in (broken, tmp_path / "none.dump"):
        with pytest.raises(Refused):
            restore.restore(there, file)

    with contextlib.closing(psycopg2.connect(there.libpq_url, application_name="parley api")):
        backup.backup(there, tmp_path / "good")
        with pytest.raises(Refused, match="in use by parley api"):
            restore.restore(there, file_of(tmp_path / "good"))

    assert ask(there, "SELECT version_num FROM alembic_version") == "0001"
    assert [name for name in names(there) if "_restored_" in name or "_before_" in name] == []


def test_a_command_says_in_a_sentence_why_not(capsys: pytest.CaptureFixture[str], tmp_path: pathlib.Path) -> None:
    """Without a database, and without a file."""
    nowhere = {"DATABASE_URL": "postgresql://x@127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1/0"}

    assert backup.main([str(tmp_path)], nowhere) == 2
    assert "does not answer" in capsys.readouterr().err
    assert restore.main([str(tmp_path / "none.dump")], nowhere) == 2
    assert "is no file" in capsys.readouterr().err
    assert restore.main([], nowhere) == 2
    assert "make restore FILE" in capsys.readouterr().out


def test_a_program_is_told_the_whole_address_and_nobody_else_the_password(
    there: Settings, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that Parley believes is believed here too; what else is in the environment stays there."""
    told = tmp_path / "told.json"
    program = tmp_path / "program"
    says = f"import json, os, sys; open({str(told)!r}, 'w').write(json.dumps([sys.argv[1:], dict(os.environ)]))"
    program.write_text(f"#!{sys.executable}\n{says}\n")
    program.chmod(0o700)
    monkeypatch.setattr(dumps, "packaged", lambda _: str(program))
    monkeypatch.setenv("PGSSLCERT", "/of/the/client.crt")
    monkeypatch.setenv("HOME", "/of/certificates")
    monkeypatch.setenv("TOKEN_KEY", "not theirs")
    demands = "sslmode=verify-full&sslrootcert=/a/ca.pem&channel_binding=require&options=-c%20work_mem%3D8MB"
    address = f"postgresql://me:s%20cret@db1:1,db2:2/shop?{demands}"

    dumps.run("pg_dump", "--more", on=replace(there, database_url=address))

    (address, more), environment = json.loads(told.read_text())
    where = {"host": "db1,db2", "port": "1,2", "user": "me", "dbname": "shop"}
    how = {"sslmode": "verify-full", "sslrootcert": "/a/ca.pem", "channel_binding": "require"}
    asked = extensions.parse_dsn(address.removeprefix("--dbname="))
    assert (asked, more) == (where | how | {"options": "-c work_mem=8MB"}, "--more")
    wanted = {"PGPASSWORD": "s cret", "PGSSLCERT": "/of/the/client.crt", "HOME": "/of/certificates"}
    assert wanted.items() <= environment.items()
    assert "TOKEN_KEY" not in environment


def test_a_secret_that_only_a_command_line_could_carry_is_refused(there: Settings) -> None:
    """The passphrase of a client's key."""
    with pytest.raises(Refused, match="told sslpassword only where everybody may read it"):
        dumps.run("pg_dump", on=replace(there, database_url="postgresql://me@db1/shop?sslpassword=secret"))


BEING_PROVED = """
import runpy, signal, sys
from scripts import dumps
def waits(file, *, into):
    print("being proved", flush=True)
    sys.stdin.read()
dumps.load = waits
for each in (signal.SIGINT, signal.SIGHUP):  # whoever runs the tests may have them ignored
    signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL)
runpy.run_module("scripts.backup", run_name="__main__")
"""


@pytest.fixture
def being_proved(there: Settings, tmp_path: pathlib.Path) -> Iterator[subprocess.Popen[str]]:
    """A backup that has written its file, and stays at the proof."""
    command = [sys.executable, "-c", BEING_PROVED, str(tmp_path)]
    environment = {**os.environ, "DATABASE_URL": there.database_url, "REDIS_URL": there.redis_url}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdin=pipe, stdout=pipe, stderr=pipe
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "being proved\n"
        assert len(list(tmp_path.iterdir())) == 1
        assert [name for name in names(there) if "_check_" in name]
        yield process
        process.kill()


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_backup_that_is_told_to_stop_leaves_nothing(
    there: Settings, tmp_path: pathlib.Path, being_proved: subprocess.Popen[str], told: signal.Signals
) -> None:
    """Neither a second copy of what people wrote, nor a file, nor a traceback."""
    being_proved.send_signal(told)
    _, said = being_proved.communicate()

    assert (being_proved.returncode, said) == (128 + told, "")
    assert list(tmp_path.iterdir()) == []
    assert names(there) == [dumps.name_of(there)]


def test_what_a_killed_backup_left_goes_with_the_next(
    there: Settings, tmp_path: pathlib.Path, being_proved: subprocess.Popen[str]
) -> None:
    """But no database and no file of anybody else, and no draft that somebody writes."""
    mine = dumps.name_of(there)
    others = [f"{mine}_check_of_prices", f"{mine}_b_check_0123abcd"]
    for name in others:
        ask(there, f"CREATE DATABASE {name} TEMPLATE template0")
    strangers = tmp_path / f".{drafts.stem('another')}-20261127-031500.dump.0123abcd"
    strangers.touch()
    being_proved.kill()
    being_proved.wait()
    # The server has noticed when the lock is to be had.
    with contextlib.closing(dumps.connect(there)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", (backup.LOCK,))

    with drafts.draft(tmp_path, drafts.stem(mine)) as written:
        backup.backup(there, tmp_path)
        left = sorted(tmp_path.iterdir())

    [made] = [path for path in left if not path.name.startswith(".")]
    assert left == sorted([strangers, written, made])
    assert sorted(names(there)) == sorted([mine, *others])


def test_a_file_takes_nobodys_name(there: Settings, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which database it is of, and two of one second are two."""
    monkeypatch.setattr(dumps, "stamp", lambda: "20261127-031500")
    begin = f"parley-{dumps.name_of(there)}-20261127-031500"
    taken = tmp_path / f"{begin}.dump"
    taken.write_text("somebody's")

    said = backup.backup(there, tmp_path)

    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{begin}-2.dump", taken.name]
    assert taken.read_text() == "somebody's"
    assert f"{begin}-2.dump" in said


def test_a_file_takes_nobodys_name_where_there_are_no_links(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a stick, or a share."""

    def none(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(dumps, "stamp", lambda: "20261127-031500")
    monkeypatch.setattr(os, "link", none)
    for text in ("first", "second"):
        with drafts.draft(tmp_path, "parley") as path:
            path.write_text(text)
            drafts.finish(path, "parley")

    held = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert held == {"parley-20261127-031500.dump": "first", "parley-20261127-031500-2.dump": "second"}


def test_a_file_has_its_name_only_when_disk_has_the_file(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is called done only when the disk has the name."""
    synced, fsync = [], os.fsync

    def seen(file: int) -> None:
        synced.append((pathlib.Path(f"/proc/self/fd/{file}").resolve(), sorted(tmp_path.glob("*.dump"))))
        fsync(file)

    monkeypatch.setattr(os, "fsync", seen)
    with drafts.draft(tmp_path, "parley") as path:
        name = drafts.finish(path, "parley")

    assert synced == [(path, []), (tmp_path, [name])]


def test_a_folder_that_cannot_be_written_is_a_sentence(
    there: Settings, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not a traceback."""
    (tmp_path / "file").touch()

    code = backup.main(
        [str(tmp_path / "file" / "folder")], {"DATABASE_URL": there.database_url, "REDIS_URL": "redis://x"}
    )

    assert code == 2
    assert "cannot be written" in capsys.readouterr().err
