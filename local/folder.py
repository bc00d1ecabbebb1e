"""Folder: the data folder of one instance, and the lock that keeps it to one instance.

Every process of the tree holds the lock (it is inherited), so it is free exactly when the last of
them is gone, whoever was killed first.
"""

from __future__ import annotations

import fcntl
import os
import pathlib
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from local import keys
from local.errors import CannotStart

TICK_SECONDS = 0.05
PATIENCE_SECONDS = 0.5
"""A wait longer than this is explained to the person at the terminal."""


@dataclass(frozen=True)
class Folder:
    """Paths below the data folder (setting PARLEY_DATA)."""

    path: pathlib.Path

    @property
    def logs(self) -> pathlib.Path:
        """One file per process."""
        return self.path / "logs"

    @property
    def services(self) -> pathlib.Path:
        """How tools reach the running instance: ``NAME=value`` lines for a shell. Private."""
        return self.path / "services.env"

    def make(self) -> None:
        """Create it. Others may enter it, for PostgreSQL may have to run as another user; not read its logs."""
        if not self.path.exists():
            self.path.mkdir(parents=True)
            self.path.chmod(0o755)
        self.logs.mkdir(mode=0o700, exist_ok=True)

    def admin_token(self) -> str:
        """The operator's token, made at the first call."""
        return keys.kept(self.path / "admin-token")

    def token_key(self) -> str:
        """What access tokens are signed with, made at the first call."""
        return keys.kept(self.path / "keys" / "token-key")

    def publish(self, services: Mapping[str, str]) -> None:
        """Tell tools about the running instance."""
        lines = [f"{name}={shlex.quote(value)}\n" for name, value in services.items()]
        keys.write_private(self.services, "".join(lines))

    def unpublish(self) -> None:
        """The ports are given to others from now on."""
        self.services.unlink(missing_ok=True)

    def lock(self, *, wait_seconds: float, address: str = "", say: Callable[[str], None] = print) -> int:
        """Make this the folder's only instance; returns the lock, to be inherited by every process of it.

        Args:
            address: where it will answer, for whoever comes second; empty if it answers nobody.

        Raises:
            CannotStart: another instance still has it after ``wait_seconds``.
        """
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        begun = time.monotonic()
        explained = False
        while not _is_taken(lock):
            waited = time.monotonic() - begun
            if waited > wait_seconds:
                raise CannotStart(f"Parley already runs in {self.path} ({_holder(lock)}): use that one, or stop it")
            if waited > PATIENCE_SECONDS and not explained:
                say(f"Waiting for another run in {self.path} to end ({_holder(lock)})")
                explained = True
            time.sleep(TICK_SECONDS)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()} {address}".encode(), 0)
        return lock


def _is_taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(lock: int) -> str:
    number, _, address = os.pread(lock, 500, 0).decode().partition(" ")
    return f"process {number}, {address}" if address else f"process {number}"
