"""Keys: the secrets of one data folder, each in a file only its owner can read.

Made once and kept, because the database remembers its password.
"""

from __future__ import annotations

import os
import pathlib
import secrets

ONLY_OWNER = 0o600


def kept(file: pathlib.Path) -> str:
    """The secret in ``file``; a new random one is written there if there is none yet."""
    if not file.exists():
        write_private(file, secrets.token_urlsafe(32) + "\n")
    file.chmod(ONLY_OWNER)
    return file.read_text().strip()


def write_private(file: pathlib.Path, text: str) -> None:
    """Write ``text`` so that no other user can read it at any moment, and no reader sees half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(file.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, ONLY_OWNER), "w", encoding="utf-8") as out:
        out.write(text)
    draft.replace(file)
