"""Restore, where something stands in its way: it is refused and all is as before, or it says what is where."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from models.live import client
from models.settings import Settings
from scripts import backup, beside, dumps, restore
from scripts.dumps import Refused
from scripts.restore import Unfinished
from tests.system.destroyed import a_database, ask, names

pytestmark = [pytest.mark.xdist_group("people"), pytest.mark.outage]
NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def there(worker_id: str) -> Iterator[Settings]:
    """A database to destroy."""
    with a_database(worker_id, purpose="_restore") as ours:
        yield ours


@pytest.fixture
def file(there: Settings, tmp_path: pathlib.Path) -> pathlib.Path:
    """A backup of it."""
    ask(there, "INSERT INTO users (id, username, display_name) VALUES (gen_random_uuid(), 'before', 'B')")
    backup.backup(there, tmp_path)
    [made] = tmp_path.iterdir()
    return made


def test_a_redis_that_does_not_answer_is_asked_first(
    there: Settings, file: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise Parley would start on the restored database with what is live in another."""
    code = restore.main([str(file)], {"DATABASE_URL": there.database_url, "REDIS_URL": NOWHERE})

    assert code == 2
    assert "Redis does not answer" in capsys.readouterr().err
    assert names(there) == [dumps.name_of(there)]


def test_the_database_of_make_run_is_started_restored_into_and_backed_up(
    file: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the commands as they are typed, while nothing runs and no address is set."""
    with tempfile.TemporaryDirectory() as data:
        pathlib.Path(data).chmod(0o755)  # PostgreSQL runs as another user where this runs as root
        environ = {"PARLEY_DATA": data}

        codes = [restore.main([str(file)], environ), backup.main([str(file.parent / "again")], environ)]

    assert (codes, capsys.readouterr().err) == ([0, 0], "")


def test_a_redis_that_goes_meanwhile_is_asked_again(
    there: Settings, file: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copying takes minutes."""
    load, connect = dumps.load, client.connect

    def and_then(file: pathlib.Path, *, into: Settings) -> None:
        load(file, into=into)
        monkeypatch.setattr(client, "connect", lambda ours: connect(replace(ours, redis_url=NOWHERE)))

    monkeypatch.setattr(dumps, "load", and_then)

    with pytest.raises(Refused, match="Redis does not answer"):
        restore.restore(there, file)

    assert names(there) == [dumps.name_of(there)]


def test_a_redis_that_does_not_forget_is_told_of(
    there: Settings, file: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is in place, what was before it, and what is still to be done; this Redis lets us ask, and nothing more."""
    address = urlsplit(there.redis_url)
    user = dumps.name_of(there)
    with client.connect(there) as live:
        live.execute_command("ACL", "SETUSER", user, "on", ">secret", "+ping", "+select")
        try:
            url = address._replace(netloc=f"{user}:secret@{address.netloc.rpartition('@')[2]}").geturl()
            code = restore.main([str(file)], {"DATABASE_URL": there.database_url, "REDIS_URL": url})
        finally:
            live.execute_command("ACL", "DELUSER", user)

    said = capsys.readouterr().err
    [former] = [name for name in names(there) if "_before_" in name]
    assert code == 1
    assert f"{file} is in place" in said
    assert f"what was there before is {former}" in said
    assert f"remove its keys {client.name(there, '*')} before you start Parley" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("revision", [None, "ae1027a6acf0"])
def test_somebody_elses_tables_are_not_put_away(there: Settings, file: pathlib.Path, revision: str | None) -> None:
    """A shop's, whose maker may know Alembic too."""
    ask(there, "DROP SCHEMA public CASCADE")
    ask(there, "CREATE SCHEMA shop")
    ask(there, "CREATE TABLE shop.invoices (id int)")
    if revision:
        ask(there, "CREATE SCHEMA public")
        ask(there, f"CREATE TABLE public.alembic_version AS SELECT '{revision}' AS version_num")

    with pytest.raises(Refused, match="holds tables that are not Parley's"):
        restore.restore(there, file)

    assert ask(there, "SELECT count(*) FROM shop.invoices") == 0
    assert names(there) == [dumps.name_of(there)]


def test_an_empty_database_and_none_are_filled(there: Settings, file: pathlib.Path) -> None:
    """As after a lost disk."""
    ask(there, "DROP SCHEMA public CASCADE")
    assert "_before_" in restore.restore(there, file)

    beside.drop(dumps.with_name(there, "postgres"), dumps.name_of(there))
    assert "there was nothing before" in restore.restore(there, file)

    assert ask(there, "SELECT count(*) FROM users WHERE username = 'before'") == 1


def test_both_names_change_or_neither(there: Settings, file: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody is in the restored database, so the second change is refused when the first is made."""
    with contextlib.ExitStack() as during:

        def enters(fresh: Settings) -> None:
            during.enter_context(contextlib.closing(dumps.connect(fresh)))

        monkeypatch.setattr(restore, "_prove", enters)

        with pytest.raises(Refused, match="is being accessed by other users"):
            restore.restore(there, file)

    assert ask(there, "SELECT count(*) FROM users WHERE username = 'before'") == 1
    assert names(there) == [dumps.name_of(there)]


def test_a_lost_connection_leaves_no_doubt_unsaid(there: Settings) -> None:
    """Whether the server did it before it went cannot be known here, but how to see it can."""
    elsewhere = dumps.with_name(there, "postgres")
    with contextlib.closing(dumps.connect(elsewhere)) as server:
        ask(elsewhere, f"SELECT pg_terminate_backend({server.info.backend_pid}, 5000)")

        with pytest.raises(Unfinished, match="if not, all is as before"):
            restore._swap(server, name=dumps.name_of(there), fresh="none")

    assert names(there) == [dumps.name_of(there)]


def test_what_has_the_name_already_is_left_alone(there: Settings) -> None:
    """Another's database is not removed for having been there before."""
    elsewhere = dumps.with_name(there, "postgres")
    with pytest.raises(Refused, match="already exists"), beside.made(elsewhere, dumps.name_of(there)):
        pass

    assert names(there) == [dumps.name_of(there)]


def test_one_restore_at_a_time(there: Settings, file: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second would remove what the first has copied so far, as left behind."""
    load = dumps.load

    def overtaken(copied: pathlib.Path, *, into: Settings) -> None:
        load(copied, into=into)
        with pytest.raises(Refused, match="Another backup is being put"):
            restore.restore(there, file)

    monkeypatch.setattr(dumps, "load", overtaken)

    restore.restore(there, file)

    assert [name for name in names(there) if "_restored_" in name] == []


def test_what_a_killed_restore_left_goes_with_the_next(there: Settings, file: pathlib.Path) -> None:
    """A second copy of what people wrote is nobody's to keep."""
    ask(there, f"CREATE DATABASE {beside.called(dumps.name_of(there), 'restored')} TEMPLATE template0")

    restore.restore(there, file)

    assert [name for name in names(there) if "_restored_" in name] == []


def test_a_long_name_is_not_cut_by_the_server(there: Settings) -> None:
    """Two that begin alike stay two."""
    long = ["é" * 31 + "a", "é" * 31 + "b"]
    made = [beside.called(name, "before_20261127-031500") for name in long]

    assert made[0][:-8] != made[1][:-8]
    with contextlib.ExitStack() as stack:
        for name in made:
            assert ask(stack.enter_context(beside.made(there, name)), "SELECT current_database()") == name
