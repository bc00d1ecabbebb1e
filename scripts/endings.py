"""Endings: whoever is told to stop removes first what it made."""

from __future__ import annotations

import signal
import sys
from types import FrameType

TOLD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def exit_when_told() -> None:
    """Have the first of these signals raise `SystemExit`, with a shell's code for it; what is ignored stays so.

    A second one finds the removing going on, and does not cut it short.
    """
    for each in TOLD:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, _leave)


def _leave(number: int, _: FrameType | None) -> None:
    for each in TOLD:
        # Not SIG_IGN, which the programs started from here would inherit.
        signal.signal(each, lambda *_: None)
    sys.exit(128 + number)
