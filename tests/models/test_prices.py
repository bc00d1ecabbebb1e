"""Prices: what a call costs, to the last digit; and what files are refused."""

from __future__ import annotations

import pathlib
from decimal import Decimal

import pytest

from models import prices
from models.settings import SettingRefused, from_environment

GOOD = 'currency = "USD"\n[models.m]\nversion = "7"\ninput = 0.15\noutput = 0.60\n'


def a_file(folder: pathlib.Path, text: str) -> str:
    path = folder / "prices.toml"
    path.write_text(text)
    return str(path)


def test_without_a_file_the_products_own_is_used_in_which_the_offline_model_is_free() -> None:
    """And which any model that it does not name has no price in."""
    known = from_environment({}).prices

    assert known.models["offline"].is_free
    assert known.currency == "USD"
    assert "some-model" not in known.models


def test_a_file_of_ones_own_replaces_it(tmp_path: pathlib.Path) -> None:
    """A tenth of a cent is not rounded: ten million such calls are a bill."""
    known = from_environment({"PRICES_FILE": a_file(tmp_path, GOOD)}).prices

    cost = known.models["m"].cost(prompt_tokens=7, completion_tokens=3)

    assert set(known.models) == {"m"}
    assert cost == Decimal("0.00000285")
    assert cost * 10**7 == Decimal("28.5")


def test_tokens_that_the_server_had_kept_cost_what_the_file_says(tmp_path: pathlib.Path) -> None:
    """Or as much as any, if it says nothing; and never more of them than the prompt has."""
    plain = prices.table(a_file(tmp_path, GOOD)).models["m"]
    kept = prices.understood(
        {"currency": "USD", "models": {"m": {"version": "7", "input": 2, "output": 4, "cached_input": 1}}}
    ).models["m"]

    assert plain.cached_input == plain.input
    assert kept.cost(prompt_tokens=10, completion_tokens=1, cached_tokens=4) * 10**6 == 6 * 2 + 4 + 4
    assert kept.cost(prompt_tokens=10, completion_tokens=1, cached_tokens=99) * 10**6 == 10 + 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD.replace("0.15", "-0.15"), "-0.15 as input of m, which is not between 0 and"),
        (GOOD.replace("0.15", "nan"), "NaN as input of m"),
        (GOOD.replace("0.15", "inf"), "Infinity as input of m"),
        (GOOD.replace("0.15", "1000001"), "which is not between 0 and"),
        (GOOD.replace("0.15", "0.0000001"), "more than 6 decimal places"),
        (GOOD.replace("0.15", "true"), "something else than a number as input of m"),
        (GOOD.replace("0.15", '"0.15"'), "something else than a number as input of m"),
        (GOOD.replace("input = 0.15\n", ""), "lacks input of m"),
        (GOOD.replace('version = "7"\n', ""), "names no version of the price of m"),
        (GOOD.replace('"7"', "7"), "names no version of the price of m"),
        (GOOD + "currency = 1\n", "has a field that nobody knows: currency of m"),
        (GOOD + "[more]\n", "has a field that nobody knows: more of it"),
        (GOOD.replace('"USD"', '"usd"'), "names no currency"),
        ('currency = "USD"\n', r"has no table \[models\]"),
        ('currency = "USD"\nmodels = {m = 1}\n', "something else than a table for m"),
        (GOOD + "input = 1\n", "is not TOML"),
        ("\x00", "is not TOML"),
    ],
)
def test_a_file_that_cannot_be_right_is_refused_with_a_sentence(tmp_path: pathlib.Path, text: str, says: str) -> None:
    """At start, as every setting is; not when the first bill comes."""
    with pytest.raises(SettingRefused, match=f"^PRICES_FILE: '.*{says}.*; for example PRICES_FILE="):
        from_environment({"PRICES_FILE": a_file(tmp_path, text)})


def test_a_file_that_is_not_there_is_refused(tmp_path: pathlib.Path) -> None:
    """Nor is a folder one."""
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(SettingRefused, match=r"^PRICES_FILE: .* cannot be read"):
            from_environment({"PRICES_FILE": str(path)})
