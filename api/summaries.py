"""Summaries: what was said in a chat so far, in few words; read it, have it moved on, begin it anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Response, current_app

from api import access, limits, trail
from api.auth import own_id
from api.callers import caller
from api.chats import SIGNED_IN, known_chat
from api.jobs import HEADER, json_response, wire_time
from api.openapi import Noun, problems
from api.queue import Queue
from api.schemas import NumberedPageSchema
from api.summary_schemas import HistorySchema, SummaryAskedSchema, SummarySchema
from models import logs, members, replies, summaries, summary_answers, summary_jobs
from models.api_keys import Scope
from models.base import Session, bare

bp = Noun("summaries", __name__, url_prefix="/api/chats", description="What was said in a chat, in few words.")
log = logs.logger()


@bp.route("/<string:chat_id>/summary")
@bp.doc(security=SIGNED_IN)
@bp.response(200, SummarySchema)
@problems(bp, 401, 403, 404, 503)
@access.user(Scope.CHATS_READ)
def show_summary(chat_id: str) -> Response:
    """The summary of a chat, and up to where it goes."""
    with bare() as session:
        known = known_chat(session, chat_id)
        return json_response(_as_wire(known, summaries.shown(session, known, reader=own_id())))


@bp.route("/<string:chat_id>/summarize", methods=["POST"])
@bp.doc(security=SIGNED_IN)
@limits.by_owner("create")
@bp.response(202, SummaryAskedSchema, headers={"Location": HEADER, **limits.HEADERS})
@bp.alt_response(200, schema=SummaryAskedSchema, description="Nothing to do", headers=limits.HEADERS)
@problems(bp, 401, 402, 403, 404, 409, 429, 503)
@access.user(Scope.CHATS_WRITE)
def summarize_chat(chat_id: str) -> Response:
    """Have all but the newest 20 messages taken into the summary. `version` grows with each step."""
    queue: Queue = current_app.extensions["parley"]["queue"]
    queue.admit(caller().owner)
    with Session.begin() as session:
        known = known_chat(session, chat_id)
        replies.check_may_call(members.member_of(session, known, user_id=own_id()))
        job_id = summary_jobs.request(session, known, asked_by=own_id())
        state = summaries.current(session, known)
    body = {"jobId": job_id, "unsummarized": state["last_seq"] - state["summarized_seq"]}
    if job_id is None:
        return json_response(body)
    current_app.extensions["parley"]["waker"].wake()
    log.info("summary_asked", chat_id=known, job_id=job_id)
    response = json_response(body, status=202)
    response.headers["Location"] = f"/api/jobs/{job_id}"
    return response


@bp.route("/<string:chat_id>/summary/history")
@bp.doc(security=SIGNED_IN)
@bp.arguments(NumberedPageSchema, location="query")
@bp.response(200, HistorySchema)
@problems(bp, 401, 403, 404, 503)
@access.user(Scope.CHATS_READ)
def list_past_summaries(query: dict[str, Any], chat_id: str) -> Response:
    """Summaries that later ones have replaced, the newest first."""
    limit, cursor = query["limit"], query["cursor"]
    with bare() as session:
        known = known_chat(session, chat_id)
        below = cursor and int(cursor)
        found = summaries.history(session, known, reader=own_id(), limit=limit + 1, below=below)
    shown, more = found[:limit], len(found) > limit
    items = [
        {
            "version": past["version"],
            **_said(past),
            "toSeq": past["summarized_seq"],
            "model": past["model"],
            "madeAt": wire_time(past["made_at"]),
        }
        for past in shown
    ]
    return json_response({"items": items, "nextCursor": str(shown[-1]["version"]) if more else None})


@bp.route("/<string:chat_id>/summary/reset", methods=["POST"])
@bp.doc(security=SIGNED_IN)
@bp.response(200, SummarySchema)
@problems(bp, 401, 403, 404, 503)
@access.user(Scope.CHATS_WRITE)
def reset_summary(chat_id: str) -> Response:
    """Forget the summary, whatever has got into it, and begin anew from the first message. In a group: for admins."""
    with Session.begin() as session:
        known = known_chat(session, chat_id)
        summaries.reset(session, known, user_id=own_id())
        trail.note("summary_reset", subject=f"chat:{known}", session=session)
        state = summaries.shown(session, known, reader=own_id())
    return json_response(_as_wire(known, state))


def _said(row: Mapping[Any, Any]) -> dict[str, Any]:
    details = summary_answers.stored("", row["details"]).details
    return {
        "summary": row["rolling_summary_text"],
        "details": {
            "decisions": details["decisions"],
            "openQuestions": details["open_questions"],
            "factsByUser": details["facts_by_user"],
        },
    }


def _as_wire(chat_id: str, state: Mapping[Any, Any]) -> dict[str, Any]:
    """The body of `SummarySchema`."""
    newest = state["summarized_seq"]
    return {
        "chatId": chat_id,
        **_said(state),
        "fromSeq": 1 if newest else None,
        "toSeq": newest or None,
        "lastSeq": state["last_seq"],
        "version": state["version"],
        "stale": state["is_stale"],
        "resting": state["rests"],
        "withheld": state["is_withheld"],
        "model": state["model"],
        "updatedAt": wire_time(state["updated_at"]) if state["updated_at"] else None,
    }
