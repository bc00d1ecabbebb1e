"""Supervisor: keeps child processes running, and stops them all.

One loop, one thread, no waiting: `tick` looks at every child and restarts those that are due, so
the back-off of one never delays another.
"""

from __future__ import annotations

import math
import pathlib
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from local import programs
from local.errors import CannotStart
from local.programs import Program
from local.reaper import TICK_SECONDS as REAPER_TICK_SECONDS
from local.reaper import Reaper, Watched
from local.stopping import Stopped, StopRequests

TICK_SECONDS: Final = 0.05

FIRST_DELAY_SECONDS: Final = 0.2
LONGEST_DELAY_SECONDS: Final = 3.0
HEALTHY_SECONDS: Final = 30.0
"""A child that lived this long has not crashed *again*: its back-off starts from the beginning."""


def delay_after(crashes: int) -> float:
    """Seconds until the restart after the ``crashes``-th crash in a row.

    >>> [delay_after(crashes) for crashes in (1, 2, 3, 4, 5, 6)]
    [0.2, 0.4, 0.8, 1.6, 3.0, 3.0]
    """
    return float(min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** (crashes - 1)))


@dataclass
class Child:
    """A program under supervision."""

    program: Program
    process: subprocess.Popen[bytes]
    started_at: float
    crashes: int = 0
    """In a row."""
    due_at: float | None = None
    """When to restart it; ``None`` while it runs, and for ever once it has ended for good."""

    @property
    def watched(self) -> Watched:
        """As the reaper has to know it."""
        return Watched(self.process.pid, self.program.stop_signal, self.program.is_server)

    def is_running(self) -> bool:
        """Asking collects the exit code of one that has ended."""
        return self.process.poll() is None


@dataclass(kw_only=True)
class Supervisor:
    """The children, by name, in the order in which they were started."""

    logs: pathlib.Path
    grace_seconds: float
    """How long a child may take to stop before it is killed, plus a second."""
    keep_open: Sequence[int] = ()
    """File descriptors every child inherits: a lock among them is free only when all are gone."""
    requests: StopRequests = field(default_factory=StopRequests)
    say: Callable[[str], None] = print
    clock: Callable[[], float] = time.monotonic
    children: dict[str, Child] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._reaper = self._new_reaper()

    def start(self, program: Program) -> Child:
        """Run ``program``, from now on."""
        child = Child(program=program, process=self._spawn(program), started_at=self.clock())
        self.children[program.name] = child
        self._reaper.watch(child.watched)
        return child

    def tick(self) -> None:
        """Notice what has ended; restart what is due. Call it several times a second."""
        if not self._reaper.is_alive():
            self._replace_reaper()
        for child in self.children.values():
            if child.due_at is not None:
                self._restart_if_due(child)
            elif child.program.restarts and not child.is_running():
                self._plan_restart(child)

    def run_until(
        self, is_reached: Callable[[], bool], *, seconds: float = math.inf, max_crashes: float = math.inf
    ) -> bool:
        """Supervise until something is reached; False if it was not in time.

        Raises:
            Stopped: somebody asked for it.
            CannotStart: a child crashed ``max_crashes`` times in a row; the message has the end of its log.
        """
        deadline = self.clock() + seconds
        while not is_reached():
            if self.requests.is_stopping():
                raise Stopped
            if self.clock() > deadline:
                return False
            self.tick()
            self._refuse_crashes(max_crashes)
            time.sleep(TICK_SECONDS)
        return True

    def stop(self) -> None:
        """Stop every child, the servers last, in at most grace + 2 s; at a second request, at once."""
        self._reaper.stop_all()
        while self._reaper.is_alive():
            self._collect()
            if self.requests.is_urgent():
                self._kill_all()
            time.sleep(REAPER_TICK_SECONDS)
        self._kill_all()

    def log_of(self, name: str) -> pathlib.Path:
        """Where a child of that name writes."""
        return self.logs / f"{name}.log"

    def end_of_log(self, name: str) -> str:
        """For a refusal: where to look, and what there is to see."""
        return f"the end of {self.log_of(name)}:\n{programs.last_lines(self.log_of(name))}"

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        return programs.spawn(program, log=self.log_of(program.name), keep_open=self.keep_open)

    def _plan_restart(self, child: Child) -> None:
        self._reaper.forget(child.process.pid)
        programs.kill_group(child.process.pid)  # what it had started would stand in the way of the next
        lived = self.clock() - child.started_at
        child.crashes = 1 if lived >= HEALTHY_SECONDS else child.crashes + 1
        delay = delay_after(child.crashes)
        child.due_at = self.clock() + delay
        name, ended = child.program.name, _how(child.process.returncode)
        self.say(f"{name} {ended}; it is started again in {delay:g} s ({self.log_of(name)})")

    def _refuse_crashes(self, limit: float) -> None:
        for name, child in self.children.items():
            if child.crashes >= limit:
                raise CannotStart(f"{name} crashed {child.crashes} times; {self.end_of_log(name)}")

    def _restart_if_due(self, child: Child) -> None:
        if child.due_at is not None and self.clock() >= child.due_at:
            child.process = self._spawn(child.program)
            child.started_at, child.due_at = self.clock(), None
            self._reaper.watch(child.watched)

    def _new_reaper(self) -> Reaper:
        return Reaper(grace_seconds=self.grace_seconds, keep_open=self.keep_open)

    def _replace_reaper(self) -> None:
        self._reaper.stop_all()  # it is dead: this closes our end of its pipe
        self._reaper = self._new_reaper()
        for child in self.children.values():
            if child.is_running():
                self._reaper.watch(child.watched)

    def _collect(self) -> None:
        """Take the exit codes of those who ended: the reaper sees them alive until then."""
        for child in self.children.values():
            child.process.poll()

    def _kill_all(self) -> None:
        for child in self.children.values():
            if child.is_running():
                programs.kill_group(child.process.pid)
                child.process.wait()


def _how(code: int) -> str:
    return f"ended with code {code}" if code >= 0 else f"was killed by signal {-code}"
