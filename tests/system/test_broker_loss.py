"""Redis dies under a worker that holds unacknowledged messages."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import time

import pytest
from celery import Celery

import local.valkey
from local import programs
from local.embedded import RunningServer
from tests.conftest import ROOT
from tests.system.stack import eventually

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(600), pytest.mark.outage]
OUTAGE_SECONDS = 1.0
LISTENS_SECONDS = 150.0
"""Celery's pauses between its tries to connect grow; how long they are is not what is looked at here."""
ROUNDS = 3
"""Without the guard the first loss ended the worker, four times out of four."""


def test_a_worker_survives_the_loss_of_redis_again_and_again(tmp_path: pathlib.Path) -> None:
    """The guard in tasks/celery_app.py: kombu's second close of a lost connection must not end the process."""
    assert survived(tmp_path, guarded=True) == ROUNDS


def survived(folder: pathlib.Path, *, guarded: bool) -> int:
    """How many losses of Redis a worker outlived."""
    started, log = folder / "started", folder / "worker.log"
    started.touch()
    redis = local.valkey.start(folder, durable=False)
    server = [redis.process]
    environment = {**os.environ, "REDIS_URL": redis.url, "GUARDED": str(int(guarded)), "STARTED": str(started)}
    environment["DATABASE_URL"] = "postgresql://nobody@127.0.0.1:1/none"
    command = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "tests.system.late_acks",
        "worker",
        "--without-mingle",
        "-l",
        "WARNING",
    ]
    with log.open("wb") as output:
        worker = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        for number in range(ROUNDS):
            if not outlives(worker, redis, server, started):
                return number
        return ROUNDS
    finally:
        worker.kill()
        worker.wait(10)
        server[0].kill()
        server[0].wait(10)


def outlives(
    worker: subprocess.Popen[bytes], redis: RunningServer, server: list[subprocess.Popen[bytes]], started: pathlib.Path
) -> bool:
    """Whether the worker still takes messages after Redis has been killed under it and has come back."""
    sender = Celery(broker=redis.url)
    before = started.stat().st_size
    for _ in range(3):
        sender.send_task("hold", [1.5], retry=False)
    eventually(lambda: worker.poll() is not None or started.stat().st_size >= before + 3)
    server[0].kill()
    server[0].wait(10)
    time.sleep(OUTAGE_SECONDS)
    server[0] = programs.spawn(redis.program, log=started.with_name("valkey.log"))
    eventually(lambda: is_up(sender))
    sender.send_task("hold", [0])
    now = started.stat().st_size
    eventually(lambda: worker.poll() is not None or started.stat().st_size > now, seconds=LISTENS_SECONDS)
    return worker.poll() is None


def is_up(sender: Celery) -> bool:
    """Whether Redis answers again."""
    try:
        sender.connection_for_write().ensure_connection(max_retries=1, timeout=1).close()
    except sender.connection_for_write().connection_errors:
        return False
    return True


if __name__ == "__main__":  # how the worker fares without the guard
    import tempfile

    lived = survived(pathlib.Path(tempfile.mkdtemp()), guarded="--guarded" in sys.argv)
    print(f"survived {lived} of {ROUNDS}")  # noqa: T201
