"""Stand-ins: programs for the supervisor that do one thing each."""

from __future__ import annotations

import pathlib
import signal
import sys
from typing import Any

from local.programs import Program

STEADY = "import time\nwhile True: time.sleep(60)"

STUBBORN = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{STEADY}"
"""Does not end when asked to."""

PARENT = f"""
import os, pathlib, subprocess, sys
other = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}])
pathlib.Path("offspring").write_text(str(other.pid))
other.wait()
"""
"""Has a stubborn child of its own, whose number it writes down."""

NOTE_THE_END = """
import os, pathlib, signal, sys, time
def end(*_):
    time.sleep({lingering})
    with open("ends", "a") as out: print("{name}", file=out)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
pathlib.Path("{name}-is-up").touch()
while True: time.sleep(60)
"""


def a_program(name: str, code: str, folder: pathlib.Path, **others: Any) -> Program:
    """Python code as a program that runs in ``folder``."""
    return Program(name=name, command=(sys.executable, "-c", code), environment={}, folder=folder, **others)


def an_ending_noted(name: str, folder: pathlib.Path, *, lingering: float = 0.0, is_server: bool = False) -> Program:
    """Takes ``lingering`` seconds to end, then writes its name into the file ``ends``."""
    code = NOTE_THE_END.format(name=name, lingering=lingering)
    return a_program(name, code, folder, is_server=is_server, stop_signal=signal.SIGTERM)
