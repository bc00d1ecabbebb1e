"""One's own account: seen, changed, exported, ended."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeout

from models import erasures, exports, invariants
from models.base import Session
from models.settings import Settings
from models.states import FINISHED, JobStatus
from models.users import AI_ID
from tests.api.accounts import PASSWORD, Headers, Person, bearer, notes, refresh_cookie
from tests.api.conftest import OPERATOR
from tests.factories import a_chat, a_job, an_ai_chat, say, the_job

_OF_CHATS = ("chats", "messages", "replies")
ANOTHER = "purple monkey dishwasher lamp"


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """Where anybody may register, with an operator."""
    return make_app(registration="open", admin_token=OPERATOR, phone_key="k" * 32)


def sql(statement: str, **given: object) -> list[object]:
    with Session.begin() as session:
        result = session.execute(text(statement), given)
        return list(result.scalars()) if result.returns_rows else []  # type: ignore[attr-defined]


def test_everybody_can_see_who_they_are(app: Flask, operator: Headers) -> None:
    """Also a guest and the operator of ADMIN_TOKEN, who have no account."""
    anna, client = Person(app), app.test_client()

    guest, first = client.get("/api/me").get_json(), client.get("/api/me", headers=operator).get_json()

    assert client.get("/api/me", headers=anna.headers).get_json() == anna.session["user"]
    nobody = {"userId": None, "username": None, "createdAt": None}
    assert guest == {**nobody, "displayName": "Guest", "role": "guest"}
    assert first == {**nobody, "displayName": "Operator", "role": "admin"}


def test_where_there_are_no_guests_nobody_is_one(make_app: Callable[..., Flask]) -> None:
    """The page then asks for a sign-in."""
    refused = make_app(allow_guests=False).test_client().get("/api/me")

    assert (refused.status_code, refused.get_json()["code"]) == (401, "no_token")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "/api/me", {"displayName": "A"}),
        ("DELETE", "/api/me", {"password": "x"}),
        ("GET", "/api/me/export", None),
        ("GET", "/api/me/keys", None),
        ("POST", "/api/me/keys", {"name": "A", "scopes": ["jobs:read"]}),
        ("DELETE", "/api/me/keys/46bedf00-6eee-4cd8-a948-ccd3065cdc9a", None),
        ("POST", "/api/auth/logout-all", None),
    ],
)
def test_an_account_is_its_owners_alone(
    app: Flask, operator: Headers, method: str, path: str, body: dict[str, object] | None
) -> None:
    """Not a guest's, not one of an API key's, and the operator of ADMIN_TOKEN has none."""
    anna, client = Person(app).has("admin"), app.test_client()
    key = client.post(
        "/api/me/keys", json={"name": "all", "scopes": ["jobs:read", "jobs:write", "admin"]}, headers=anna.headers
    ).get_json()["key"]

    refused = {
        client.open(path, method=method, json=body, headers=headers).get_json()["code"]
        for headers in ({}, operator, bearer(key))
    }

    assert refused == {"no_token", "no_account", "scope_missing"}


def test_names_and_number_change_and_what_is_left_out_stays(app: Flask) -> None:
    """Null forgets the number."""
    anna = Person(app)

    def change(**said: object) -> list[object]:
        response = anna.browser.patch("/api/me", json=said, headers=anna.headers)
        assert response.status_code == 200
        return [response.get_json()["displayName"], sql("SELECT phone_hash IS NOT NULL FROM users WHERE NOT is_ai")[0]]

    assert change() == ["anna", False]
    assert change(displayName=" Anna B. ") == ["Anna B.", False]
    assert change(phoneNumber="+4930123456") == ["Anna B.", True]
    assert change(displayName="A") == ["A", True]
    assert change(phoneNumber=None) == ["A", False]


def test_a_new_password_ends_the_other_sessions_and_is_on_record(app: Flask) -> None:
    """Whoever has got in with the old one is out, at once; this session goes on."""
    anna = Person(app)
    elsewhere = anna.headers
    anna.log_in()
    assert anna.browser.get("/api/me", headers=elsewhere).status_code == 200

    changed = anna.browser.patch(
        "/api/me", json={"password": ANOTHER, "currentPassword": PASSWORD}, headers=anna.headers
    )

    assert changed.status_code == 200
    assert anna.browser.get("/api/me", headers=elsewhere).status_code == 401
    assert anna.browser.get("/api/me", headers=anna.headers).status_code == 200
    assert anna.browser.post("/api/auth/refresh").status_code == 200
    for password, status in ((PASSWORD, 401), (ANOTHER, 200)):
        said = {"username": "anna", "password": password}
        assert app.test_client().post("/api/auth/login", json=said).status_code == status
    assert notes("password_changed") == [(anna.owner, None)]


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        ({"password": ANOTHER}, 422, "validation_failed"),
        ({"password": ANOTHER, "currentPassword": "wrong"}, 403, "wrong_password"),
        ({"password": "password123", "currentPassword": PASSWORD}, 422, "weak_password"),
        ({"password": "short", "currentPassword": PASSWORD}, 422, "validation_failed"),
        ({"displayName": None}, 422, "validation_failed"),
        ({"username": "bert"}, 422, "validation_failed"),
        ({"role": "admin"}, 422, "validation_failed"),
    ],
)
def test_what_may_not_be_changed_so_stays_as_it_is(app: Flask, said: dict[str, object], status: int, code: str) -> None:
    """All of it: a display name that came along does not change either."""
    anna = Person(app)
    before = sql("SELECT row_to_json(users)::text FROM users WHERE NOT is_ai")

    refused = anna.browser.patch("/api/me", json={"displayName": "Other", **said}, headers=anna.headers)

    assert (refused.status_code, refused.get_json()["code"]) == (status, code)
    assert sql("SELECT row_to_json(users)::text FROM users WHERE NOT is_ai") == before


def test_an_ended_account_leaves_nothing_of_the_person(app: Flask) -> None:
    """Names, hashes, sessions, keys, jobs, batches; what runs is cancelled first. Ids in log and tombstones stay."""
    anna, bert = Person(app), Person(app, "bert")
    anna.browser.patch("/api/me", json={"phoneNumber": "+4930123456"}, headers=anna.headers)
    anna.browser.post("/api/me/keys", json={"name": "k", "scopes": ["jobs:read"]}, headers=anna.headers)
    theirs = [a_job(owner=anna.owner, status=status) for status in JobStatus]
    batch = {"prompts": ["a", "b"]}
    for person in (anna, bert):
        person.browser.post("/api/batches", json=batch, headers={**person.headers, "Idempotency-Key": "k"})
    berts = a_job(owner=bert.owner)

    response = anna.browser.delete("/api/me", json={"password": PASSWORD}, headers=anna.headers)

    assert response.status_code == 204
    assert refresh_cookie(anna.browser) is None
    assert sql("SELECT display_name FROM users WHERE username IS NULL") == ["Deleted user"]
    assert sql("SELECT count(*) FROM users WHERE username IS NULL AND (password_hash, phone_hash) IS NULL") == [1]
    for table in ("sessions", "api_keys"):
        assert sql(f"SELECT DISTINCT user_id::text FROM {table}") in ([], [bert.id])
    for table, owner in (("jobs", "owner"), ("batches", "owner"), ("idempotency_keys", "scope")):
        assert sql(f"SELECT DISTINCT {owner} FROM {table}") == [bert.owner]
    assert set(theirs) <= set(sql("SELECT job_id::text FROM tombstones WHERE owner = :owner", owner=anna.owner))
    assert the_job(berts).status is JobStatus.CREATED
    assert notes("user_deleted") == [(anna.owner, None)]
    assert broken_invariants() == []


def test_after_the_end_nothing_of_it_lets_anybody_in(app: Flask) -> None:
    """Neither token, key, cookie nor password, at once; and the name is free for whoever comes."""
    anna = Person(app)
    key = anna.browser.post("/api/me/keys", json={"name": "k", "scopes": ["jobs:read"]}, headers=anna.headers)
    ways = [anna.headers, bearer(key.get_json()["key"])]
    token = refresh_cookie(anna.browser)
    assert token
    assert [anna.browser.get("/api/me", headers=headers).status_code for headers in ways] == [200, 200]

    anna.browser.delete("/api/me", json={"password": PASSWORD}, headers=anna.headers)

    assert [anna.browser.get("/api/me", headers=headers).status_code for headers in ways] == [401, 401]
    anna.browser.set_cookie("parley_refresh", token, path="/api/auth")
    assert anna.browser.post("/api/auth/refresh").status_code == 401
    said = {"username": "anna", "password": PASSWORD}
    assert anna.browser.post("/api/auth/login", json=said).status_code == 401
    assert Person(app).id != anna.id


def test_an_account_is_not_ended_without_its_password(app: Flask) -> None:
    """Whoever finds a screen unlocked cannot."""
    anna = Person(app)

    refused = anna.browser.delete("/api/me", json={"password": "wrong wrong"}, headers=anna.headers)

    assert (refused.status_code, refused.get_json()["code"]) == (403, "wrong_password")
    assert anna.browser.get("/api/me", headers=anna.headers).status_code == 200
    assert notes("password_refused") == [(anna.owner, None)]


def test_what_does_not_fit_one_transaction_is_swept(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Piece by piece, until nothing is left; also what came after."""
    monkeypatch.setattr(erasures, "PIECE", 3)
    anna = Person(app)
    anna.browser.post("/api/batches", json={"prompts": ["a"] * 10}, headers=anna.headers)
    anna.browser.delete("/api/me", json={"password": PASSWORD}, headers=anna.headers)
    assert sql("SELECT count(*) FROM jobs") == [7]
    assert broken_invariants() == []
    a_job(owner=anna.owner)

    sweeps = 0
    while swept():
        sweeps += 1

    assert sweeps > 0
    assert sql("SELECT count(*) FROM jobs") == [0]
    assert sql("SELECT count(*) FROM batches") == [0]
    assert sql("SELECT count(*) FROM tombstones") == [11]
    assert sql("SELECT erased FROM users WHERE NOT is_ai") == [False]


