"""Schemas of what calls to models cost."""

from __future__ import annotations

from marshmallow import fields, validate

from api.schemas import ALWAYS, MAX_PAGE, Schema


def _money(description: str) -> fields.String:
    return fields.String(required=True, allow_none=True, metadata={"description": description, "examples": ["0.00015"]})


class SumsSchema(Schema):
    """Calls to models, added up."""

    calls = fields.Integer(
        required=True, metadata={"description": "Attempts whose tokens were counted, whatever became of them."}
    )
    prompt_tokens = fields.Integer(required=True)
    completion_tokens = fields.Integer(required=True)
    cost = _money("Of those calls whose price is known; null: of none it is.")
    unpriced_calls = fields.Integer(
        required=True, metadata={"description": "Those whose cost is not known, or estimated."}
    )


class DaySchema(SumsSchema):
    """One day."""

    day = fields.Date(required=True, metadata={"description": "Of UTC."})


def _limit(default: int, description: str) -> fields.Integer:
    return fields.Integer(
        load_default=default,
        validate=validate.Range(1, MAX_PAGE, error="out_of_range: Use {min} to {max}."),
        error_messages={**ALWAYS, "invalid": "wrong_type: Send a whole number."},
        metadata={"description": description},
    )


class UsageQuerySchema(Schema):
    """Which page of the days."""

    limit = _limit(50, "So many days.")
    cursor = fields.Date(
        load_default=None,
        format="iso",
        error_messages={**ALWAYS, "invalid": "invalid_cursor: Send nextCursor of the page before."},
        metadata={"description": "`nextCursor` of the page before."},
    )


class UsagePageSchema(Schema):
    """The latest day first; days on which nothing was counted are left out."""

    currency = fields.String(required=True)
    items = fields.List(fields.Nested(DaySchema), required=True)
    next_cursor = fields.Date(required=True, allow_none=True, metadata={"description": "Null on the last page."})


class CostQuerySchema(Schema):
    """How much of it."""

    limit = _limit(10, "So many models, and so many owners.")


class ModelCostSchema(SumsSchema):
    """One model."""

    model = fields.String(required=True)
    price_version = fields.String(
        required=True, allow_none=True, metadata={"description": "Of its price now; null: it has none."}
    )


class OwnerCostSchema(SumsSchema):
    """One owner."""

    owner = fields.String(required=True)


class BudgetSchema(Schema):
    """What may be spent on a day, and how that stands."""

    day = _money("Of all; null: any amount.")
    owner_day = _money("Of one owner; null: any amount.")
    reserved = _money("For jobs that are announced or run.")
    used_up = fields.Boolean(required=True, metadata={"description": "Nothing is left for anybody."})
    owners_used_up = fields.Integer(required=True, metadata={"description": "For so many owners nothing is left."})


class CostSchema(Schema):
    """What is spent today and in this month, of UTC."""

    currency = fields.String(required=True)
    day = fields.Date(required=True)
    today = fields.Nested(SumsSchema, required=True)
    month = fields.Nested(SumsSchema, required=True)
    budget = fields.Nested(
        BudgetSchema, required=True, allow_none=True, metadata={"description": "Null: there is none."}
    )
    by_model = fields.List(
        fields.Nested(ModelCostSchema), required=True, metadata={"description": "Of today, the dearest first."}
    )
    by_owner = fields.List(fields.Nested(OwnerCostSchema), required=True, metadata={"description": "Of today."})


class ReportQuerySchema(Schema):
    """Of which month."""

    month = fields.String(
        load_default=None,
        validate=validate.Regexp(r"\A20[0-9]{2}-(0[1-9]|1[0-2])\Z", error="invalid_month: Send one as 2026-11."),
        metadata={"pattern": "^20[0-9]{2}-(0[1-9]|1[0-2])$", "description": "As `2026-11`; this one, if left out."},
    )
