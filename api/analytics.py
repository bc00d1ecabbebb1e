"""Analytics: numbers about chats, for operators. What is said in them is for their members alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Response

from api import access
from api.analytics_schemas import BotDominatedPageSchema, StaleSummariesPageSchema
from api.jobs import json_response, wire_time
from api.openapi import Noun, problems
from api.schemas import NumberedPageSchema
from models import analytics, base
from models.analytics import Page
from models.base import Session

bp = Noun("analytics", __name__, url_prefix="/api/analytics", description="Numbers about chats; for the operator.")

LOOK_SECONDS = 10.0
"""Messages are counted, of chats that may be long."""


@bp.route("/bot-dominated")
@bp.doc(security=[{"operator": []}])
@bp.arguments(NumberedPageSchema, location="query")
@bp.response(200, BotDominatedPageSchema)
@problems(bp, 401, 403, 503)
@access.operator
def list_bot_dominated(query: dict[str, Any]) -> Response:
    """Chats in which the AI has said more than people have, the newest chat first."""
    return _listed(analytics.bot_dominated, query, ("ai_messages", "aiMessages"), ("human_messages", "humanMessages"))


@bp.route("/stale-summaries")
@bp.doc(security=[{"operator": []}])
@bp.arguments(NumberedPageSchema, location="query")
@bp.response(200, StaleSummariesPageSchema)
@problems(bp, 401, 403, 503)
@access.operator
def list_stale_summaries(query: dict[str, Any]) -> Response:
    """Chats whose summary lacks more than 100 messages, or was thrown back, the newest chat first."""
    return _listed(
        analytics.stale_summaries,
        query,
        ("unseen", "unsummarized"),
        ("summarized_seq", "summarizedSeq"),
        ("last_seq", "lastSeq"),
        ("version", "version"),
        ("is_stale", "stale"),
        ("failures", "failures"),
        ("rests", "resting"),
    )


def _listed(look: Callable[..., Page], query: Mapping[str, Any], *numbers: tuple[str, str]) -> Response:
    cursor = query["cursor"]
    with Session.begin() as session:
        base.take_time(session, seconds=LOOK_SECONDS)
        page = look(session, limit=query["limit"], below=cursor and int(cursor))
    items = [
        {
            "chatId": chat["chat_id"],
            "chatNo": chat["chat_no"],
            "type": chat["type"],
            "lastMessageAt": wire_time(chat["last_message_at"]),
            **{name: chat[column] for column, name in numbers},
        }
        for chat in page.chats
    ]
    return json_response({"items": items, "nextCursor": str(page.end) if page.end else None})
