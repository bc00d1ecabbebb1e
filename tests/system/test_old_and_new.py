"""A version is rolled out and taken back under load: old and new processes side by side, on the new tables.

The old code is that of before the newest migration, as git has it here; ``PARLEY_OLD`` names another revision. Where
git knows none, as in a checkout without its history, there is none to run. (Experiment P40;
`tests/models/test_expand.py` needs no history.)
"""

from __future__ import annotations

import io
import os
import pathlib
import subprocess
import tarfile
from collections import Counter
from collections.abc import Iterator

import pytest
from celery import Celery

from tests.conftest import ROOT
from tests.fake_llm import FakeLLM
from tests.system import outages
from tests.system.outages import FULL, all_completed
from tests.system.stack import ENOUGH, OPERATOR, Stack, eventually
from tests.system.test_rolling_restart import Clients

pytestmark = [pytest.mark.xdist_group("old and new"), pytest.mark.timeout(900), pytest.mark.outage]
ROUNDS = 10 if FULL else 1
MEANWHILE = 20
"""Jobs accepted in each state before the next."""


def git(*arguments: str) -> bytes:
    """What it says; nothing where it fails."""
    try:
        said = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return b""
    return said.stdout.strip()


def before_the_newest_migration() -> str:
    """The revision; empty if git does not have it."""
    newest = max((ROOT / "migrations" / "versions").glob("[0-9]*.py")).relative_to(ROOT)
    added = git("log", "--diff-filter=A", "--format=%H", "-1", "--", str(newest)).decode()
    return git("rev-parse", "--verify", "--quiet", f"{added}^").decode() if added else ""


OLD = os.environ.get("PARLEY_OLD") or before_the_newest_migration()


@pytest.fixture
def old(tmp_path: pathlib.Path, stack: Stack, llm: FakeLLM) -> Iterator[Stack]:
    """The product as it was, on the same servers; nothing of it runs yet."""
    if not OLD:
        if os.environ.get("REQUIRE_HISTORY") == "1":
            pytest.fail("REQUIRE_HISTORY=1, but git has no older revision here")
        pytest.skip("git has no older revision here")
    files = git("archive", "--format=tar", OLD)
    assert files, f"git has no files of {OLD}"
    code = tmp_path / "code"
    with tarfile.open(fileobj=io.BytesIO(files)) as packed:
        packed.extractall(code, filter="data")
    mine = Stack(tmp_path, stack.servers, {"LLM_BASE_URL": llm.base_url}, root=code)
    try:
        yield mine
    finally:
        mine.close()


def test_a_version_is_rolled_out_and_taken_back_without_a_loss(stack: Stack, old: Stack) -> None:
    """Each of the two runs alone, and beside the other; no request of a client that tries again fails."""
    workers: dict[int, str] = {process.pid: "new" for process in stack.of("worker")}
    with Clients(stack, (stack.port, old.port)) as clients:
        for _ in range(ROUNDS):
            for comes, name, goes in ((old, "old", stack), (stack, "new", old)):
                comes.start_all()
                workers |= {process.pid: name for process in comes.of("worker")}
                more(clients)
                for kind in ("worker", "dispatcher", "api"):
                    goes.terminate(kind)
                more(clients)
    all_completed(stack, clients.accepted)

    rows = stack.sql("SELECT split_part(worker, ':', 2)::int AS pid FROM attempts WHERE outcome = 'completed'")
    answered = Counter(workers[row["pid"]] for row in rows)
    outages.report(
        f"Rolled out and taken back, from {OLD[:7]} and to it",
        rounds=ROUNDS,
        accepted=len(clients.accepted),
        **{"failed": len(clients.failed), "answered by old": answered["old"], "by new": answered["new"]},
        slowest=max(clients.waits),
    )
    assert clients.failed == []
    assert {row["id"] for row in stack.sql("SELECT id::text FROM jobs")} == set(clients.accepted)
    assert min(answered["old"], answered["new"]) > ROUNDS * MEANWHILE / 2
    checked = stack.request("GET", "/api/invariants", Authorization=f"Bearer {OPERATOR}")[1]
    assert checked["ok"], checked


def more(clients: Clients) -> None:
    """Go on for a while."""
    accepted = len(clients.accepted)
    eventually(lambda: len(clients.accepted) >= accepted + MEANWHILE)


def test_hints_of_another_version_cost_nothing_but_time(stack: Stack) -> None:
    """A form that this worker does not know, and a task of a name that it does not know: the job is announced again."""
    for name in ENOUGH:
        if not stack.of(name):
            stack.start(name)
    stack.terminate("dispatcher")
    job_id = stack.create("Skewed")
    with Celery(broker=stack.environment["REDIS_URL"]) as sender:
        hint = {"jobs": [[job_id, 0]]}
        sender.send_task("parley.answer", kwargs={"v": 99, "rows": hint}, queue="interactive", retry=False)
        sender.send_task("parley.answer", kwargs={"v": 99, **hint}, queue="interactive", retry=False)
        sender.send_task("parley.answer_of_tomorrow", kwargs={"v": 1, **hint}, queue="interactive", retry=False)
    eventually(lambda: "answer_of_tomorrow" in (stack.folder / "worker.log").read_text())
    assert stack.job(job_id)["status"] == "created"
    stack.start("dispatcher")

    job = stack.finished(job_id)

    assert (job["status"], job["attempt"]) == ("completed", 1)
