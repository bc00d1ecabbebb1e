"""What an attempt cost, from what its call brought."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest

from models.attempts import Ending, Outcome
from models.prices import Price
from tasks import endings
from tasks.llm.tokens import estimate

DEAR = Price(version="7", input=Decimal(2), output=Decimal(8), cached_input=Decimal(1))
FREE = Price(version="1", input=Decimal(0), output=Decimal(0), cached_input=Decimal(0))
ENDING = Ending(job_id="j", attempt=1, outcome=Outcome.FAILED, prompt_tokens=100, completion_tokens=10)
UNCOUNTED = dataclasses.replace(ENDING, prompt_tokens=None, completion_tokens=None)


@pytest.mark.parametrize(
    ("ending", "price", "cost", "version"),
    [
        (ENDING, DEAR, Decimal("0.00028"), "7"),
        (dataclasses.replace(ENDING, cached_tokens=60), DEAR, Decimal("0.00022"), "7"),
        (dataclasses.replace(ENDING, prompt_tokens=0, completion_tokens=0, cached=True), DEAR, Decimal(0), "7"),
        (ENDING, None, None, None),
        (UNCOUNTED, DEAR, None, None),
        (UNCOUNTED, FREE, Decimal(0), "1"),
    ],
    ids=["counted", "kept by the server", "answered before", "no price", "not counted", "free"],
)
def test_what_is_not_known_is_null_and_never_nought(
    ending: Ending, price: Price | None, cost: Decimal | None, version: str | None
) -> None:
    """Nothing is known without a price, nor without a count; unless all of it is free."""
    priced = endings.priced(ending, price)

    assert (priced.cost, priced.price_version) == (cost, version)


ASKED, SAID = "Why is the sky blue?", "Because of"
ESTIMATED = Decimal(2 * estimate(ASKED) + 8 * estimate(SAID)) / 1_000_000
CODES = ("provider_timeout", "provider_cut", "deadline_exceeded", "released", "provider_unavailable", "provider_auth")


@pytest.mark.parametrize("code", CODES)
def test_what_a_server_may_have_charged_for_is_estimated(code: str) -> None:
    """Not what it refused, nor what never came to it."""
    ending = dataclasses.replace(UNCOUNTED, error_code=code)

    priced = endings.priced(ending, DEAR, asked=ASKED, said=SAID)

    may_cost = code not in ("provider_unavailable", "provider_auth")
    assert (priced.cost, priced.price_version) == ((ESTIMATED, "7, estimated") if may_cost else (None, None))
    assert (priced.prompt_tokens, priced.completion_tokens) == (None, None)


def test_nothing_is_estimated_that_is_known_or_was_not_asked() -> None:
    """Nor what is free, nor where nobody has said a price."""
    assert endings.priced(ENDING, DEAR, asked=ASKED, said=SAID).price_version == "7"
    assert endings.priced(UNCOUNTED, DEAR, asked="", said="").cost is None
    assert endings.priced(UNCOUNTED, FREE, asked=ASKED, said=SAID).cost == 0
    assert endings.priced(UNCOUNTED, None, asked=ASKED, said=SAID).cost is None
