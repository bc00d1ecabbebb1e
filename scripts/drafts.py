"""Drafts: a file that gets its name when it is whole, and takes nobody's.

A draft is locked for as long as its maker lives, so that the next one can tell one that is being written from one that
was left.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import pathlib
import re
import uuid
from collections.abc import Iterator

from scripts import dumps

SUFFIX = ".dump"


def stem(database: str) -> str:
    """How the files of a database begin: ``parley``, ``parley-shop``.

    >>> stem("parley"), stem("shop"), stem("a/b")
    ('parley', 'parley-shop', 'parley-a_b')
    """
    return "parley" if database == "parley" else "parley-" + re.sub(r"[^\w.-]", "_", database)


@contextlib.contextmanager
def draft(folder: pathlib.Path, begin: str) -> Iterator[pathlib.Path]:
    """An empty file that only its owner may read. It is gone afterwards, unless `finish` gave it a name."""
    path = folder / f".{begin}-{dumps.stamp()}{SUFFIX}.{uuid.uuid4().hex[:8]}"
    file = None
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        _lock(file)
        yield path
    finally:
        path.unlink(missing_ok=True)
        if file is not None:
            os.close(file)


def finish(path: pathlib.Path, begin: str) -> pathlib.Path:
    """Give a draft its name, for good: a power cut later both are there. Where the name is taken, the next number."""
    _sync(path)
    for number in itertools.count(1):
        name = path.with_name(f"{begin}-{dumps.stamp()}{f'-{number}' if number > 1 else ''}{SUFFIX}")
        with contextlib.suppress(FileExistsError):
            _move(path, name)
            break
    _sync(path.parent)
    return name


def sweep(folder: pathlib.Path, begin: str) -> None:
    """Remove drafts whose maker is gone."""
    left = re.compile(rf"\.{re.escape(begin)}-\d{{8}}-\d{{6}}{re.escape(SUFFIX)}\.[0-9a-f]{{8}}")
    for path in folder.iterdir():
        if left.fullmatch(path.name):
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                if _lock(file.fileno()):
                    path.unlink()


def _lock(file: int) -> bool:
    """False where another has it, or the file system knows no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _move(path: pathlib.Path, name: pathlib.Path) -> None:
    """`FileExistsError` where the name is taken. A rename would replace the file; a link does not."""
    try:
        os.link(path, name)
    except FileExistsError:
        raise
    except OSError:
        # A file system without links (FAT, some shares): look, then rename.
        if name.exists():
            raise FileExistsError(name) from None
        path.rename(name)


def _sync(path: pathlib.Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
