"""What models cost, and what may be spent on them."""

from __future__ import annotations

from dataclasses import dataclass

from models import forms, prices
from models.knobs.knob import knob


@dataclass(frozen=True, kw_only=True)
class CostKnobs:
    """Prices and budgets."""

    prices_file: str = knob(
        "PRICES_FILE",
        prices.file,
        default="",
        example="/etc/parley/prices.toml",
        meaning="A TOML file of what models cost for a million tokens. Empty: `models/prices.toml`.",
    )
    budget_day: str = knob(
        "BUDGET_DAY",
        forms.amount,
        default="",
        example="50",
        meaning="What may be spent on models on one day (UTC), in the currency of the prices. Empty: any amount.",
    )
    budget_owner_day: str = knob(
        "BUDGET_OWNER_DAY",
        forms.amount,
        default="",
        example="1.50",
        meaning="What one owner's jobs may cost on one day (UTC). Empty: any amount.",
    )
    budget_soft_percent: int = knob(
        "BUDGET_SOFT_PERCENT",
        forms.whole(1, 100),
        default=80,
        example="80",
        meaning="When so much of a budget is spent the log says so.",
    )
    budget_action: str = knob(
        "BUDGET_ACTION",
        forms.one_of("wait", "refuse"),
        default="wait",
        example="refuse",
        meaning="What becomes of jobs when a budget is used up: they `wait`, or no more are accepted (402), too.",
    )
    budget_output_tokens: int = knob(
        "BUDGET_OUTPUT_TOKENS",
        forms.whole(1, 1_000_000),
        default=1000,
        example="1000",
        meaning="How long an answer is reckoned to be when its cost is reserved.",
    )
