#!/usr/bin/env python3
"""Run: `python3 run.py` installs Parley on a bare machine and runs all of it.

Older Pythons must understand this file well enough to be told what is missing, so the project is
imported only after the check.
"""

import os
import pathlib
import platform
import sys

OLDEST, NEWEST = (3, 11), (3, 14)
OLDEST_GLIBC = (2, 28)
MACHINES = ("x86_64", "aarch64", "arm64")

USAGE = """\
usage: python3 run.py [run | install | install-test | --help]

  run            install what is missing, start everything, stop at Ctrl-C (the default)
  install        only install into .venv what running needs
  install-test   only install into .venv what running and testing need

Settings are environment variables, all listed in docs/reference/settings.md. For example:
  PORT=8010 LLM_BASE_URL=http://127.0.0.1:11434/v1 LLM_MODEL=llama3.2 python3 run.py
"""


def refusal(*, python: str, version: "tuple[int, int]", system: str, machine: str, libc: str) -> str:
    """Why Parley cannot run here, in one sentence; empty if it can.

    The bounds are those of the wheels of PostgreSQL and Valkey.
    """
    if python != "CPython" or not OLDEST <= version <= NEWEST:
        found = " ".join((python, ".".join(map(str, version))))
        return "Parley needs CPython 3.11, 3.12, 3.13 or 3.14; this is " + found + "."
    if system not in ("Linux", "Darwin") or machine not in MACHINES:
        return "Parley runs on Linux and macOS, on x86-64 and arm64; this is " + system + " on " + machine + "."
    if system == "Linux" and not _is_new_enough(libc):
        return "Parley needs a Linux with glibc 2.28 or newer; this one has " + (libc or "another C library") + "."
    return ""


def _is_new_enough(libc: str) -> bool:
    name, _, version = libc.partition(" ")
    return name == "glibc" and tuple(map(int, version.split(".")[:2])) >= OLDEST_GLIBC


def _libc() -> str:
    """Such as ``glibc 2.36``; empty where the system does not know the question, as with musl."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return ""


def _refusal_here() -> str:
    return refusal(
        python=platform.python_implementation(),
        version=sys.version_info[:2],
        system=platform.system(),
        machine=platform.machine(),
        libc=_libc(),
    )


def main(arguments: "list[str]") -> int:
    """Do what was asked; returns the exit code."""
    command = arguments[0] if arguments else "run"
    if command in ("--help", "-h") and len(arguments) == 1:
        print(USAGE)
        return 0
    if command not in ("run", "install", "install-test") or len(arguments) > 1:
        print("usage: python3 run.py [run | install | install-test | --help]", file=sys.stderr)
        return 2
    why_not = _refusal_here()
    if why_not:
        print(why_not, file=sys.stderr)
        return 1
    return _do(command)


def _do(command: str) -> int:
    from local import install, launch  # noqa: PLC0415 - an older Python has been told by now

    root = pathlib.Path(__file__).resolve().parent
    os.chdir(str(root))
    if command == "run":
        return launch.main(root, os.environ)
    return launch.install_only(root, install.TO_TEST if command == "install-test" else install.TO_RUN)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
