"""Searches: find what was said, in one's own chats."""

from __future__ import annotations

from typing import Any

from flask import Response

from api import access, limits
from api.auth import own_id
from api.chats import SIGNED_IN, known_chat
from api.cursors import cursor_of, numbered_position_of
from api.jobs import json_response
from api.message_schemas import FoundSchema, SearchQuerySchema
from api.messages import as_wire
from api.openapi import Noun, problems
from models import searches
from models.api_keys import Scope
from models.base import Session

bp = Noun("searches", __name__, url_prefix="/api/chats/search", description="Messages that hold some words.")


@bp.route("")
@bp.doc(security=SIGNED_IN)
@limits.by_owner("search")
@bp.arguments(SearchQuerySchema, location="query")
@bp.response(200, FoundSchema, headers=limits.HEADERS)
@problems(bp, 401, 403, 404, 429, 503)
@access.user(Scope.CHATS_READ)
def search_messages(query: dict[str, Any]) -> Response:
    """Messages in your chats that hold some words, the newest first."""
    before, where = numbered_position_of(query["cursor"]), query.get("chat_id")
    with Session.begin() as session:
        chat_id = known_chat(session, where) if where is not None else None
        options = {"words": query["q"], "chat_id": chat_id, "before": before, "limit": query["limit"]}
        found, end = searches.found(session, own_id(), **options)
    cursor = cursor_of(*end) if end else None
    return json_response({"items": [as_wire(message) for message in found], "nextCursor": cursor})
