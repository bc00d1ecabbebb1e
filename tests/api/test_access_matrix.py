"""Who may do what: every route, asked by everybody.

The table is written by hand: one that was made from the rules would agree with any
mistake in them. It must name every route there is, so whoever adds a route says
here who may use it.
"""

from __future__ import annotations

import dataclasses
import json
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from api.callers import GUEST_COOKIE
from models import owners, summary_steps
from models.api_keys import Scope
from models.base import Session
from models.states import JobStatus
from models.summary_answers import Summary
from models.summary_steps import Answered
from models.users import Role
from tests.api.accounts import PASSWORD
from tests.api.conftest import OPERATOR
from tests.factories import a_batch, a_chat, a_guest, a_job, a_key, a_user, bearer, fill, say, signed_in

CANARY = "what only its owner may see"

CALLERS = (
    "owner",  # the user whose thing it is
    "other",  # another user
    "guest",  # whose thing it is, with a cookie
    "stranger",  # another guest with a cookie
    "address",  # nobody in particular
    "key",  # the owner's, for this scope only
    "poor key",  # the owner's, for every other scope
    "meek key",  # an operator's, for every scope but that of operators
    "expired",  # the owner's access token, a minute too late
    "operator",
    "admin",
    "token",  # ADMIN_TOKEN
)
Expected = dict[str, int]
NOBODY = dict.fromkeys(("guest", "stranger", "address", "expired"), 401)
KEYS = dict.fromkeys(("key", "poor_key", "meek_key"), 403)


def expect(let_in: int, **others: int) -> Expected:
    """Everybody is let in but the others."""
    return dict.fromkeys(CALLERS, let_in) | {name.replace("_", " "): status for name, status in others.items()}


def public(status: int = 200) -> Expected:
    """Nobody is asked who he is."""
    return expect(status)


def anybody(status: int) -> Expected:
    """Guests too, within the scopes of a key."""
    return expect(status, poor_key=403, expired=401)


def identified(status: int) -> Expected:
    """Guests with a cookie too, but no address."""
    return anybody(status) | {"address": 401}


def the_user(status: int) -> Expected:
    """A user's thing: his, and operators'. To others it is not there."""
    foreign = dict.fromkeys(("other", "guest", "stranger", "address", "meek_key"), 404)
    return expect(status, **foreign, poor_key=403, expired=401)


def account(status: int) -> Expected:
    """Whoever signed in with an account: no key does, and ADMIN_TOKEN has none."""
    return expect(status, **NOBODY, **KEYS, token=403)


def its_account(status: int) -> Expected:
    """The account whose thing it is. To others it is not there, whatever their role."""
    return account(status) | dict.fromkeys(("other", "operator", "admin"), 404)


def members(status: int) -> Expected:
    """Whoever is in the chat, within the scopes of a key. To others it is not there, whatever their role."""
    strangers = dict.fromkeys(("other", "operator", "admin"), 404)
    return expect(status, **NOBODY, **strangers, poor_key=403, meek_key=404, token=403)


def users(status: int) -> Expected:
    """Whoever has an account, within the scopes of a key."""
    return expect(status, **NOBODY, poor_key=403, token=403)


def admins(status: int) -> Expected:
    """Nobody else."""
    return expect(status, **NOBODY, **KEYS, owner=403, other=403, operator=403)


def operators(status: int) -> Expected:
    """And admins."""
    return expect(status, **NOBODY, **KEYS, owner=403, other=403)


@dataclass(frozen=True)
class Route:
    """What a route answers to whom."""

    users: Expected
    """If it is about a user's thing; also where it is about none in particular."""
    guests: Expected | None = None
    """If it is about a guest's thing."""
    thing: Callable[[str], str] | None = None
    """Makes what it is about, given the owner; answers its id, and behind slashes whatever else the path names."""
    scope: Scope | None = None
    body: Mapping[str, Any] | None = None
    is_the_end: bool = False
    """Whoever was let in is nobody afterwards."""


