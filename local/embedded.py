"""Embedded: one server run alone, without the launcher's supervision. For tests and tools."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from local.errors import CannotStart
from local.programs import Program, kill_group, last_lines, spawn

START_SECONDS: Final = 30.0
STOP_SECONDS: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class RunningServer:
    """A server that answers. It dies with the thread that started it (Linux)."""

    url: str
    program: Program
    process: subprocess.Popen[bytes]
    disposable: tuple[pathlib.Path, ...] = ()
    """Folders that are removed with the server."""

    @property
    def pid(self) -> int:
        """Of the server itself, so that a test can kill or freeze it."""
        return self.process.pid

    def stop(self) -> None:
        """Stop cleanly, or hard after 10 s. Calling it again, or after a crash, does no harm."""
        self.process.send_signal(self.program.stop_signal)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            kill_group(self.pid)
            self.process.wait()
        for folder in self.disposable:
            shutil.rmtree(folder, ignore_errors=True)


def run_alone(
    program: Program,
    *,
    url: str,
    log: pathlib.Path,
    is_ready: Callable[[], bool],
    disposable: tuple[pathlib.Path, ...] = (),
) -> RunningServer:
    """Start one server; return when it answers.

    Raises:
        CannotStart: it ended, or did not answer within 30 s; the message has the end of its log.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    server = RunningServer(url=url, program=program, process=spawn(program, log=log), disposable=disposable)
    deadline = time.monotonic() + START_SECONDS
    while not is_ready():
        if server.process.poll() is not None or time.monotonic() > deadline:
            server.stop()
            raise CannotStart(f"{program.name} does not start; the end of {log}:\n{last_lines(log)}")
        time.sleep(0.02)
    return server