def broken_invariants() -> list[str]:
    with Session.begin() as session:
        return [one.name for one in invariants.check(session) if not one.holds]


def swept() -> bool:
    with Session.begin() as session:
        return erasures.sweep(session, most=3)


def test_a_deleted_user_is_looked_at_until_no_request_of_before_can_still_store_anything(app: Flask) -> None:
    """A token may live on for seconds in another process, and an upload takes a minute."""
    anna = Person(app)
    anna.browser.delete("/api/me", json={"password": PASSWORD}, headers=anna.headers)
    swept()
    a_job(owner=anna.owner)
    sql("UPDATE users SET deleted_at = deleted_at - interval '11 minutes' WHERE NOT is_ai")

    while swept():
        pass

    assert sql("SELECT count(*) FROM jobs") == [0]
    assert sql("SELECT erased FROM users WHERE NOT is_ai") == [True]


def test_an_export_has_all_that_is_stored_of_the_person(app: Flask) -> None:
    """Profile, sessions, keys, batches, jobs with messages and results, and what is on record; nobody else's."""
    anna, bert = Person(app), Person(app, "bert")
    anna.browser.post("/api/me/keys", json={"name": "mine", "scopes": ["jobs:read"]}, headers=anna.headers)
    ids = {a_job(owner=anna.owner, status=status, message=f"It is {status}") for status in JobStatus}
    a_job(owner=bert.owner, message="Bert's")
    anna.browser.post("/api/batches", json={"prompts": ["a"]}, headers={**anna.headers, "Idempotency-Key": "one"})

    response = anna.browser.get("/api/me/export", headers=anna.headers)

    export = response.get_json()
    assert response.headers["Content-Disposition"] == 'attachment; filename="parley-export.json"'
    assert list(export) == ["profile", "sessions", "keys", "batches", "jobs", *_OF_CHATS, "actions"]
    assert (export["profile"]["userId"], export["profile"]["username"]) == (anna.id, "anna")
    assert [key["name"] for key in export["keys"]] == ["mine"]
    assert [(batch["total"], batch["idempotencyKey"]) for batch in export["batches"]] == [(1, "one")]
    assert {job["id"] for job in export["jobs"]} > ids
    assert {job["message"] for job in export["jobs"]} == {*(f"It is {status}" for status in JobStatus), "a"}
    assert {job["result"] for job in export["jobs"]} == {None, "Because of Rayleigh."}
    assert {action["action"] for action in export["actions"]} >= {"user_registered", "key_made"}
    assert len(export["sessions"]) == 1
    assert "Bert's" not in response.get_data(as_text=True)
    assert notes("user_exported") == [(anna.owner, None)]


