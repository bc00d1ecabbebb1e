"""The chat page's first routes: save a whole conversation, show one, list the titles.

They are for clients that know these alone, and stand on what the others stand on. Every message is stored when it is
sent, so saving changes nothing but for a client that has sent nothing otherwise.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping
from typing import Any

from flask import Response, current_app

from api import access, limits
from api.auth import own_id, settings
from api.chats import SIGNED_IN, chat_reads
from api.jobs import json_response, wire_time
from api.openapi import Noun, problems
from api.seed_schemas import SavedChatSchema, SavedSchema, ShownChatSchema, ShownPageSchema, TitlesSchema
from models import base, messages, saved_chats
from models.api_keys import Scope
from models.base import Session, bare
from models.chats import ChatType
from models.errors import ChatNotFound
from models.live.chat_cache import ChatCache
from models.newest import Newest
from models.saved_chats import Conversation
from models.saved_items import ASSISTANT, USER

bp = Noun("seed", __name__, description="Chats as whole conversations, by three routes.")
NO_CHAT = -1
STORE_SECONDS = 10.0
"""For a long conversation that nobody has sent before."""


@bp.route("/chat/data", methods=["POST"], strict_slashes=False)
@limits.by_owner("send")
@bp.doc(security=SIGNED_IN)
@bp.arguments(SavedChatSchema())
@bp.response(200, SavedSchema, headers=limits.HEADERS)
@problems(bp, 400, 401, 403, 404, 408, 413, 415, 422, 429, 503)
@access.user(Scope.CHATS_WRITE)
def save_chat(said: dict[str, Any]) -> Response:
    """Store what is new of a conversation, in a new chat if need be. It calls nobody; what is missing from it stays."""
    title = (said["chat_title"] or "").strip() or None
    conversation = Conversation(named=said["chat_id"], title=title, items=said["messages"])
    user_id, ours = own_id(), settings()
    with Session.begin() as session:
        base.take_time(session, seconds=STORE_SECONDS)
        given: dict[str, Any] = {"user_id": user_id, "window": ours.chat_page_messages, "key": ours.token_key}
        saved = saved_chats.save(session, conversation, **given)
    _cache().opened(user_id, saved.chat_id)
    return json_response(
        {
            "chat_id": saved.chat_id,
            "chat_title": saved.title,
            "inserted": saved.inserted,
            "ignored": saved.ignored,
        }
    )


@bp.route("/chats/<string:chat_id>")
@bp.doc(security=SIGNED_IN)
@bp.arguments(ShownPageSchema, location="query")
@bp.response(200, ShownChatSchema)
@problems(bp, 401, 403, 404, 422, 503)
@access.user(Scope.CHATS_READ)
def show_chat(which: dict[str, Any], chat_id: str) -> Response:
    """A page of a chat, the newest by default."""
    user_id, limit = own_id(), settings().chat_page_messages
    known, newest = _newest(chat_id, user_id)
    counted_from, before = None, which.get("before")
    if (number := which.get("page", 1)) > 1:
        counted = _cache().counted_from(user_id, known) or newest.last_seq + 1
        before = max(1, counted - (number - 1) * limit)
    page = newest.page(limit=limit) if before is None else None
    if page is None:
        with bare() as session:
            page = messages.page(session, known, reader=user_id, before=before, limit=limit)
    elif before is None:
        counted_from = newest.last_seq + 1
    _cache().opened(user_id, known, counted_from=counted_from)
    lines = [_line(message) for message in page.messages if message["deleted_at"] is None]
    title = newest.title if newest.type != ChatType.ONE_TO_ONE else _others_name(known, user_id)
    return json_response({"chat_id": known, "chat_title": title, "messages": lines, "before": page.before})


def _newest(named: str, user_id: str) -> tuple[str, Newest]:
    """The id of the chat that is called so, and its newest messages.

    Raises:
        ChatNotFound: there is none, or it is somebody else's.
    """
    reads = chat_reads()
    with contextlib.suppress(ValueError):
        chat_id = str(uuid.UUID(named))
        if (kept := reads.kept(chat_id, reader=user_id)) is not None:
            return chat_id, kept
    with bare() as session:
        member = saved_chats.found(session, named, user_id=user_id)
    if member is None:
        raise ChatNotFound
    return member["chat_id"], reads.newest(member["chat_id"], reader=user_id)


def _others_name(chat_id: str, user_id: str) -> str | None:
    with bare() as session:
        return saved_chats.others_name(session, chat_id, user_id=user_id)


def _line(message: Mapping[Any, Any]) -> dict[str, Any]:
    role = ASSISTANT if message["is_ai"] else USER
    return {"role": role, "content": message["content"], "created_at": wire_time(message["created_at"])}


@bp.route("/chat/titles", strict_slashes=False)
@bp.doc(security=SIGNED_IN)
@bp.response(200, TitlesSchema)
@problems(bp, 401, 403, 503)
@access.user(Scope.CHATS_READ)
def list_titles() -> Response:
    """The titles of your chats, and which of them you had open last."""
    user_id = own_id()
    with bare() as session:
        found = saved_chats.listed(session, user_id=user_id)
    titles = [{"chat_id": chat["chat_id"], "chat_title": chat["title"]} for chat in found]
    active = _cache().active(user_id)
    is_there = any(title["chat_id"] == active for title in titles)  # or they have left it since
    return json_response({"active_chat_id": active if is_there else NO_CHAT, "titles": titles})


def _cache() -> ChatCache:
    found: ChatCache = current_app.extensions["parley"]["chat_cache"]
    return found
