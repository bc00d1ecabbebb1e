"""Ended counts: what workers of this api have counted that have ended. It still counts.

Each worker counts in files of its own. A worker that begins adds those of the dead to one file of each kind, or an api
whose workers die again and again would fill the memory that its folder lies in (`api.metrics_folder`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import shutil
import struct
from collections.abc import Iterator

from prometheus_client.mmap_dict import MmapedDict

from models import logs

KINDS = ("counter", "histogram")
"""Of prometheus-client's files: what only grows, so that the dead's still counts."""
STANDING = "gauge_livesum"
"""How things stand in a worker; of the dead, nothing does."""
ENDED = "ended"
"""In the place of a process number."""

log = logs.logger()


def merge(folder: str) -> None:
    """Add them up. One process at a time does, and nobody waits for it.

    A scrape that comes between the last two steps for a file sees it twice: some microseconds after a worker has died.
    """
    where = pathlib.Path(folder)
    with (where / "merging").open("w") as turn:
        try:
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        for kind in KINDS:
            for file in _of_the_dead(where, kind):
                _add(file, to=where / f"{kind}_{ENDED}.db")
        for file in _of_the_dead(where, STANDING):
            file.unlink()


def _of_the_dead(where: pathlib.Path, kind: str) -> Iterator[pathlib.Path]:
    for file in where.glob(f"{kind}_*.db"):
        number = file.stem.removeprefix(f"{kind}_")
        if number.isdigit() and not _lives(int(number)):
            yield file


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it is another user's
        return True
    return True


def _add(file: pathlib.Path, *, to: pathlib.Path) -> None:
    draft = to.with_suffix(".draft")
    try:
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(to, draft)
        with contextlib.closing(MmapedDict(str(draft))) as sums:  # type: ignore[no-untyped-call]
            for key, value, _, _ in MmapedDict.read_all_values_from_file(str(file)):  # type: ignore[no-untyped-call]
                before, _ = sums.read_value(key)  # type: ignore[no-untyped-call]
                sums.write_value(key, before + value, 0.0)  # type: ignore[no-untyped-call]
        draft.replace(to)
        file.unlink()
    except (OSError, RuntimeError, ValueError, struct.error) as error:
        # It was killed in the middle of a word, or nothing more fits into the folder.
        draft.unlink(missing_ok=True)
        log.warning("counts_not_merged", file=file.name, error=type(error).__name__)
