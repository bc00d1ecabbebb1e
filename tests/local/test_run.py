from __future__ import annotations

import os
import pathlib
import re
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

import run
from local import launch, ports
from local.ports import can_listen, free_port
from models.settings import Settings

ROOT = pathlib.Path(__file__).resolve().parents[2]

GOOD = {
    "python": "CPython",
    "version": (3, 12),
    "system": "Linux",
    "machine": "x86_64",
    "libc": "glibc 2.36",
}


def run_py(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """What somebody at a terminal gets."""
    command = [sys.executable, "run.py", *arguments]
    environment = {"PATH": os.environ["PATH"], **settings}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def taken_port() -> Iterator[str]:
    """A port somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield str(server.getsockname()[1])


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13), (3, 14)])
@pytest.mark.parametrize(
    ("system", "machine", "libc"),
    [("Linux", "x86_64", "glibc 2.28"), ("Linux", "aarch64", "glibc 2.41"), ("Darwin", "arm64", "")],
)
def test_where_the_wheels_run_it_runs(version: tuple[int, int], system: str, machine: str, libc: str) -> None:
    """The supported machines are refused nothing."""
    assert run.refusal(python="CPython", version=version, system=system, machine=machine, libc=libc) == ""


@pytest.mark.parametrize(
    ("differs", "sentence"),
    [
        ({"version": (3, 10)}, "Parley needs CPython 3.11, 3.12, 3.13 or 3.14; this is CPython 3.10."),
        ({"version": (3, 15)}, "Parley needs CPython 3.11, 3.12, 3.13 or 3.14; this is CPython 3.15."),
        ({"python": "PyPy"}, "Parley needs CPython 3.11, 3.12, 3.13 or 3.14; this is PyPy 3.12."),
        ({"system": "Windows"}, "Parley runs on Linux and macOS, on x86-64 and arm64; this is Windows on x86_64."),
        ({"machine": "riscv64"}, "Parley runs on Linux and macOS, on x86-64 and arm64; this is Linux on riscv64."),
        ({"libc": ""}, "Parley needs a Linux with glibc 2.28 or newer; this one has another C library."),
        ({"libc": "glibc 2.27"}, "Parley needs a Linux with glibc 2.28 or newer; this one has glibc 2.27."),
    ],
)
def test_anywhere_else_one_sentence_says_why_not(differs: dict[str, object], sentence: str) -> None:
    """Nobody has to read a traceback to learn that a wheel is missing."""
    assert run.refusal(**(GOOD | differs)) == sentence  # type: ignore[arg-type]


def test_an_unknown_argument_gets_the_usage() -> None:
    """One sentence, and the exit code of a wrong command line."""
    ended = run_py("start")

    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "usage: python3 run.py [run | install | install-test | --help]\n"


def test_help_names_every_command() -> None:
    """The longer text is asked for."""
    ended = run_py("--help")

    assert ended.returncode == 0
    assert all(f"\n  {command} " in ended.stdout for command in ("run", "install", "install-test"))


def test_a_refused_setting_is_one_sentence(tmp_path: pathlib.Path) -> None:
    """No traceback, and nothing was started."""
    ended = run_py(PORT="x", PARLEY_DATA=str(tmp_path / "data"))

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "PORT: 'x' is not a whole number; for example PORT=8001\n"


def test_a_taken_port_is_named_with_a_command_that_works(taken_port: str, tmp_path: pathlib.Path) -> None:
    """Found before anything slow begins."""
    ended = run_py(PORT=taken_port, PARLEY_DATA=str(tmp_path / "data"))

    assert (ended.returncode, ended.stdout) == (1, "")
    (other,) = re.findall(rf"^Port {taken_port} is taken; choose another: PORT=(\d+) make run\n$", ended.stderr)
    assert can_listen("127.0.0.1", int(other))
    assert can_listen("127.0.0.1", int(other) + 1)


def test_the_port_that_is_named_is_not_the_gateways_of_the_parley_that_has_this_one() -> None:
    """It is the most likely reason for a port to be taken."""
    port = ports.free_row("127.0.0.1", after=ports.free_port(), length=22)
    servers = [socket.create_server(("127.0.0.1", port + more)) for more in (0, 1, 11)]

    assert launch.other_ports(Settings(port=port)) == f"PORT={port + 20}"
    assert (
        launch.other_ports(Settings(port=port, gateway_port=port + 9)) == f"PORT={port + 20} GATEWAY_PORT={port + 21}"
    )
    for server in servers:
        server.close()


def test_a_taken_port_of_the_gateway_is_named_too(taken_port: str, tmp_path: pathlib.Path) -> None:
    """By the setting that moves it."""
    ended = run_py(PORT=str(free_port()), GATEWAY_PORT=taken_port, PARLEY_DATA=str(tmp_path / "data"))

    assert (ended.returncode, ended.stdout) == (1, "")
    sentence = rf"Port {taken_port} \(the gateway's\) is taken; choose another: GATEWAY_PORT=(\d+) make run\n"
    (other,) = re.findall(sentence, ended.stderr)
    assert can_listen("127.0.0.1", int(other))


def test_a_port_that_leaves_none_to_the_gateway_is_refused(tmp_path: pathlib.Path) -> None:
    """The last there is."""
    ended = run_py(PORT="65535", PARLEY_DATA=str(tmp_path / "data"))

    assert ended.stderr.startswith("GATEWAY_PORT: leaves no port of its own to the gateway; for example GATEWAY_PORT=")


def test_a_data_folder_that_cannot_be_made_is_one_sentence(taken_port: str, tmp_path: pathlib.Path) -> None:
    """The system's own words name the path."""
    (tmp_path / "file").touch()

    ended = run_py(PORT=taken_port, PARLEY_DATA=str(tmp_path / "file" / "data"))

    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert str(tmp_path / "file") in ended.stderr
