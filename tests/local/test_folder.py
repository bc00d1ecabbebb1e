from __future__ import annotations

import os
import pathlib
import stat
import subprocess
import sys

import pytest

from local import keys
from local.errors import CannotStart
from local.folder import Folder


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> Folder:
    """A fresh data folder."""
    fresh = Folder(tmp_path / "data")
    fresh.make()
    return fresh


def mode_of(path: pathlib.Path) -> int:
    """Who may do what with it."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_second_instance_is_refused_with_the_first_ones_number(folder: Folder) -> None:
    """Two would write to one database folder."""
    lock = folder.lock(wait_seconds=0)

    with pytest.raises(
        CannotStart, match=rf"already runs in {folder.path} \(process {os.getpid()}\): use that one, or"
    ):
        folder.lock(wait_seconds=0)

    os.close(lock)


def test_the_lock_is_free_when_the_last_process_that_inherited_it_is_gone(folder: Folder) -> None:
    """The launcher may be dead; what it started may still write."""
    lock = folder.lock(wait_seconds=0)
    heir = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=[lock])
    os.close(lock)
    with pytest.raises(CannotStart):
        folder.lock(wait_seconds=0)

    heir.communicate(b"\n")

    os.close(folder.lock(wait_seconds=0))


def test_somebody_who_has_to_wait_for_the_lock_is_told_why(folder: Folder) -> None:
    """Silence for seconds looks like a hang."""
    lock = folder.lock(wait_seconds=0, address="http://127.0.0.1:8000")
    said: list[str] = []

    with pytest.raises(CannotStart):
        folder.lock(wait_seconds=0.7, say=said.append)

    holder = f"process {os.getpid()}, http://127.0.0.1:8000"
    assert said == [f"Waiting for another run in {folder.path} to end ({holder})"]
    os.close(lock)


def test_the_admin_token_is_made_once_and_only_its_owner_reads_it(folder: Folder) -> None:
    """Whoever has written it down keeps access after a restart."""
    token = folder.admin_token()

    assert len(token) == 43
    assert folder.admin_token() == token
    assert mode_of(folder.path / "admin-token") == 0o600


def test_the_addresses_for_tools_are_private_and_safe_to_source(folder: Folder) -> None:
    """They hold passwords, and a password may hold what a shell would run."""
    folder.publish({"DATABASE_URL": "postgresql://u:p@h/d?a=1&b=$(date)", "ADMIN_TOKEN": "x"})

    command = ["sh", "-c", f'. {folder.services}; printf %s "$DATABASE_URL"']
    assert subprocess.check_output(command, text=True) == "postgresql://u:p@h/d?a=1&b=$(date)"
    assert mode_of(folder.services) == 0o600


def test_a_key_that_others_could_read_is_closed(tmp_path: pathlib.Path) -> None:
    """A copy or a restored backup may have opened it."""
    key = tmp_path / "key"
    key.write_text("secret\n")
    key.chmod(0o644)

    assert keys.kept(key) == "secret"
    assert mode_of(key) == 0o600


def test_logs_are_closed_to_others_and_the_folder_is_not(folder: Folder) -> None:
    """PostgreSQL may have to run as another user below it."""
    assert mode_of(folder.logs) == 0o700
    assert mode_of(folder.path) == 0o755
