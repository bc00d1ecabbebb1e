"""Reaper: the process that stops all the others, in order, once the launcher lets go of it.

It reads from a pipe which processes have been born and which are gone. The pipe closes when the
launcher wants everything stopped, and also when the launcher dies of anything, ``kill -9``
included; the reaper cannot tell the difference and need not. So there is one way of stopping, and it is
exercised every day.

`Reaper` is the launcher's side. The other side is this file run as a script, with ``-I -S``: it
imports nothing of the project.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from typing import NamedTuple

TICK_SECONDS = 0.02
BEYOND_GRACE_SECONDS = 1.0
"""What clients of the servers get beyond the grace before they are killed."""
SERVERS_SECONDS = 0.8
"""What the servers get at least."""


class Watched(NamedTuple):
    """One process that must not outlive the launcher. It leads a process group."""

    pid: int
    stop_signal: int
    is_server: bool

    def line(self) -> str:
        """As it is told to the reaper."""
        return f"born {self.pid} {self.stop_signal:d} {self.is_server:d}"


class Reaper:
    """The launcher's hold on the reaper process."""

    def __init__(self, *, grace_seconds: float, keep_open: Sequence[int] = ()) -> None:
        """Start the process. It inherits ``keep_open``, so a lock among them outlives the launcher."""
        self._process = subprocess.Popen(  # noqa: S603 - this very file
            [sys.executable, "-I", "-S", __file__, str(grace_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
            pass_fds=tuple(keep_open),
        )

    @property
    def pid(self) -> int:
        """Of the reaper itself."""
        return self._process.pid

    def is_alive(self) -> bool:
        """False once everything is stopped, or if somebody killed the reaper."""
        return self._process.poll() is None

    def watch(self, process: Watched) -> None:
        """Stop this one too when the time comes."""
        self._tell(process.line())

    def forget(self, pid: int) -> None:
        """Its number may be given to a stranger from now on."""
        self._tell(f"gone {pid}")

    def stop_all(self) -> None:
        """Begin to stop every process; the reaper ends when that is done."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def _tell(self, line: str) -> None:
        # A reaper that was killed is replaced at the supervisor's next tick, and told everything again.
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(line + "\n")
                self._process.stdin.flush()


def read_watched(lines: Iterable[str]) -> list[Watched]:
    """Who is still to be stopped when the pipe closes."""
    watched: dict[int, Watched] = {}
    for line in lines:
        word, *numbers = line.split()
        if word == "born":
            pid, stop_signal, is_server = map(int, numbers)
            watched[pid] = Watched(pid, stop_signal, bool(is_server))
        else:
            watched.pop(int(numbers[0]), None)
    return list(watched.values())


def stop_in_order(watched: Iterable[Watched], *, grace_seconds: float) -> None:
    """Stop the servers' clients, all at once, and then the servers. Takes at most grace + 1.8 s."""
    begun = time.monotonic()
    servers = [process for process in watched if process.is_server]
    clients = [process for process in watched if not process.is_server]
    _stop(clients, deadline=begun + grace_seconds + BEYOND_GRACE_SECONDS)
    _stop(servers, deadline=begun + grace_seconds + BEYOND_GRACE_SECONDS + SERVERS_SECONDS)


def _stop(processes: Sequence[Watched], *, deadline: float) -> None:
    for process in processes:
        _send(process.pid, process.stop_signal)
    while any(_send(process.pid, 0) for process in processes) and time.monotonic() < deadline:
        time.sleep(TICK_SECONDS)
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _send(pid: int, number: int) -> bool:
    """Send a signal; whether there was anyone to receive it."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def main(grace_seconds: str) -> None:
    """The reaper process. No signal ends it: its work begins where others are signalled to end."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    stop_in_order(read_watched(sys.stdin), grace_seconds=float(grace_seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
