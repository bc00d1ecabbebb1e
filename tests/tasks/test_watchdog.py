"""The watchdog ends a process whose loops have fallen silent, and no other."""

from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
import threading
from collections.abc import Sequence

import pytest
from sqlalchemy.exc import OperationalError

from models import attempts
from models.attempts import Ending, Outcome
from models.settings import Settings
from tasks import watchdog
from tasks.dispatcher import Dispatcher
from tasks.recorder import Recorder
from tasks.runner import Runner
from tasks.watchdog import EXIT_CODE, Watchdog
from tests.conftest import ROOT
from tests.factories import create
from tests.system.stack import eventually
from tests.tasks.test_runner import Slow


class Clock:
    """In place of `time` in `tasks.watchdog`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """As told."""
        return self.now


class Log(Watchdog):
    """Writes down which loops were heard."""

    def __init__(self) -> None:
        super().__init__(seconds=60)
        self.names: list[str] = []

    def heard(self, loop: str, *, again_within: float = 0.0) -> None:
        """Add the name, unless the loop now rests."""
        self.names += [] if again_within else [loop]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The watchdog's, which only moves when told."""
    mine = Clock()
    monkeypatch.setattr(watchdog, "time", mine)
    return mine


@pytest.fixture
def exits() -> list[int]:
    """The codes with which the process would have ended."""
    return []


def looked(dog: Watchdog, clock: Clock, *, seconds: float) -> None:
    """Let this time pass, with a look each second."""
    for _ in range(round(seconds)):
        clock.now += 1
        dog.look()


def test_a_loop_that_falls_silent_ends_the_process(clock: Clock, exits: list[int]) -> None:
    """Although the others go on."""
    dog = Watchdog(seconds=10, leave=exits.append)
    dog.heard("stuck")
    for _ in range(10):
        dog.heard("well")
        looked(dog, clock, seconds=1)
    assert exits == []

    dog.heard("well")
    looked(dog, clock, seconds=1)

    assert exits == [EXIT_CODE]


@pytest.mark.parametrize("rest", [30.0, math.inf])
def test_a_loop_that_rests_is_not_silent(clock: Clock, exits: list[int], rest: float) -> None:
    """It has said for how long."""
    dog = Watchdog(seconds=10, leave=exits.append)
    dog.heard("prune", again_within=rest)

    looked(dog, clock, seconds=39)

    assert exits == []


def test_a_process_that_stood_still_as_a_whole_is_given_its_time_back(clock: Clock, exits: list[int]) -> None:
    """SIGSTOP, or a machine that slept: its loops had no chance to be heard."""
    dog = Watchdog(seconds=10, leave=exits.append)
    dog.heard("well")

    clock.now += 3600
    dog.look()
    looked(dog, clock, seconds=8)

    assert exits == []


def test_it_ends_a_process_whose_main_thread_hangs() -> None:
    """For real, and with a code that says so."""
    hangs = """if True:
        import threading
        from tasks.watchdog import Watchdog
        dog = Watchdog(seconds=0.2)
        dog.heard("main")
        dog.start()
        threading.Lock().acquire() and threading.Event().wait()"""

    ended = subprocess.run([sys.executable, "-c", hangs], cwd=ROOT, timeout=30, check=False, capture_output=True)

    assert ended.returncode == EXIT_CODE
    assert b"process_stuck" in ended.stdout + ended.stderr


def test_a_claimer_that_does_not_come_back_is_silent(
    db: Settings, monkeypatch: pytest.MonkeyPatch, exits: list[int]
) -> None:
    """It is the only thread that claims; the process is worth nothing without it."""
    go_on = threading.Event()

    def hangs(*_: object, **__: object) -> Sequence[object]:
        go_on.wait(30)
        return []

    monkeypatch.setattr(attempts, "claim", hangs)
    runner = Runner(dataclasses.replace(db, watchdog_seconds=1), Slow(), name="w")
    runner.watchdog = Watchdog(seconds=0.2, leave=exits.append)
    runner.watchdog.start()

    runner.take([(create(), 0)])
    try:
        eventually(lambda: exits)
    finally:
        go_on.set()

    assert set(exits) == {EXIT_CODE}


def test_a_recorder_that_waits_for_the_database_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ending it would throw away what it keeps."""
    heard, done = Log(), threading.Event()

    def refuses(*_: object) -> None:
        if len(heard.names) < 3:
            raise OperationalError("", None, Exception(), connection_invalidated=True)

    recorder = Recorder(on_done=lambda _: done.set(), watchdog=heard)
    monkeypatch.setattr(recorder, "_write_once", refuses)

    recorder.put(Ending(job_id="1", attempt=1, outcome=Outcome.COMPLETED, text="x"))

    assert done.wait(20)
    assert heard.names[:3] == ["recorder"] * 3


@pytest.mark.parametrize(
    ("error", "is_heard"),
    [(OperationalError("", None, Exception(), connection_invalidated=True), True), (ValueError("a defect"), False)],
)
def test_a_loop_of_the_dispatcher_is_heard_in_an_outage_and_not_in_a_defect(
    db: Settings, error: Exception, is_heard: bool
) -> None:
    """A new process cures no outage; a defect it may."""
    dispatcher, heard, tries = Dispatcher(db), Log(), []

    def tick() -> None:
        tries.append(len(heard.names))
        if len(tries) == 3:
            dispatcher.stop()
        raise error

    dispatcher._watchdog = heard
    dispatcher._loop(tick)

    assert tries == ([1, 2, 3] if is_heard else [1, 1, 1])