def job(owner: str) -> str:
    """One that waits."""
    return a_job(owner=owner, message=CANARY)


def answered(owner: str) -> str:
    """One with a reply."""
    return a_job(owner=owner, message=CANARY, status=JobStatus.COMPLETED, result=CANARY)


def letter(owner: str) -> str:
    """One that was given up."""
    return a_job(owner=owner, message=CANARY, status=JobStatus.FAILED)


def batch(owner: str) -> str:
    """One of two prompts."""
    return a_batch(owner, CANARY, CANARY)


def key(owner: str) -> str:
    """An API key of a user."""
    key_id = str(uuid.uuid4())
    a_key(owner.removeprefix("user:"), id=key_id)
    return key_id


def chat(owner: str) -> str:
    """A group in which two messages were said."""
    user_id = owner.removeprefix("user:")
    chat_id = a_chat(user_id, a_user(), title=CANARY)
    say(chat_id, user_id, CANARY, CANARY)
    return chat_id


def summarized(owner: str) -> str:
    """One with a summary, and more to be taken into it."""
    chat_id, said = chat(owner), Summary(text=CANARY, decisions=(CANARY,))
    fill(chat_id, owner.removeprefix("user:"), up_to=200)
    with Session.begin() as session:
        for _ in range(2):
            step = summary_steps.read(session, chat_id)
            assert step is not None
            step = dataclasses.replace(step, covered=range(step.covered[0], step.covered[0] + 50))
            assert summary_steps.store(session, Answered(step=step, summary=said, model="some-model"))
    return chat_id


def message(owner: str) -> str:
    """The first of a chat."""
    return f"{chat(owner)}/1"


def member(owner: str) -> str:
    """Somebody else in a chat."""
    user_id, other_id = owner.removeprefix("user:"), a_user()
    return f"{a_chat(user_id, other_id, title=CANARY)}/{other_id}"


def in_chat(status: int, scope: Scope, thing: Callable[[str], str] = chat, **body: Any) -> Route:
    """Something in a chat."""
    return Route(members(status), thing=thing, scope=scope, body=body or None)


def about(thing: Callable[[str], str], scope: Scope) -> Route:
    """Somebody's job or batch: a guest's is open to all who know its id."""
    return Route(users=the_user(200), guests=anybody(200), thing=thing, scope=scope)


def about_letter() -> Route:
    """Whosever it is."""
    return Route(users=operators(200), guests=operators(200), thing=letter, scope=Scope.ADMIN)


