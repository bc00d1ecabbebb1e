"""A run of chaos that is stopped leaves nothing behind."""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from tests.conftest import ROOT
from tests.system.stack import eventually

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.outage]
STOPPED_SECONDS = 30


@pytest.fixture
def run() -> Iterator[subprocess.Popen[str]]:
    """One that freezes workers, with leases of production: they stay so for 20 s."""
    arguments = ["--jobs", "200", "--own-times", "--deals", "3", "--faults", "freeze worker past its lease"]
    command = [sys.executable, "-m", "tests.chaos", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def frozen(history: pathlib.Path) -> list[int]:
    """Pids of workers that this run has stopped."""
    events = [json.loads(line) for line in history.read_text().splitlines()] if history.exists() else []
    return [event["pid"] for event in events if event.get("name", "").startswith("freeze") and event.get("pid")]


def lives(process: psutil.Process) -> bool:
    """Where nobody reaps orphans, what has ended still has its number."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_run_that_is_terminated_leaves_no_frozen_worker(run: subprocess.Popen[str]) -> None:
    """SIGTERM does not reach a process that has been stopped, and its parent's end would not either."""
    assert run.stdout is not None
    told = re.search(r"history in (\S+)", run.stdout.readline())
    assert told is not None
    history = pathlib.Path(told.group(1))
    [pid] = eventually(lambda: frozen(history))
    children = psutil.Process(run.pid).children(recursive=True)

    run.send_signal(signal.SIGTERM)
    code = run.wait(STOPPED_SECONDS)

    left = [child for child in children if lives(child)]
    for child in left:
        child.kill()
    shutil.rmtree(history.parent, ignore_errors=True)
    assert code == 128 + signal.SIGTERM
    assert pid in [child.pid for child in children]
    assert left == []
