"""Workers that die again and again leave what they counted, and no more files than those who live have."""

from __future__ import annotations

import fcntl
import os
import pathlib
import subprocess
import sys

import pytest
from structlog.testing import capture_logs

from api import ended_counts
from tests.conftest import ROOT

COUNT = """
from prometheus_client import CollectorRegistry, Counter, Histogram
registry = CollectorRegistry()
Counter("eggs", "Eggs.", ["size"], registry=registry).labels("big").inc(2)
Histogram("weight", "Of one.", buckets=(1, 2), registry=registry).observe(1.5)
"""
STAND = """
from prometheus_client import CollectorRegistry, Gauge
registry = CollectorRegistry()
Gauge("borrowed", "Now.", registry=registry, multiprocess_mode="livesum").set(3)
"""
SHOW = """
from prometheus_client import CollectorRegistry, generate_latest, multiprocess
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
print(generate_latest(registry).decode())
"""


def run(folder: pathlib.Path, program: str) -> str:
    """A process that has ended when this returns."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout


def shown(folder: pathlib.Path) -> set[str]:
    return set(run(folder, SHOW).splitlines())


def test_what_the_dead_counted_is_added_up_in_one_file_of_each_kind(tmp_path: pathlib.Path) -> None:
    """However many there were, and however often it is done."""
    for _ in range(2):
        run(tmp_path, COUNT)
        run(tmp_path, COUNT)
        ended_counts.merge(str(tmp_path))

    assert sorted(file.name for file in tmp_path.glob("*.db")) == ["counter_ended.db", "histogram_ended.db"]
    assert shown(tmp_path) >= {
        'eggs_total{size="big"} 8.0',
        'weight_bucket{le="1.0"} 0.0',
        'weight_bucket{le="2.0"} 4.0',
        "weight_sum 6.0",
        "weight_count 4.0",
    }


def test_how_things_stood_in_the_dead_is_forgotten(tmp_path: pathlib.Path) -> None:
    """What a worker had borrowed when it was killed is not in use for ever; that of the living is."""
    run(tmp_path, STAND)
    [of_dead] = tmp_path.glob("gauge_*.db")
    of_living = of_dead.with_name(f"gauge_livesum_{os.getpid()}.db")
    of_living.write_bytes(of_dead.read_bytes())
    before = shown(tmp_path)

    ended_counts.merge(str(tmp_path))

    assert "borrowed 6.0" in before
    assert list(tmp_path.glob("*.db")) == [of_living]
    assert "borrowed 3.0" in shown(tmp_path)


def test_what_the_living_count_stays_theirs(tmp_path: pathlib.Path) -> None:
    """They have it open."""
    own = tmp_path / f"counter_{os.getpid()}.db"
    own.write_bytes(b"")

    ended_counts.merge(str(tmp_path))

    assert [file.name for file in tmp_path.glob("*.db")] == [own.name]


def test_two_who_come_at_once_add_nothing_twice(tmp_path: pathlib.Path) -> None:
    """The second leaves it to the first."""
    run(tmp_path, COUNT)
    with (tmp_path / "merging").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        ended_counts.merge(str(tmp_path))

    assert not (tmp_path / "counter_ended.db").exists()
    assert 'eggs_total{size="big"} 2.0' in shown(tmp_path)


@pytest.mark.parametrize("left", [b"", b"\xff\x00\x00\x00\x00\x00\x00\x00" + b"\x70" * 400])
def test_a_file_that_makes_no_sense_stops_nobody(tmp_path: pathlib.Path, left: bytes) -> None:
    """Who was killed may have left one. The others are added."""
    run(tmp_path, COUNT)
    [of_dead] = tmp_path.glob("counter_*.db")
    broken = of_dead.with_name("counter_99999999.db")
    broken.write_bytes(left)

    with capture_logs() as entries:
        ended_counts.merge(str(tmp_path))

    assert [(entry["event"], entry["file"]) for entry in entries] == [("counts_not_merged", broken.name)]
    assert (tmp_path / "counter_ended.db").exists()
