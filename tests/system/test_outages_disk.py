"""Full disks, on file systems of their own. Mounting needs root: only in the long form."""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import tempfile
import time
from collections.abc import Iterator

import psutil
import pytest

import local.postgres
import local.valkey
from tests.conftest import Servers
from tests.fake_llm import FakeLLM
from tests.system import outages
from tests.system.outages import Answer, Fragile, all_completed, ask
from tests.system.stack import Stack, eventually
from tests.system.test_outages_postgres import OwnDatabase, migrate

pytestmark = [pytest.mark.xdist_group("outages"), pytest.mark.timeout(400)]
DISK_MB = {"postgres": 400, "valkey": 24}
FULL_SECONDS = 20.0
MESSAGE = "Fill the disk. " * 250
"""So that a page is full after one or two."""


class Disk:
    """A small file system, and something large on it."""

    def __init__(self, name: str) -> None:
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="parley-disk-"))
        size = f"size={DISK_MB[name]}m,mode=755"
        subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", size, "tmpfs", str(self.folder)], check=True)
        self._ballast = self.folder / "ballast"

    def fill(self) -> None:
        """Leave not a byte."""
        with contextlib.suppress(OSError), self._ballast.open("wb", buffering=0) as ballast:
            while ballast.write(b"x" * 4096):
                pass

    def free(self) -> None:
        """Take the large thing away."""
        self._ballast.unlink()

    def unmount(self) -> None:
        """And leave nothing behind."""
        subprocess.run(["/bin/umount", "-l", str(self.folder)], check=True)
        self.folder.rmdir()


@contextlib.contextmanager
def a_disk(name: str) -> Iterator[Disk]:
    assert os.geteuid() == 0, "mounting a file system needs root"
    disk = Disk(name)
    try:
        yield disk
    finally:
        disk.unmount()


@contextlib.contextmanager
def a_stack(folder: pathlib.Path, servers: Servers, **settings: str) -> Iterator[Stack]:
    with FakeLLM() as llm:
        stack = Stack(folder, servers, {"LLM_BASE_URL": llm.base_url, "LEASE_SECONDS": "15", **settings})
        try:
            stack.start_all()
            yield stack
        finally:
            stack.close()


def posts(stack: Stack, *, seconds: float) -> list[Answer]:
    """Twenty a second: what has gathered must not be what takes the time."""
    until, answers = time.monotonic() + seconds, []
    while time.monotonic() < until:
        stack.revive()
        time.sleep(0.05)
        answers.append(ask(stack, "POST", "/api/jobs", {"message": MESSAGE}))
    return answers


def ids(answers: list[Answer]) -> list[str]:
    return [answer.body["jobId"] for answer in answers if answer.status == 201]


def test_postgresql_on_a_full_disk_refuses_and_has_lost_nothing_when_there_is_room(
    tmp_path: pathlib.Path, worker_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may even have ended over it, and is then started again."""
    with a_disk("postgres") as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk.folder))
        running = local.postgres.start(disk.folder / "data", durable=False)
        monkeypatch.undo()
        postgres = Fragile(running)
        try:
            migrate(running.url)
            with a_stack(tmp_path, OwnDatabase(postgres, worker_id)) as stack:
                before = posts(stack, seconds=1)
                disk.fill()
                during = posts(stack, seconds=FULL_SECONDS)
                disk.free()
                if not psutil.pid_exists(running.pid) or running.process.poll() is not None:
                    postgres.revive(stack)
                freed = time.monotonic()
                eventually(lambda: ask(stack, "POST", "/api/jobs", {"message": "Again"}).status == 201, seconds=30)
                recovered = time.monotonic() - freed
                all_completed(stack, ids(before) + ids(during))
        finally:
            postgres.stop()
            running.stop()

    statuses = {status: float(sum(each.status == status for each in during)) for status in (201, 503)}
    slowest = max(answer.seconds for answer in during)
    outages.report(
        "PostgreSQL's disk full",
        accepted=statuses[201],
        refused=statuses[503],
        slowest=slowest,
        recovered=recovered,
    )
    assert sum(statuses.values()) == len(during)
    assert statuses[503] > 0
    assert slowest < outages.BOUND_SECONDS
    assert {answer.retry_after for answer in during if answer.status == 503} == {"2"}


def test_redis_on_a_full_disk_only_delays(tmp_path: pathlib.Path, worker_id: str) -> None:
    """With a log of its writes it then takes no command that writes, not even the worker's."""
    servers = Servers(worker_id, purpose="_system")
    with a_disk("valkey") as disk:
        valkey = Fragile(local.valkey.start(disk.folder))
        try:
            with a_stack(tmp_path, servers, REDIS_URL=valkey.url) as stack:
                all_completed(stack, ids(posts(stack, seconds=1)))
                disk.fill()
                during = posts(stack, seconds=FULL_SECONDS)
                disk.free()
                resumed = all_completed(stack, ids(during))
        finally:
            valkey.stop()
            servers.drop()

    outages.report("Redis's disk full", posts=float(len(during)), resumed=resumed)
    assert {answer.status for answer in during} == {201}
    assert resumed < outages.RESUMED_SECONDS
