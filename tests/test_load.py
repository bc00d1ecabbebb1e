"""The load test's own arithmetic, and that its two halves, which share no Python, mean the same."""

from __future__ import annotations

import math
import re

import pytest

from benchmarks.load import __main__ as load
from benchmarks.load import swarm
from benchmarks.load.growth import slope
from tests.conftest import ROOT


def test_a_leak_is_told_from_noise() -> None:
    """A megabyte a minute stands out of five megabytes to and fro in ten minutes; none at all does not."""
    noise = [2.5 * math.sin(n) for n in range(120)]

    leak, level = (
        slope([(5.0 * n, 100 + a_minute * n / 12 + each) for n, each in enumerate(noise)]) for a_minute in (1.0, 0.0)
    )

    assert leak.a_minute == pytest.approx(1.0, abs=0.2)
    assert leak.a_minute > leak.error
    assert abs(level.a_minute) < level.error
    assert leak.last - leak.first == pytest.approx(9, abs=2)


def test_what_locust_writes_is_read() -> None:
    """Of a name that was never asked for there are no percentiles."""
    row = {"Name": "POST /api/jobs", "Request Count": "12", "Failure Count": "1", "Requests/s": "0.25"}
    asked = swarm._line({**row, "50%": "8", "95%": "20", "99%": "31"})
    never = swarm._line({**row, "Request Count": "0", "50%": "N/A", "95%": "N/A", "99%": ""})

    assert (asked.requests, asked.failures, asked.a_second, asked.p50, asked.p95, asked.p99) == (12, 1, 0.25, 8, 20, 31)
    assert (never.requests, never.p95) == (0, 0)


def test_both_halves_count_the_same_requests() -> None:
    """Locust runs in an environment of its own, so the numbers stand in two places."""
    said = (ROOT / "benchmarks/load/locustfile.py").read_text()
    found = re.search(r"^HASTY_JOBS, HASTY_MESSAGES, HANDS = (\d+), (\d+), \d+$", said, re.MULTILINE)

    assert found is not None
    assert [int(number) for number in found.groups()] == [load.HASTY_JOBS, load.HASTY_MESSAGES]
    assert all(f'"{name}"' in said for name in swarm.WHOLE)
    assert set(re.findall(r'os\.environ\["(LOAD_[A-Z]+)"\]', said)) == {"LOAD_PEOPLE", "LOAD_KIND"}
