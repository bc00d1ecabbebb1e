"""A flag's share is always the same owners, about as many as it says, and grows without putting anybody out."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys

import pytest

from models import flags
from models.flags import BY_ITSELF, Flag
from models.settings import from_environment
from tests.conftest import ROOT

OWNERS = [f"user:{number}" for number in range(2000)]


def those(percent: int, flag: Flag = Flag.GATEWAY) -> set[str]:
    return {owner for owner in OWNERS if flags.is_for(f"{flag}={percent}", flag, owner)}


@pytest.mark.parametrize("percent", [0, 1, 10, 50, 99, 100])
def test_so_many_in_a_hundred_have_it(percent: int) -> None:
    """Within what chance makes of 2,000: four standard deviations."""
    spread = (percent * (100 - percent) / 100 / 100 / len(OWNERS)) ** 0.5

    assert abs(len(those(percent)) / len(OWNERS) - percent / 100) <= 4 * spread


def test_whoever_has_it_keeps_it_as_it_grows() -> None:
    """So nobody sees a thing come and go."""
    grown = [those(percent) for percent in range(0, 101, 5)]

    assert all(fewer < more for fewer, more in itertools.pairwise(grown))


def test_another_process_gives_it_to_the_same_ones() -> None:
    """Python's own hash would be another one there."""
    ask = "from models.flags import *; print([is_for('gateway=50', Flag.GATEWAY, f'user:{n}') for n in range(50)])"
    there = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert there.strip() == str([owner in those(50) for owner in OWNERS[:50]])


def test_two_flags_are_not_tried_on_the_same_people() -> None:
    """A tenth of a tenth has both."""
    both = those(10) & those(10, Flag.REPLY_CACHE)

    assert 0 < len(both) < len(those(10)) / 2


def test_what_the_setting_does_not_name_is_as_it_is_by_itself() -> None:
    """Without the setting nothing is another than before."""
    said = from_environment({"FLAGS": " reply_cache = 0 "}).flags

    assert said == "reply_cache=0"
    assert not flags.is_for(said, Flag.REPLY_CACHE, "user:1")
    assert flags.is_for_all(said, Flag.GATEWAY)
    assert flags.is_for_all("", Flag.REPLY_CACHE)
    assert not flags.is_for_all("gateway=99", Flag.GATEWAY)


def test_every_flag_is_on_its_page() -> None:
    """With what it is by itself."""
    page = (ROOT / "docs/how-to/flags.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+)` \|.*\| (\d+) \|$", page, re.MULTILINE)

    assert sorted(rows) == sorted((flag.value, str(percent)) for flag, percent in BY_ITSELF.items())