READ, WRITE = Scope.JOBS_READ, Scope.JOBS_WRITE
CHATS, TALK = Scope.CHATS_READ, Scope.CHATS_WRITE
TABLE: dict[str, Route] = {
    "GET /": Route(public()),
    "GET /jobs": Route(public()),
    "GET /keys": Route(public()),
    "GET /dashboard": Route(public()),  # a page without a number
    "GET /dashboard/numbers": Route(operators(200), scope=Scope.ADMIN),
    "GET /favicon.ico": Route(public()),
    "GET /sw.js": Route(public()),
    "GET /static/{filename}": Route(public(), thing=lambda _: "favicon.svg"),
    "GET /metrics": Route(operators(200), scope=Scope.ADMIN),  # and METRICS_TOKEN: tests/api/test_metrics.py
    "GET /api/docs": Route(public()),
    "GET /api/openapi.json": Route(public()),
    "GET /api/config": Route(public()),
    "GET /api/ping": Route(public()),
    "GET /api/live": Route(users(200), scope=CHATS),
    "POST /api/chats/seen-all": Route(users(200), scope=Scope.CHATS_WRITE),
    "GET /health": Route(public()),
    "GET /health/live": Route(public()),
    "GET /health/ready": Route(public(503)),  # no worker has ever reported
    "POST /api/auth/guest": Route(public(204)),
    "POST /api/auth/register": Route(public(422), body={}),
    "POST /api/auth/login": Route(public(422), body={}),
    "POST /api/auth/refresh": Route(public(401)),  # by a cookie of its own
    "POST /api/auth/logout": Route(public(204)),
    "POST /api/auth/logout-all": Route(account(204), is_the_end=True),
    "GET /api/me": Route(anybody(200), scope=READ),
    "PATCH /api/me": Route(account(200), body={"displayName": "Another name"}),
    "DELETE /api/me": Route(account(204), body={"password": PASSWORD}, is_the_end=True),
    "GET /api/me/export": Route(account(200)),
    "GET /api/me/usage": Route(identified(200), scope=READ),
    "GET /api/me/keys": Route(account(200)),
    "POST /api/me/keys": Route(account(201), body={"name": "script", "scopes": ["jobs:read"]}),
    "DELETE /api/me/keys/{key_id}": Route(its_account(204), thing=key),
    "GET /api/users": Route(admins(200), scope=Scope.ADMIN),
    "PATCH /api/users/{user_id}": Route(
        admins(200), thing=lambda _: a_user(), scope=Scope.ADMIN, body={"role": "operator"}
    ),
    "POST /api/users/{user_id}/logout-all": Route(admins(204), thing=lambda _: a_user(), scope=Scope.ADMIN),
    "POST /api/invitations": Route(admins(201), scope=Scope.ADMIN),
    "POST /api/jobs": Route(anybody(201), scope=WRITE, body={"message": "Hello"}),
    "GET /api/jobs": Route(identified(200), scope=READ),
    "GET /api/jobs/{job_id}": about(answered, READ),
    "GET /api/jobs/{job_id}/events": about(answered, READ),
    "DELETE /api/jobs/{job_id}": about(job, WRITE),
    "POST /api/jobs/{job_id}/cancel": about(job, WRITE),
    "POST /api/batches": Route(anybody(201), scope=WRITE, body={"prompts": ["Hello"]}),
    "GET /api/batches/{batch_id}": about(batch, READ),
    "GET /api/batches/{batch_id}/results": about(batch, READ),
    "DELETE /api/batches/{batch_id}": about(batch, WRITE),
    "POST /api/batches/{batch_id}/cancel": about(batch, WRITE),
    "POST /api/batches/{batch_id}/retry-failed": about(batch, WRITE),
    "POST /api/chats": Route(users(201), scope=TALK, body={"type": "ai"}),
    "GET /api/chats": Route(users(200), scope=CHATS),
    "GET /api/chats/recent": Route(users(200), scope=CHATS),
    "GET /api/chats/unread": Route(users(200), scope=CHATS),
    "GET /api/chats/search": Route(users(200), scope=CHATS),
    "GET /api/chats/{chat_id}": in_chat(200, CHATS),
    "PATCH /api/chats/{chat_id}": in_chat(200, TALK, title="Another title"),
    "PUT /api/chats/{chat_id}/mute": in_chat(200, TALK, muted=True),
    "POST /api/chats/{chat_id}/leave": in_chat(204, TALK),
    "GET /api/chats/{chat_id}/members": in_chat(200, CHATS),
    "POST /api/chats/{chat_id}/members": in_chat(422, TALK, members=["nobody-knows"]),
    "PATCH /api/chats/{chat_id}/members/{user_id}": in_chat(200, TALK, member, role="admin"),
    "DELETE /api/chats/{chat_id}/members/{user_id}": in_chat(204, TALK, member),
    "GET /api/chats/{chat_id}/messages": in_chat(200, CHATS),
    "POST /api/chats/{chat_id}/messages": in_chat(201, TALK, content="Hello", clientMsgId="1"),
    "PATCH /api/chats/{chat_id}/messages/{seq}": in_chat(200, TALK, message, content="Hello"),
    "DELETE /api/chats/{chat_id}/messages/{seq}": in_chat(200, TALK, message),
    "POST /api/chats/{chat_id}/messages/{seq}/regenerate": in_chat(409, TALK, message),  # it is not the AI's
    "POST /api/chats/{chat_id}/title:regenerate": in_chat(201, TALK),
    "POST /api/chats/{chat_id}/stop": in_chat(200, TALK),
    "POST /api/chats/{chat_id}/seen": in_chat(200, TALK, seq=1),
    "GET /api/chats/{chat_id}/changes": in_chat(200, CHATS),
    "GET /api/chats/{chat_id}/summary": in_chat(200, CHATS, summarized),
    "POST /api/chats/{chat_id}/summarize": in_chat(202, TALK, summarized),
    "GET /api/chats/{chat_id}/summary/history": in_chat(200, CHATS, summarized),
    "POST /api/chats/{chat_id}/summary/reset": in_chat(200, TALK, summarized),
    "GET /api/analytics/bot-dominated": Route(operators(200), scope=Scope.ADMIN),
    "GET /api/analytics/stale-summaries": Route(operators(200), scope=Scope.ADMIN),
    "GET /api/dashboard": Route(operators(200), scope=Scope.ADMIN),
    "GET /api/dashboard/history": Route(operators(200), scope=Scope.ADMIN),
    "GET /api/dashboard/jobs": Route(operators(200), scope=Scope.ADMIN),
    "GET /api/dashboard/jobs/{job_id}": Route(
        users=operators(200), guests=operators(200), thing=answered, scope=Scope.ADMIN
    ),
    "GET /api/dashboard/batches": Route(operators(200), scope=Scope.ADMIN),
    "GET /api/dashboard/processes": Route(operators(200), scope=Scope.ADMIN),
    "GET /api/cost": Route(operators(200), scope=Scope.ADMIN),
    "GET /api/cost/report.csv": Route(operators(200), scope=Scope.ADMIN),
    "POST /chat/data": Route(users(200), scope=TALK, body={"messages": ["Hello"]}),
    "GET /chats/{chat_id}": in_chat(200, CHATS),
    "GET /chat/titles": Route(users(200), scope=CHATS),
    "GET /api/dead-letters": Route(operators(200), scope=Scope.ADMIN),
    "GET /api/dead-letters/{job_id}": about_letter(),
    "POST /api/dead-letters/{job_id}/redrive": about_letter(),
    "POST /api/dead-letters/{job_id}/discard": about_letter(),
    "POST /api/dead-letters/redrive": Route(operators(200), scope=Scope.ADMIN, body={}),
    "POST /api/dead-letters/discard": Route(operators(200), scope=Scope.ADMIN, body={}),
    "GET /api/invariants": Route(operators(200), scope=Scope.ADMIN),
    "GET /api/audit": Route(operators(200), scope=Scope.ADMIN),
}


