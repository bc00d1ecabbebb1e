"""The metrics folder: where the workers of one api count, each in files of its own.

An api removes its folder when it ends; one that was killed cannot, so the next that starts clears away what belongs to
nobody. A process number would not say whose a folder is, for containers have the same one at each start. So the master
holds a lock on its folder, and its workers with it: the system lets go of the lock when the last of them has ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

PREFIX = "parley-counts-"
TRIES = 3


def make(parent: str | None = None) -> str:
    """A new folder, this process's and its children's until they end; those of others that nobody has are removed.

    Args:
        parent: where; None: where temporary files are.
    """
    where = pathlib.Path(parent or tempfile.gettempdir())
    for folder in where.glob(f"{PREFIX}*"):
        with _locked(folder) as is_nobodys:
            if is_nobodys:
                shutil.rmtree(folder, ignore_errors=True)
    for _ in range(TRIES):
        made = tempfile.mkdtemp(prefix=PREFIX, dir=where)
        held = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
        # Another that starts now may have taken it for left behind, before it was locked.
        with contextlib.suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(pathlib.Path(made).stat(), os.fstat(held)):
                return made
        os.close(held)
    return tempfile.mkdtemp(prefix=PREFIX, dir=where)  # where nothing can be locked, nobody clears anything away


@contextlib.contextmanager
def _locked(folder: pathlib.Path) -> Iterator[bool]:
    """Whether it is ours to remove: a folder of this user's that no process holds. (A link `rmtree` leaves alone.)"""
    try:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_ours = os.fstat(held).st_uid == os.geteuid()
    except OSError:
        is_ours = False
    try:
        yield is_ours
    finally:
        os.close(held)
