"""Retry-After: two headers, three forms, and servers that get all of them wrong."""

from __future__ import annotations

import datetime as dt
import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.llm.failures import retry_after

NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("3600", 3600.0),
        ("1000000000", 3600.0),
        ("9" * 400, None),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("0x10", None),
        ("\u0667", None),
        ("7, 8", None),
        ("soon", None),
        ("", None),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 12:00:30 -0000", 30.0),
        ("Thu, 01 Jan 2026 13:00:30 +0100", 30.0),
        ("Thu, 01 Jan 2026 11:59:00 GMT", None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
        ("Thu, 99 Jan 2026 12:00:00 GMT", None),
        ("Thu, 01 Jan 2026 12:00:00 +9999", None),
    ],
)
def test_a_header_means_seconds_or_nothing(header: str, seconds: float | None) -> None:
    """Never before now, never beyond the hour."""
    assert retry_after({"retry-after": header}, now=NOON) == seconds


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "-5"}, None),
        ({}, None),
    ],
)
def test_milliseconds_go_first_if_they_are_any(headers: dict[str, str], seconds: float | None) -> None:
    """They are the more exact of the two."""
    assert retry_after(headers, now=NOON) == seconds


@given(header=st.text(), name=st.sampled_from(["retry-after", "retry-after-ms"]))
def test_no_header_is_too_strange(header: str, name: str) -> None:
    """Whatever it says, it is a wait within the hour or none."""
    seconds = retry_after({name: header}, now=NOON)

    assert seconds is None or 0 <= seconds <= 3600


@given(later=st.timedeltas(dt.timedelta(days=-10_000), dt.timedelta(days=2_000_000)))
def test_no_date_is_too_far(later: dt.timedelta) -> None:
    """Yesterday is no wait, next year is an hour."""
    date = (NOON + later).replace(microsecond=0)

    seconds = retry_after({"retry-after": email.utils.format_datetime(date, usegmt=True)}, now=NOON)

    assert (seconds is None) == (date < NOON)
    assert seconds is None or seconds <= 3600
