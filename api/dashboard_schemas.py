"""Schemas of the dashboard: how the installation stands and has stood. Null is *unknown*, or that there is nothing."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from api.schemas import ALWAYS, Schema
from models.breakers import BreakerState
from models.samples import Span


def _number(description: str) -> fields.Float:
    return fields.Float(required=True, allow_none=True, metadata={"description": description})


def _count(description: str = "") -> fields.Integer:
    return fields.Integer(required=True, metadata={"description": description} if description else {})


def _money(description: str) -> fields.String:
    return fields.String(required=True, allow_none=True, metadata={"description": description, "examples": ["0.00015"]})


class SampleFiguresSchema(Schema):
    """What is counted over a time."""

    finished_rate = _number("Jobs answered or given up in a second.")
    failed_share = _number("Of those jobs: which were given up.")
    request_rate = _number("Requests to the API in a second.")
    error_share = _number("Of those requests: which got a 5xx.")
    latency_p50 = _number("Seconds to the head of an answer.")
    latency_p95 = _number("As above.")
    latency_p99 = _number("As above.")
    sockets = _number("WebSockets that are signed in.")
    delivery_p95 = _number("Seconds from when a message was written to when it was read to be delivered.")
    resyncs = _number("Sockets told to read anew.")
    chat_cache_hits = _number("Share of the looks.")
    reply_cache_hits = _number("Share of the looks.")
    cores = _number("Processor seconds a second, of all processes that report.")
    resident = _number("Bytes of memory, shared pages counted in each process.")
    files = _number("Open files and sockets.")
    disk_used_share = _number("Of the fullest disk that PARLEY_DATA lies on.")


class LatencyBucketSchema(Schema):
    """Answers of the API that took so long."""

    up_to = _number("Seconds; null: longer than all the others.")
    share = fields.Float(required=True)


class RecentSchema(SampleFiguresSchema):
    """The newest sample."""

    until = fields.AwareDateTime(format="iso", required=True)
    seconds = fields.Float(required=True, metadata={"description": "The time it tells of."})
    heard: Any = fields.Dict(
        keys=fields.String(),
        values=fields.Integer(),
        required=True,
        metadata={"description": "Processes that reported, by kind."},
    )
    latency = fields.List(fields.Nested(LatencyBucketSchema), required=True)


class QueueSchema(Schema):
    """Jobs that have not ended."""

    waiting = _count()
    running = _count()
    oldest = _number("Seconds since the first due job could have been begun; null: none is due.")


class LettersSchema(Schema):
    """Dead letters that were not discarded."""

    count = _count()
    at_least = fields.Boolean(required=True, metadata={"description": "There are more than `count`."})
    oldest = _number("Seconds; null: there is none.")


class ModelSchema(Schema):
    """One model of the chain, and what came of its calls in the newest sample."""

    model = fields.String(required=True)
    state = fields.Enum(BreakerState, by_value=True, required=True)
    retry_seconds = _number("While its breaker is open: until a call is tried.")
    calls = fields.Integer(required=True, allow_none=True)
    failed_calls = fields.Integer(required=True, allow_none=True)


class TodayCostSchema(Schema):
    """Of today, UTC."""

    currency = fields.String(required=True)
    today = _money("Of calls whose price is known; null: of none it is.")
    unpriced_calls = _count()
    budget = _money("What may be spent; null: any amount.")


class ActivitySchema(Schema):
    """Of today, UTC; some minutes old."""

    users = _count("Accounts that signed in, prolonged a session or handed in a job.")
    owners = _count("Whoever handed in a job, guests too.")
    jobs = _count("Handed in.")
    jobs_per_owner = fields.List(
        fields.Integer(),
        required=True,
        allow_none=True,
        metadata={"description": "Of the middle owner, of the one that 95 % do not exceed, of the busiest."},
    )


class DashboardSchema(Schema):
    """How things stand."""

    queue = fields.Nested(QueueSchema, required=True)
    dead_letters = fields.Nested(LettersSchema, required=True)
    models = fields.List(fields.Nested(ModelSchema), required=True)
    cost = fields.Nested(TodayCostSchema, required=True)
    processes: Any = fields.Dict(
        keys=fields.String(), values=fields.Integer(), required=True, metadata={"description": "Live ones, by kind."}
    )
    slots = _count("Calls that the live workers can make at once.")
    database_bytes = _count()
    recent = fields.Nested(
        RecentSchema, required=True, allow_none=True, metadata={"description": "Null: no dispatcher samples."}
    )
    activity = fields.Nested(
        ActivitySchema, required=True, allow_none=True, metadata={"description": "Null: nobody has counted."}
    )


class DashboardHistoryQuerySchema(Schema):
    """How far back."""

    span = fields.Enum(
        Span,
        by_value=True,
        load_default=Span.HOUR,
        data_key="range",
        error_messages={**ALWAYS, "unknown": "unknown_range: Use one of {choices}."},
        metadata={"default": Span.HOUR.value},
    )


class MomentSchema(SampleFiguresSchema):
    """One moment of a chart."""

    at = fields.AwareDateTime(format="iso", required=True, metadata={"description": "When its time begins."})
    waiting = _number("The most in that time, as with all that is not counted over it.")
    running = _number("")
    oldest = _number("Seconds; 0: nothing was due.")
    dead_letters = _number("")
    breakers_open = _number("Models whose breaker is not closed.")
    cost = _number("Of that day until then.")


class DashboardHistorySchema(Schema):
    """The oldest moment first. Where no dispatcher sampled there is none."""

    range = fields.Enum(Span, by_value=True, required=True)
    step_seconds = _count("From one moment to the next.")
    items = fields.List(fields.Nested(MomentSchema), required=True)
