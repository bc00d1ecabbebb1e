"""What an api counts in is removed when nobody counts in it any more, and not before."""

from __future__ import annotations

import fcntl
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from api import metrics_folder
from tests.conftest import ROOT

MAKE = "import sys; from api import metrics_folder; print(metrics_folder.make(sys.argv[1]), flush=True)"
FORK = "; import os; child = os.fork(); child and print(child, flush=True)"


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for each in processes:
        each.kill()
        each.communicate()


def an_api(started: list[subprocess.Popen[str]], parent: pathlib.Path, *, more: str = "") -> subprocess.Popen[str]:
    """A process that has made its folder, and waits."""
    command = [sys.executable, "-c", f"{MAKE}{more}; sys.stdin.read()", str(parent)]
    started.append(subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
    return started[-1]


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_what_a_killed_api_left_behind_is_removed_and_that_of_a_living_one_is_not(
    started: list[subprocess.Popen[str]], tmp_path: pathlib.Path
) -> None:
    """Its files with it."""
    killed, living = an_api(started, tmp_path), an_api(started, tmp_path)
    left, kept = pathlib.Path(said(killed)), pathlib.Path(said(living))
    (left / "counter_7.db").write_text("7")
    (tmp_path / "another").mkdir()
    killed.kill()
    killed.wait()

    made = pathlib.Path(metrics_folder.make(str(tmp_path)))

    assert sorted(tmp_path.iterdir()) == sorted([tmp_path / "another", kept, made])


def test_a_folder_is_kept_while_a_worker_of_a_killed_master_counts(
    started: list[subprocess.Popen[str]], tmp_path: pathlib.Path
) -> None:
    """It finds out a moment later that it has no master any more."""
    master = an_api(started, tmp_path, more=FORK)
    folder, worker = pathlib.Path(said(master)), int(said(master))
    master.kill()
    master.wait()
    first = metrics_folder.make(str(tmp_path))
    assert folder.exists()

    os.kill(worker, signal.SIGKILL)
    assert master.stdout is not None
    assert master.stdout.read() == ""  # its end: nobody has it open any more
    metrics_folder.make(str(tmp_path))

    assert not folder.exists()
    assert pathlib.Path(first).exists()


def test_nothing_is_removed_through_a_link(tmp_path: pathlib.Path) -> None:
    """Anybody may write where temporary files are."""
    dear = tmp_path / "dear"
    dear.mkdir()
    (tmp_path / f"{metrics_folder.PREFIX}link").symlink_to(dear)
    (tmp_path / f"{metrics_folder.PREFIX}file").write_text("x")

    metrics_folder.make(str(tmp_path))

    assert dear.exists()
    assert (tmp_path / f"{metrics_folder.PREFIX}file").exists()


def test_one_that_was_taken_away_before_it_was_locked_is_made_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two apis that start at the same moment."""
    lock, taken = fcntl.flock, list[int]()

    def late(held: int, how: int) -> None:
        if not taken:
            taken.append(held)
            [folder] = tmp_path.iterdir()
            folder.rmdir()
        lock(held, how)

    monkeypatch.setattr(fcntl, "flock", late)

    made = metrics_folder.make(str(tmp_path))

    assert [str(each) for each in tmp_path.iterdir()] == [made]