# What a route cannot do without.
QUERIES = {"/api/chats/search": "?q=hello", "/api/chats/{chat_id}/changes": "?since=0"}


def test_the_table_names_every_route(app: Flask) -> None:
    """A route that nobody has thought about is the one that leaks."""
    served = {
        f"{method} {path_of(rule.rule)}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }

    assert served == set(TABLE)


def path_of(rule: str) -> str:
    """``/api/jobs/{job_id}`` of ``/api/jobs/<string:job_id>``."""
    return "/".join("{" + part.strip("<>").partition(":")[2] + "}" if "<" in part else part for part in rule.split("/"))


class People:
    """Everybody, and what each sends along."""

    def __init__(self, app: Flask, scope: Scope | None) -> None:
        self._app = app
        hashed = app.extensions["parley"]["hashing"].hashed(PASSWORD)
        roles = (Role.USER, Role.USER, Role.OPERATOR, Role.ADMIN)
        owner, other, operator, admin = (a_user(role=role, password_hash=hashed) for role in roles)
        cookie, guest = a_guest()
        self._cookies = {"guest": cookie, "stranger": a_guest()[0]}
        self.words = {"user": owners.of_user(owner), "guest": guest}
        self._headers = {
            "owner": signed_in(owner),
            "other": signed_in(other),
            "key": bearer(a_key(owner, *([scope] if scope else []))),
            "poor key": bearer(a_key(owner, *(set(Scope) - {scope}))),
            "meek key": bearer(a_key(operator, *(set(Scope) - {Scope.ADMIN}))),
            "expired": signed_in(owner, seconds=-60),
            "operator": signed_in(operator),
            "admin": signed_in(admin),
            "token": bearer(OPERATOR),
        }

    def ask(self, name: str, route: str, thing: str, body: Mapping[str, Any] | None) -> TestResponse:
        """As this caller does."""
        method, _, path = route.partition(" ")
        parts = iter(thing.split("/"))
        path = re.sub(r"\{\w+\}", lambda _: next(parts), path) + QUERIES.get(path, "")
        return self._client(name).open(path, method=method, json=body, headers=self._headers.get(name, {}))

    def _client(self, name: str) -> FlaskClient:
        client = self._app.test_client()
        if name in self._cookies:
            client.set_cookie(GUEST_COOKIE, self._cookies[name], path="/api")
        return client


STORED = text("""
    SELECT jobs::text FROM jobs UNION ALL SELECT batches::text FROM batches
    UNION ALL SELECT users::text FROM users UNION ALL SELECT sessions::text FROM sessions
    UNION ALL SELECT id || COALESCE(revoked_at::text, '') FROM api_keys
    UNION ALL SELECT chats::text FROM chats UNION ALL SELECT messages::text FROM messages
    UNION ALL SELECT chat_members::text FROM chat_members
    UNION ALL SELECT ai_cache_contexts::text FROM ai_cache_contexts ORDER BY 1
""")
CASES = [
    pytest.param(name, owner, expected, id=f"{name} of a {owner}" if route.guests else name)
    for name, route in TABLE.items()
    for owner, expected in (("user", route.users), ("guest", route.guests))
    if expected is not None
]


@pytest.mark.parametrize(("name", "owner", "expected"), CASES)
def test_each_caller_gets_what_the_table_says(app: Flask, name: str, owner: str, expected: Expected) -> None:
    """And who is not let in changes nothing, and sees nothing."""
    route, people = TABLE[name], People(app, TABLE[name].scope)
    answered_with: Expected = {}
    thing = ""
    for caller in CALLERS:
        people = People(app, route.scope) if route.is_the_end else people
        if route.thing and (not thing or not name.startswith("GET ")):  # another, where the one before may be changed
            thing = route.thing(people.words[owner])
        before = stored()
        with people.ask(caller, name, thing, route.body) as response:
            answered_with[caller] = response.status_code
            said = response.get_data(as_text=True)
        if response.status_code in (401, 403, 404):
            assert stored() == before, caller
            assert CANARY not in said, caller

    assert answered_with == expected


@pytest.mark.parametrize("name", [name for name, route in TABLE.items() if 404 in route.users.values()])
def test_what_is_anothers_looks_like_what_is_not_there(app: Flask, name: str) -> None:
    """To the letter, headers included: nobody may learn that an id is somebody's."""
    route, people = TABLE[name], People(app, TABLE[name].scope)
    assert route.thing is not None

    for caller in (caller for caller, status in route.users.items() if status == 404):
        _, *rest = (thing := route.thing(people.words["user"])).split("/")
        foreign = people.ask(caller, name, thing, route.body)
        missing = people.ask(caller, name, "/".join([str(uuid.uuid4()), *rest]), route.body)
        assert as_seen(foreign) == as_seen(missing), caller


def as_seen(response: TestResponse) -> tuple[int, dict[str, str], dict[str, Any]]:
    """All but the request's own id."""
    body = json.loads(response.get_data())
    headers = dict(response.headers)
    assert body.pop("requestId") == headers.pop("X-Request-Id")
    headers.pop("RateLimit", None)  # counts down, whoever's it is
    return response.status_code, headers, body


def stored() -> list[str]:
    """Everything that is somebody's, as it stands."""
    with Session() as session:
        return list(session.scalars(STORED))