def test_an_ended_account_leaves_its_chats_at_once_and_what_it_said_there_goes(app: Flask) -> None:
    """Piece by piece, by the sweep. Others keep their places and what they said; its chats with the AI are gone."""
    anna, bert = Person(app), Person(app, "bert")
    group, left, alone = a_chat(anna.id, bert.id), a_chat(bert.id, anna.id), an_ai_chat(anna.id)
    own = a_chat(anna.id)
    for chat_id in (alone, own):
        say(chat_id, anna.id, *["mine"] * 4)
    say(group, anna.id, *map(str, range(5)))
    say(group, bert.id, "I stay")
    say(left, anna.id, "last")
    sql("INSERT INTO message_versions (chat_id, seq, version, content) VALUES (:chat, 1, 1, 'before')", chat=group)
    sql("DELETE FROM chat_members WHERE chat_id = :chat AND user_id = :anna", chat=left, anna=anna.id)

    anna.browser.delete("/api/me", json={"password": PASSWORD}, headers=anna.headers)

    seats = "SELECT chat_id::text || role FROM chat_members WHERE user_id = :user ORDER BY chat_id"
    assert sql(seats, user=bert.id) == sorted([f"{group}admin", f"{left}admin"])
    assert set(sql(seats, user=anna.id)) == {f"{alone}admin", f"{own}admin"}
    assert sql("UPDATE users SET deleted_at = deleted_at - interval '11 minutes' WHERE deleted_at IS NOT NULL") == []
    rounds = 0
    while swept():
        rounds += 1
    assert rounds == 7  # 2 each for two chats of 4, 2 for 5 messages, 1 for the last
    assert sql("SELECT erased FROM users WHERE id = :anna", anna=anna.id) == [True]
    assert set(sql("SELECT id::text FROM chats")) == {group, left}
    assert sql("SELECT content FROM messages WHERE chat_id = :chat ORDER BY seq", chat=group) == [*[""] * 5, "I stay"]
    assert sql("SELECT change_seq FROM messages WHERE chat_id = :chat ORDER BY seq", chat=group) == [*range(7, 12), 6]
    assert sql("SELECT last_change_seq FROM chats ORDER BY last_change_seq") == [2, 11]
    assert set(sql("SELECT last_message_preview FROM chats")) == {"", "I stay"}
    assert sql("SELECT count(*) FROM message_versions") == [0]


