"""Errors: the one way in which starting can fail on purpose."""

from __future__ import annotations


class CannotStart(Exception):
    """Starting is refused; the message is the whole sentence shown to the person who tried."""
