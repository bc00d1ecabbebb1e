"""Reading what a client would prefer."""

from __future__ import annotations

import pytest

from api.preferences import wait_seconds


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=5", 5),
        ("WAIT=5", 5),
        ("wait = 5", 5),
        ('wait="5"', 5),
        ("wait=5; foo=bar", 5),
        ("respond-async, wait=5", 5),
        ('handling="a, wait=9", wait=5', 5),
        ("wait=5, wait=9", 5),
        ("wait=60", 60),
        ("wait=61", 60),
        ("wait=100000", 60),
        ("wait=" + "9" * 5000, 60),
        ("wait=007", 7),
        ("wait=0", 0),
    ],
)
def test_a_wait_is_read_and_bounded(prefer: str, seconds: int) -> None:
    """RFC 7240: names in any case, parameters behind a semicolon, the first of several counts."""
    assert wait_seconds(prefer) == seconds


@pytest.mark.parametrize(
    "prefer",
    [None, "", "wait", "wait=", "wait=-5", "wait=5.0", "wait=soon", "wait=\u0665", "waiting=5", 'wait="5', "=5"],
)
def test_what_is_no_wait_is_ignored(prefer: str | None) -> None:
    """A preference that cannot be understood is no error."""
    assert wait_seconds(prefer) is None