def test_an_export_has_what_one_said_in_chats_and_what_the_ai_answered_alone(app: Flask) -> None:
    """Not what others have said, nor what the AI has said to others."""
    anna, bert = Person(app), Person(app, "bert")
    group, alone = a_chat(anna.id, bert.id), an_ai_chat(anna.id, title="Physics")
    say(group, anna.id, "To all")
    say(group, bert.id, "Bert's")
    say(group, AI_ID, "The AI's to all")
    say(alone, anna.id, "To the AI")
    say(alone, AI_ID, "The AI's")
    sql("INSERT INTO message_versions (chat_id, seq, version, content) VALUES (:chat, 1, 1, 'before')", chat=group)

    response = anna.browser.get("/api/me/export", headers=anna.headers)

    export = response.get_json()
    assert [(chat["title"], chat["role"]) for chat in export["chats"]] == [("Trip", "admin"), ("Physics", "admin")]
    assert [(m["chatId"], m["content"], m["versions"]) for m in export["messages"]] == [
        (group, "To all", ["before"]),
        (alone, "To the AI", None),
    ]
    assert [(m["chatId"], m["content"]) for m in export["replies"]] == [(alone, "The AI's")]
    for others in ("Bert's", "to all"):
        assert others not in response.get_data(as_text=True)


def test_an_export_has_no_secret_and_no_hash(app: Flask) -> None:
    """There is nothing in it to sign in with."""
    anna = Person(app)
    key = anna.browser.post("/api/me/keys", json={"name": "k", "scopes": ["jobs:read"]}, headers=anna.headers)
    token = refresh_cookie(anna.browser)
    assert token

    export = anna.browser.get("/api/me/export", headers=anna.headers).get_data(as_text=True)

    for secret in (key.get_json()["key"], token, PASSWORD, "$argon2", "hash", "Hash"):
        assert secret not in export


def test_an_export_is_read_in_pages_and_misses_none(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded by rows and by size, also where times are equal."""
    anna = Person(app)
    moment = sql("SELECT clock_timestamp()")[0]
    ids = {a_job(owner=anna.owner, created_at=moment, message="x" * (number * 7)) for number in range(1, 12)}
    small = {
        section.name: text(exports._PAGE.format(**vars(section), rows=4, bytes=100)) for section in exports.SECTIONS
    }
    monkeypatch.setattr(exports, "_STATEMENTS", small)

    jobs = anna.browser.get("/api/me/export", headers=anna.headers).get_json()["jobs"]

    assert len(jobs) == len(ids)
    assert {job["id"] for job in jobs} == ids


def test_an_export_that_is_cut_off_is_no_json(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody takes it for the whole."""
    anna = Person(app)

    def away(*_: object, **__: object) -> None:
        raise PoolTimeout

    monkeypatch.setattr(exports, "page", away)

    cut = anna.browser.get("/api/me/export", headers=anna.headers).get_data(as_text=True)

    assert cut.startswith('{"profile"')
    with pytest.raises(json.JSONDecodeError):
        json.loads(cut)


def test_running_jobs_of_an_ended_account_are_taken_from_their_workers(app: Flask, db: Settings) -> None:
    """Whoever answers finds no row to write to."""
    anna = Person(app)
    running = [a_job(owner=anna.owner, status=status) for status in set(JobStatus) - FINISHED]

    anna.browser.delete("/api/me", json={"password": PASSWORD}, headers=anna.headers)

    assert sql("SELECT count(*) FROM jobs WHERE id = ANY(CAST(:ids AS uuid[]))", ids=running) == [0]
    assert sql("SELECT count(*) FROM attempts") == [0]
