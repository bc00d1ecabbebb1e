"""Prices: what a model's tokens cost, from a file that is read once and refused at start if it cannot be right.

Money is a `Decimal` here, ``numeric`` in PostgreSQL and a string on the wire; a float would not add up. What is not
known is ``None``, never 0: a model without a price has cost something, and nobody has said what.
"""

from __future__ import annotations

import pathlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

SHIPPED = pathlib.Path(__file__).with_name("prices.toml")
MILLION_PLACES = 6
MOST_PLACES = 6
HIGHEST_PRICE = 1_000_000
LONGEST_VERSION = 50
MOST_BYTES = 1024 * 1024
_CURRENCY_LETTERS = 3
_AMOUNTS = ("input", "output", "cached_input")


class PricesRefused(ValueError):
    """The file cannot be right; the message is the end of a sentence that began with its name."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """What a million tokens of one model cost."""

    version: str
    """Noted on each attempt that was charged by it."""
    input: Decimal
    output: Decimal
    cached_input: Decimal
    """Of a prompt's tokens that the model's server had kept from a prompt before."""

    @property
    def is_free(self) -> bool:
        """Whether it costs nothing, however many tokens there were."""
        return not (self.input or self.output or self.cached_input)

    def cost(self, *, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> Decimal:
        """Of one call, to the last digit.

        Args:
            cached_tokens: those of the prompt's that cost ``cached_input``.

        >>> mini = Price(version="1", input=Decimal("0.15"), output=Decimal("0.60"), cached_input=Decimal("0.075"))
        >>> wire(mini.cost(prompt_tokens=1000, completion_tokens=100))
        '0.00021'
        >>> wire(mini.cost(prompt_tokens=1000, completion_tokens=100, cached_tokens=1000))
        '0.000135'
        """
        cached = min(cached_tokens, prompt_tokens)
        total = (prompt_tokens - cached) * self.input + cached * self.cached_input + completion_tokens * self.output
        return total.scaleb(-MILLION_PLACES)


@dataclass(frozen=True, kw_only=True)
class Prices:
    """All that is known of what models cost."""

    currency: str
    """Three letters, of all prices."""
    models: Mapping[str, Price]


def wire(amount: Decimal | None) -> str | None:
    """An amount as clients see it: digits and a point, no exponent, no zeros at the end.

    >>> wire(Decimal("0.000150")), wire(Decimal("1E+2")), wire(Decimal("0.00")), wire(None)
    ('0.00015', '100', '0', None)
    """
    return None if amount is None else format(amount.normalize(), "f")


def file(raw: str) -> str:
    """For a setting: the path of a file of prices, which is read to see whether it can be right."""
    table(raw)
    return raw


@cache
def table(path: str) -> Prices:
    """The prices of a file; of the one that comes with the product, if the path is empty.

    Raises:
        PricesRefused: it cannot be read, or what it says cannot be right.
    """
    try:
        with (pathlib.Path(path) if path else SHIPPED).open("rb") as opened:
            raw = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise PricesRefused(f"cannot be read ({error.strerror})") from None
    if len(raw) > MOST_BYTES:
        raise PricesRefused("is larger than a megabyte")
    try:
        return understood(tomllib.loads(raw.decode(), parse_float=Decimal))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PricesRefused(f"is not TOML ({error})") from None


def understood(said: Mapping[str, object]) -> Prices:
    """What such a file says.

    Raises:
        PricesRefused: it says something that nobody knows, or that cannot be.
    """
    _only_known(said, {"currency", "models"}, where="it")
    currency, models = said.get("currency"), said.get("models")
    if not (
        isinstance(currency, str)
        and len(currency) == _CURRENCY_LETTERS
        and currency.isascii()
        and currency.isupper()
        and currency.isalpha()
    ):
        raise PricesRefused('names no currency of three capital letters, as currency = "USD"')
    if not isinstance(models, Mapping):
        raise PricesRefused("has no table [models]")
    return Prices(currency=currency, models={str(name): _price(str(name), entry) for name, entry in models.items()})


def _price(model: str, entry: object) -> Price:
    if not isinstance(entry, Mapping):
        raise PricesRefused(f"has something else than a table for {model}")
    _only_known(entry, {"version", *_AMOUNTS}, where=model)
    version = entry.get("version")
    if not (isinstance(version, str) and version.isprintable() and 0 < len(version) <= LONGEST_VERSION):
        raise PricesRefused(f'names no version of the price of {model}, as version = "2026-11-01"')
    for name in ("input", "output"):
        if name not in entry:
            raise PricesRefused(f"lacks {name} of {model}")
    amounts = {name: _amount(entry[name], f"{name} of {model}") for name in _AMOUNTS if name in entry}
    return Price(version=version, **{"cached_input": amounts["input"], **amounts})


def _only_known(said: Mapping[str, object], known: set[str], *, where: str) -> None:
    if unknown := sorted(set(said) - known):
        raise PricesRefused(f"has a field that nobody knows: {unknown[0]} of {where}")


def _amount(value: object, what: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise PricesRefused(f"has something else than a number as {what}")
    amount = Decimal(value)
    if not amount.is_finite() or not 0 <= amount <= HIGHEST_PRICE:
        raise PricesRefused(f"has {value} as {what}, which is not between 0 and {HIGHEST_PRICE}")
    if amount != round(amount, MOST_PLACES):
        raise PricesRefused(f"has more than {MOST_PLACES} decimal places as {what}")
    return amount
