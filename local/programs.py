"""Programs: what can be run as a child process, and the one function that runs it.

Every child lives in a session of its own, so Ctrl-C in the terminal reaches the launcher alone and
a signal to the child's process group reaches all it has started.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from local import child

ROTATE_BYTES: Final = 10 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Program:
    """A command line with all it needs to run."""

    name: str
    """Also the name of its log file."""
    command: tuple[str, ...]
    """The first part is an absolute path: no PATH is searched."""
    environment: Mapping[str, str]
    folder: pathlib.Path
    stop_signal: signal.Signals = signal.SIGTERM
    """Asks for a clean stop; also what the kernel sends when the launcher dies (Linux)."""
    is_server: bool = False
    """Servers are stopped after everything that uses them."""
    restarts: bool = True
    """Whether it is meant to run for ever."""
    uid: int | None = None
    """Run as this user; only root may set it."""


def spawn(program: Program, *, log: pathlib.Path, keep_open: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    """Start ``program``, its output appended to ``log``.

    The child dies with the calling *thread* on Linux, so call this from a thread that stays.
    """
    rotate(log)
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - our own commands
            [*_birth(program), *program.command],
            cwd=program.folder,
            env=dict(program.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=tuple(keep_open),
        )


def run_to_end(program: Program, *, log: pathlib.Path, text: str = "") -> int:
    """Run ``program`` with ``text`` as its input, wait for its end, and return its exit code."""
    with log.open("ab") as output:
        return subprocess.run(  # noqa: S603 - our own commands
            [*_birth(program), *program.command],
            cwd=program.folder,
            env=dict(program.environment),
            input=text.encode(),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            check=False,
        ).returncode


def _birth(program: Program) -> list[str]:
    uid = child.NO_USER if program.uid is None else program.uid
    arguments = (os.getpid(), int(program.stop_signal), uid)
    return [sys.executable, "-I", "-S", child.__file__, *map(str, arguments)]


def rotate(log: pathlib.Path) -> None:
    """Set a log of more than 10 MB aside as ``.1``, replacing the one set aside before."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > ROTATE_BYTES:
            log.replace(log.with_name(log.name + ".1"))


def kill_group(pid: int) -> None:
    """Kill the process group led by ``pid``, whether or not its leader still lives."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def last_lines(log: pathlib.Path, *, count: int = 15) -> str:
    """The end of a log, for a person who has to see why a program does not run."""
    try:
        with log.open("rb") as stored:
            stored.seek(max(0, log.stat().st_size - 64 * 1024))
            lines = stored.read().decode(errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    return "\n".join(f"    {line}" for line in lines[-count:]) or "    (its log is empty)"
