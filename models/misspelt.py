"""Misspelt: variables of the environment that are no settings, and were probably meant to be some.

An environment is full of what belongs to others, so nothing can be refused. Only what is nearly a setting's name is
told; a word alone (`HOSTNAME`, `PORTS`) is too likely somebody else's, and so is a setting's name with more behind it.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping

NEARLY = 0.88
"""As `difflib` measures it: one or two letters in ten, or an underscore too few."""


def misspelt(environ: Mapping[str, str], known: Collection[str]) -> dict[str, str]:
    """The setting that was probably meant, by what was written. Values are not looked at.

    >>> misspelt({"WORKER_SLOT": "8", "HOSTNAME": "box"}, {"WORKER_SLOTS", "HOST"})
    {'WORKER_SLOT': 'WORKER_SLOTS'}
    """
    found = {}
    for name in environ:
        if name in known or "_" not in name or any(name.startswith(f"{each}_") for each in known):
            continue
        near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=NEARLY)
        if near:
            found[name] = near[0]
    return found
