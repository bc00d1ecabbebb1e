"""Chats: make them, list them, and say what is to hold in them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from flask import Response, current_app
from sqlalchemy.orm import Session as OrmSession

from api import access, limits
from api.auth import own_id, settings
from api.chat_schemas import (
    ChangeSchema,
    ChatSchema,
    ChatsPageSchema,
    ChatsQuerySchema,
    NewChatSchema,
    RecentChatsSchema,
    RecentQuerySchema,
    UnreadSchema,
)
from api.cursors import cursor_of, position_of
from api.jobs import HEADER, json_response, known_form, wire_time
from api.openapi import Noun, problems
from models import chats, logs, moderation, own_chats, users
from models.api_keys import Scope
from models.base import Bare, Session, bare
from models.chats import MOST_MEMBERS, ROOM_HASH, ChatType
from models.errors import ChatNotFound, TooManyMembers
from models.live.chat_reads import ChatReads
from models.own_chats import MOST_UNREAD

bp = Noun("chats", __name__, url_prefix="/api/chats", description="Rooms of people and the AI.")
log = logs.logger()

SIGNED_IN: list[dict[str, list[str]]] = [{"bearer": []}]
"""For the document: guests have no chats, nor has the operator of ``ADMIN_TOKEN``."""


@bp.route("", methods=["POST"])
@bp.doc(security=SIGNED_IN)
@limits.by_owner("send")
@bp.arguments(NewChatSchema())
@bp.response(201, ChatSchema, headers={"Location": HEADER, **limits.HEADERS})
@bp.alt_response(200, schema=ChatSchema, description="The one that the two of you have already", headers=limits.HEADERS)
@problems(bp, 400, 401, 403, 413, 415, 429, 503)
@access.user(Scope.CHATS_WRITE)
def create_chat(said: dict[str, Any]) -> Response:
    """Make a chat with the AI, with somebody else, or of a group. Two people have one chat, whoever asks for it."""
    user_id = own_id()
    with Session.begin() as session:
        chat_id, is_new = _created(session, user_id, said)
    if is_new:
        log.info("chat_created", chat_id=chat_id, type=said["type"].value)
    response = _shown(chat_id, status=201 if is_new else 200)
    response.headers["Location"] = f"/api/chats/{chat_id}"
    return response


def _created(session: OrmSession, user_id: str, said: dict[str, Any]) -> tuple[str, bool]:
    chat_type, names = said["type"], said["members"]
    facts = {name: value for name, value in said.items() if name not in ("type", "members")}
    facts |= {"user_id": user_id, "key": settings().token_key}
    if chat_type is ChatType.AI:
        return chats.create_ai(session, **facts), True
    people = named(session, names)
    if chat_type is ChatType.ONE_TO_ONE:
        return chats.create_pair(session, other_id=people[0], **facts)
    return chats.create_group(session, member_ids=people, **facts), True


def named(session: OrmSession, names: Collection[str]) -> Sequence[str]:
    """Ids of the people that a request names.

    Raises:
        TooManyMembers: nobody looks for so many.
        UnknownMember: there is nobody of one of the names.
    """
    if len(names) > MOST_MEMBERS:
        raise TooManyMembers(MOST_MEMBERS)
    return users.named(session, names)


@bp.route("")
@bp.doc(security=SIGNED_IN)
@bp.arguments(ChatsQuerySchema, location="query")
@bp.response(200, ChatsPageSchema)
@problems(bp, 401, 403, 503)
@access.user(Scope.CHATS_READ)
def list_chats(query: dict[str, Any]) -> Response:
    """Your chats, the one with the newest message first."""
    before = position_of(query["cursor"])
    with bare() as session:
        found, end = own_chats.page(session, own_id(), limit=query["limit"], before=before)
    return json_response({"items": [as_wire(chat) for chat in found], "nextCursor": cursor_of(*end) if end else None})


@bp.route("/recent")
@bp.doc(security=SIGNED_IN)
@bp.arguments(RecentQuerySchema, location="query")
@bp.response(200, RecentChatsSchema)
@problems(bp, 401, 403, 503)
@access.user(Scope.CHATS_READ)
def list_recent_chats(query: dict[str, Any]) -> Response:
    """The few chats in which something was said last."""
    with bare() as session:
        found, _ = own_chats.page(session, own_id(), limit=query["limit"])
    return json_response({"items": [as_wire(chat) for chat in found]})


@bp.route("/unread")
@bp.doc(security=SIGNED_IN)
@bp.response(200, UnreadSchema)
@problems(bp, 401, 403, 503)
@access.user(Scope.CHATS_READ)
def list_unread() -> Response:
    """How much is unread, in all your chats at once."""
    unread = chat_reads().unread(own_id())
    items = [{"chatId": c["chat_id"], **unread_of(c), "muted": c["muted"]} for c in unread.chats]
    return json_response({"items": items, "limited": unread.limited})


@bp.route("/<string:chat_id>")
@bp.doc(security=SIGNED_IN)
@bp.response(200, ChatSchema)
@problems(bp, 401, 403, 404, 503)
@access.user(Scope.CHATS_READ)
def show_chat(chat_id: str) -> Response:
    """A chat, as you stand in it."""
    return _shown(chat_id)


@bp.route("/<string:chat_id>", methods=["PATCH"])
@bp.doc(security=SIGNED_IN)
@bp.arguments(ChangeSchema())
@bp.response(200, ChatSchema)
@problems(bp, 400, 401, 403, 404, 409, 413, 415, 503)
@access.user(Scope.CHATS_WRITE)
def change_chat(said: dict[str, Any], chat_id: str) -> Response:
    """Rename a chat, or say when the AI answers and what newcomers see."""
    with Session.begin() as session:
        moderation.change(session, known_chat(session, chat_id), user_id=own_id(), **said)
    return _shown(chat_id)


def known_chat(session: OrmSession | Bare, named: str) -> str:
    """The id of a chat, by which its members may be asked for; it may be named by its room hash.

    Raises:
        ChatNotFound: nothing can have such a name, or nothing has.
    """
    if ROOM_HASH.fullmatch(named):
        return chats.id_of(session, named)
    return known_form(named, refusal=ChatNotFound)


def chat_reads() -> ChatReads:
    """Those of this process."""
    found: ChatReads = current_app.extensions["parley"]["chat_reads"]
    return found


def _shown(chat_id: str, *, status: int = 200) -> Response:
    with bare() as session:
        chat = own_chats.one(session, known_chat(session, chat_id), reader=own_id())
    return json_response(as_wire(chat), status=status)


def unread_of(chat: Mapping[Any, Any]) -> dict[str, Any]:
    """The number to be shown, and whether with a plus."""
    return {"unread": min(chat["unread"], MOST_UNREAD), "unreadCapped": chat["unread"] > MOST_UNREAD}


def as_wire(chat: Mapping[Any, Any]) -> dict[str, Any]:
    """The body of `ChatSchema`."""
    other = {"userId": chat["other_id"], "displayName": chat["other_name"]} if chat["other_id"] else None
    return {
        "chatId": chat["chat_id"],
        "roomHash": chat["room_hash"],
        "type": chat["type"],
        "title": chat["title"],
        "titleSource": chat["title_source"],
        "other": other,
        "aiMode": chat["ai_mode"],
        "aiCallers": chat["ai_callers"],
        "hidesHistory": chat["hides_history"],
        "reusesAnswers": chat["reuses_answers"],
        "role": chat["role"],
        "muted": chat["muted"],
        "lastSeq": chat["last_seq"],
        "lastChangeSeq": chat["last_change_seq"],
        "lastReadSeq": chat["last_read_seq"],
        **unread_of(chat),
        "lastMessageAt": wire_time(chat["last_message_at"]),
        "lastMessagePreview": chat["last_message_preview"],
        "createdAt": wire_time(chat["created_at"]),
    }
