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
        meaning="When so much of a budget is spent the log says so, and `BUDGET_WEBHOOK_URL` is told.",
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
    budget_webhook_url: str = knob(
        "BUDGET_WEBHOOK_URL",
        forms.url("https", "http"),
        default="",
        example="https://alerts.example.com/parley",
        meaning="Where it is posted that a budget runs low, or is used up. Empty: in the log only.",
        secret=True,
    )
    budget_webhook_secret: str = knob(
        "BUDGET_WEBHOOK_SECRET",
        forms.webhook_secret,
        default="",
        example="whsec_ and 24 to 64 bytes in base64",
        meaning="Signs what is posted of budgets, as Standard Webhooks has it.",
        secret=True,
    )
    budget_webhook_private: bool = knob(
        "BUDGET_WEBHOOK_PRIVATE",
        forms.yes_or_no,
        default=False,
        example="true",
        meaning="Whether that may be plain HTTP, and lead to private addresses and this machine.",
    )
