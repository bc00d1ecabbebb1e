"""Accounts: registering, signing in, staying signed in, signing out."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest
from argon2 import PasswordHasher
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.datastructures import Headers

from api import cookies
from api.app import create_app
from api.hashing import MOST_WAITING, THREADS, Hashing
from models import invitations, principals, sessions
from models.base import Session
from models.passwords import Passwords
from models.settings import Settings
from tests.api.accounts import PASSWORD, Person, bearer, notes, refresh_cookie
from tests.factories import a_guest, a_job, the_job


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """Where anybody may register."""
    return make_app(registration="open")


def register(client: FlaskClient, **said: object) -> tuple[int, dict[str, object]]:
    response = client.post("/api/auth/register", json={"username": "anna", "password": PASSWORD, **said})
    return response.status_code, response.get_json()


def sql(statement: str, **given: object) -> list[object]:
    with Session.begin() as session:
        result = session.execute(text(statement), given)
        return list(result.scalars()) if result.returns_rows else []  # type: ignore[attr-defined]


def test_who_registers_is_signed_in(app: Flask) -> None:
    """The body has the access token, the cookie the refresh token, and no script can read it."""
    browser = app.test_client()

    response = browser.post(
        "/api/auth/register", json={"username": "Anna", "password": PASSWORD, "displayName": "Anna B."}
    )

    session = response.get_json()
    assert (session["tokenType"], session["expiresIn"]) == ("Bearer", 900)
    assert (session["user"]["username"], session["user"]["displayName"]) == ("anna", "Anna B.")
    assert browser.get("/api/me", headers=bearer(session["accessToken"])).get_json() == session["user"]
    cookie = response.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/api/auth", "Max-Age=2592000"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    assert session["accessToken"] not in cookie


def test_the_cookie_is_secure_over_tls_and_in_production(make_app: Callable[..., Flask]) -> None:
    """A proxy that ends TLS hides it; in production there is always one."""
    over_tls = make_app(registration="open").test_client()
    in_production = make_app(registration="open", environment="production").test_client()
    said = {"password": PASSWORD}

    secure = over_tls.post("/api/auth/register", json={**said, "username": "anna"}, base_url="https://localhost")
    behind = in_production.post("/api/auth/register", json={**said, "username": "bert"})

    assert "; Secure" in secure.headers["Set-Cookie"]
    assert "; Secure" in behind.headers["Set-Cookie"]


@pytest.mark.parametrize("username", ["admin", "PARLEY", "Everyone"])
def test_nobody_gets_a_name_of_the_service(app: Flask, username: str) -> None:
    """However it is spelled."""
    status, answer = register(app.test_client(), username=username)

    assert (status, answer["code"]) == (409, "username_taken")


def test_only_hashes_of_secrets_are_stored(app: Flask) -> None:
    """Who can read the database can sign in as nobody."""
    anna = Person(app)
    token = refresh_cookie(anna.browser)
    assert token

    everything = str(
        [sql(f"SELECT row_to_json({table})::text FROM {table}") for table in ("users", "sessions", "refresh_tokens")]
    )

    assert PASSWORD not in everything
    assert token not in everything
    assert "$argon2id$" in everything


@pytest.mark.parametrize(
    ("username", "kept"),
    [
        ("Anna", "anna"),
        ("ANNA.b-c_1", "anna.b-c_1"),
        ("\N{FULLWIDTH LATIN SMALL LETTER A}nna", "anna"),
        ("\N{MATHEMATICAL BOLD SMALL A}nna", "anna"),
        ("\N{KELVIN SIGN}urt", "kurt"),
        ("007", "007"),
        ("a" * 32, "a" * 32),
    ],
)
def test_a_username_has_one_spelling(app: Flask, username: str, kept: str) -> None:
    """NFKC, then case folded: whoever spells it otherwise signs in to the same account, or finds it taken."""
    browser = app.test_client()

    status, session = register(browser, username=username)

    assert (status, session["user"]["username"]) == (201, kept)  # type: ignore[index]
    assert register(browser, username=kept)[0] == 409
    assert browser.post("/api/auth/login", json={"username": username, "password": PASSWORD}).status_code == 200


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("username", "\N{CYRILLIC SMALL LETTER A}nna", "invalid_username"),
        ("username", "ann\N{GREEK SMALL LETTER ALPHA}", "invalid_username"),
        ("username", "ma\N{LATIN SMALL LETTER DOTLESS I}k", "invalid_username"),
        ("username", "an\N{ZERO WIDTH SPACE}na", "invalid_username"),
        ("username", "anna\N{RIGHT-TO-LEFT OVERRIDE}", "invalid_username"),
        ("username", "anna\r\nSet-Cookie: a=b", "invalid_username"),
        ("username", "\x1b[31manna", "invalid_username"),
        ("username", "an\x00na", "invalid_username"),
        ("username", "an\ud800na", "invalid_username"),
        ("username", "an", "invalid_username"),
        ("username", "a" * 33, "invalid_username"),
        ("username", ".anna", "invalid_username"),
        ("username", "anna ", "invalid_username"),
        ("username", "a" * 10_240, "too_long"),
        ("username", "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 64, "invalid_username"),
        ("username", 7, "wrong_type"),
        ("username", None, "wrong_type"),
        ("displayName", "", "invalid_name"),
        ("displayName", " \N{EM SPACE}", "invalid_name"),
        ("displayName", "a" * 65, "invalid_name"),
        ("displayName", "Anna\r\nB", "invalid_name"),
        ("displayName", "Anna\x1b[31m", "invalid_name"),
        ("displayName", "Anna\N{RIGHT-TO-LEFT OVERRIDE}", "invalid_name"),
        ("displayName", "Anna\N{LINE SEPARATOR}B", "invalid_name"),
        ("displayName", "a\ud800", "invalid_name"),
        ("password", "a" * 9, "too_short"),
        ("password", "a" * 129, "too_long"),
        ("password", "x" * 9 + "\x00", "invalid_characters"),
        ("password", "x" * 9 + "\ud800", "invalid_characters"),
        ("password", None, "wrong_type"),
        ("phoneNumber", "030 123456", "invalid_phone_number"),
        ("phoneNumber", "+49\r\n30123456", "invalid_phone_number"),
        ("invitation", "x" * 65, "too_long"),
        ("role", "admin", "unknown_field"),
    ],
)
def test_what_cannot_be_a_part_of_an_account_is_refused(app: Flask, field: str, value: object, code: str) -> None:
    """Look-alike letters, line ends, escapes, sizes: each by the field that is to blame, and nothing is stored."""
    status, problem = register(app.test_client(), **{field: value})

    errors: list[dict[str, str]] = problem["errors"]  # type: ignore[assignment]
    assert (status, problem["code"]) == (422, "validation_failed")
    assert (f"/{field}", code) in [(error["pointer"], error["code"]) for error in errors]
    assert sql("SELECT id FROM users WHERE NOT is_ai") == []


@pytest.mark.parametrize(
    "password",
    ["password123", "qwertyuiop", "aaaaaaaaaaaaaaaaaaaaaaaa", "anna-anna-anna", "annaanna2026", "parleyparley"],
)
def test_a_password_that_is_soon_guessed_is_refused(app: Flask, password: str) -> None:
    """Common ones, repeated ones, and those made of the person's own names."""
    status, problem = register(app.test_client(), password=password, displayName="Anna B.")

    errors: list[dict[str, str]] = problem["errors"]  # type: ignore[assignment]
    assert (status, problem["code"]) == (422, "weak_password")
    assert [(error["pointer"], error["code"]) for error in errors] == [("/password", "weak_password")]
    assert sql("SELECT id FROM users WHERE NOT is_ai") == []


def test_a_long_password_counts_to_its_last_character(app: Flask) -> None:
    """Nothing is cut off, however little of it is judged."""
    browser, password = app.test_client(), PASSWORD + "\N{OWL}" * 100

    assert register(browser, password=password)[0] == 201

    for given, status in ((password, 200), (password[:-1], 401), (password[:72], 401)):
        assert browser.post("/api/auth/login", json={"username": "anna", "password": given}).status_code == status


def test_of_a_hundred_who_want_one_name_at_once_one_gets_it(app: Flask) -> None:
    """The others are told, and leave nothing behind."""
    anna = {"username": "anna", "password": PASSWORD}

    def one(_: int) -> int:
        return app.test_client().post("/api/auth/register", json=anna).status_code

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(one, range(100)))

    assert sorted(statuses) == [201] + [409] * 99
    assert sql("SELECT username FROM users WHERE NOT is_ai") == ["anna"]
    assert len(sql("SELECT id FROM sessions")) == 1


def test_where_registration_is_closed_nobody_registers(make_app: Callable[..., Flask]) -> None:
    """Not even by an invitation."""
    client = make_app(registration="closed").test_client()
    with Session.begin() as session:
        code, _ = invitations.create(session, by="operator")

    for said in ({}, {"invitation": code}):
        status, problem = register(client, **said)
        assert (status, problem["code"]) == (403, "registration_closed")


def test_an_invitation_is_good_for_one_account(make_app: Callable[..., Flask]) -> None:
    """Without one, with a wrong one, an old one, and a second time: refused."""
    client = make_app(registration="invitation").test_client()
    with Session.begin() as session:
        (code, _), (old, _) = (invitations.create(session, by="operator", days=days) for days in (7, -1))

    refused = [register(client, **said) for said in ({}, {"invitation": "wrong"}, {"invitation": old})]
    first = register(client, invitation=code)
    second = register(client, username="bert", invitation=code)

    assert [(status, problem["code"]) for status, problem in [*refused, second]] == [
        (403, "invitation_required"),
        (403, "invitation_invalid"),
        (403, "invitation_invalid"),
        (403, "invitation_invalid"),
    ]
    assert first[0] == 201
    assert sql("SELECT username FROM users WHERE NOT is_ai") == ["anna"]


def test_of_two_who_use_one_invitation_at_once_one_registers(make_app: Callable[..., Flask]) -> None:
    """It is used up by the statement that checks it, so the other's account is rolled back."""
    app = make_app(registration="invitation")
    with Session.begin() as session:
        code, _ = invitations.create(session, by="operator")

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: register(app.test_client(), username=f"anna{n}", invitation=code), range(8)))

    assert sorted(status for status, _ in found) == [201] + [403] * 7
    assert len(sql("SELECT id FROM users WHERE NOT is_ai")) == 1


def test_a_phone_number_is_kept_as_a_keyed_hash_or_not_at_all(make_app: Callable[..., Flask]) -> None:
    """Two people may give the same: nobody has proved that it is theirs, and nobody learns whose it is."""
    without, with_key = make_app(registration="open"), make_app(registration="open", phone_key="k" * 32)

    for app, names in ((without, ["anna"]), (with_key, ["bert", "cleo"])):
        for name in names:
            assert register(app.test_client(), username=name, phoneNumber="+49 (30) 123-456")[0] == 201

    kept = sql("SELECT phone_hash FROM users WHERE NOT is_ai ORDER BY username")
    assert kept[0] is None
    assert kept[1] == kept[2] is not None
    assert "30123456" not in str(sql("SELECT row_to_json(users)::text FROM users WHERE NOT is_ai"))


def without_count(headers: Headers) -> list[tuple[str, str]]:
    """How many tries are left is counted for each name that is tried, whether somebody has it or not."""
    return [(name, re.sub(r";r=\d+;t=\d+", "", value)) for name, value in headers]


def test_unknown_user_and_wrong_password_are_answered_alike(app: Flask) -> None:
    """Also one who is gone: status, headers and body say nothing; a hash is compared each time."""
    Person(app)
    gone = Person(app, "gone")
    gone.browser.delete("/api/me", json={"password": PASSWORD}, headers=gone.headers)
    client = app.test_client()

    answers = [
        client.post(
            "/api/auth/login", json={"username": name, "password": "wrong wrong"}, headers={"X-Request-Id": "one"}
        )
        for name in ("anna", "nobody", "gone")
    ]

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.get_data() for answer in answers}) == 1
    assert len({str(without_count(answer.headers)) for answer in answers}) == 1
    assert answers[0].get_json()["code"] == "wrong_credentials"
    assert refresh_cookie(client) is None


def test_an_unknown_user_costs_a_comparison_too() -> None:
    """With the parameters of everybody's."""
    compared = []

    class Watched(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
            compared.append(str(hash).rsplit("$", 2)[0])
            return super().verify(hash, password)

    passwords = Passwords(Watched(time_cost=1, memory_cost=8, parallelism=1))
    kept = passwords.hashed(PASSWORD)

    assert passwords.fits(PASSWORD, kept)
    assert not passwords.fits("wrong", kept)
    assert not passwords.fits(PASSWORD, None)
    assert not passwords.fits("no password has fewer characters than this", None)

    assert len(compared) == 4
    assert len(set(compared)) == 1


def test_the_product_hashes_as_owasp_recommends() -> None:
    """argon2id, 19 MiB, two passes."""
    assert Passwords().hashed("x").startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_a_hash_made_with_other_parameters_is_made_anew_at_the_next_login(app: Flask, db: Settings) -> None:
    """So that a change of parameters reaches whoever comes back."""
    anna = Person(app)
    (before,) = sql("SELECT password_hash FROM users WHERE NOT is_ai")
    dearer = create_app(db, passwords=Passwords(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)))
    browser = dearer.test_client()

    for _ in range(2):
        answer = browser.post("/api/auth/login", json={"username": "anna", "password": PASSWORD})
        assert answer.status_code == 200
    (after,) = sql("SELECT password_hash FROM users WHERE NOT is_ai")

    assert str(before) != after
    assert "t=2" in str(after)
    anna.log_in()


def test_who_finds_too_many_before_them_is_sent_away(app: Flask) -> None:
    """A bounded queue: memory and time of those who wait have an end."""
    hashing, gate = Hashing(), threading.Event()
    app.extensions["parley"]["hashing"] = hashing
    with ThreadPoolExecutor(THREADS + MOST_WAITING) as pool:
        waiting = [pool.submit(hashing._in_turn, gate.wait) for _ in range(THREADS + MOST_WAITING)]
        while hashing._places._value:
            pass
        refused = app.test_client().post("/api/auth/login", json={"username": "anna", "password": "x"})
        gate.set()
        assert all(one.result() for one in waiting)

    assert (refused.status_code, refused.get_json()["code"]) == (503, "busy")
    assert int(refused.headers["Retry-After"]) > 0
    assert hashing.fits("x", None) is False


def test_no_more_than_two_hash_at_once() -> None:
    """Each takes a core and 19 MiB."""
    most, now, lock = 0, 0, threading.Lock()
    both = threading.Barrier(THREADS)

    class Counting(Passwords):
        def hashed(self, password: str) -> str:
            nonlocal most, now
            with lock:
                now += 1
                most = max(most, now)
            both.wait(30)
            with lock:
                now -= 1
            return password

    hashing = Hashing(Counting())
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(hashing.hashed, "abcdefgh")) == list("abcdefgh")

    assert most == THREADS


def test_a_refresh_token_is_exchanged_for_another(app: Flask) -> None:
    """And for an access token of the same session."""
    anna = Person(app)
    before = refresh_cookie(anna.browser)

    answer = anna.browser.post("/api/auth/refresh")

    session = answer.get_json()
    assert session.keys() == anna.session.keys()
    assert refresh_cookie(anna.browser) not in (None, before)
    assert anna.browser.get("/api/me", headers=bearer(session["accessToken"])).status_code == 200
    assert len(sql("SELECT id FROM sessions")) == 1


def test_two_tabs_that_refresh_at_once_get_the_same_token(app: Flask) -> None:
    """The family does not fork: one successor, and nobody is signed out."""
    anna = Person(app)
    token = refresh_cookie(anna.browser)
    assert token

    def one(_: int) -> tuple[int, str | None]:
        tab = app.test_client()
        tab.set_cookie("parley_refresh", token, path="/api/auth")
        return tab.post("/api/auth/refresh").status_code, refresh_cookie(tab)

    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(one, range(24)))

    assert len(found) == 1
    assert next(iter(found))[0] == 200
    assert len(sql("SELECT token_hash FROM refresh_tokens")) == 2
    assert notes("refresh_reused") == []


def an_hour_passes() -> None:
    sql("UPDATE refresh_tokens SET used_at = used_at - interval '1 hour'")


def test_an_old_refresh_token_that_comes_back_ends_the_session(app: Flask) -> None:
    """It is in two hands. Both are signed out, at once, and it is on record once however often it is tried."""
    anna = Person(app)
    stolen = refresh_cookie(anna.browser)
    assert stolen
    anna.session = anna.browser.post("/api/auth/refresh").get_json()
    assert anna.browser.get("/api/me", headers=anna.headers).status_code == 200
    an_hour_passes()
    thief = app.test_client()

    for _ in range(3):
        thief.set_cookie("parley_refresh", stolen, path="/api/auth")
        refused = thief.post("/api/auth/refresh")
        assert (refused.status_code, refused.get_json()["code"]) == (401, "session_ended")

    assert anna.browser.post("/api/auth/refresh").get_json()["code"] == "session_ended"
    assert anna.browser.get("/api/me", headers=anna.headers).get_json()["code"] == "invalid_token"
    assert notes("refresh_reused") == [("address:127.0.0.1", anna.owner)]


def test_a_refresh_token_whose_successor_was_used_ends_the_session_however_soon(app: Flask) -> None:
    """A page that has used the answer has heard it: this is somebody else."""
    anna = Person(app)
    stolen = refresh_cookie(anna.browser)
    assert stolen
    for _ in range(2):
        assert anna.browser.post("/api/auth/refresh").status_code == 200
    thief = app.test_client()
    thief.set_cookie("parley_refresh", stolen, path="/api/auth")

    assert thief.post("/api/auth/refresh").get_json()["code"] == "session_ended"
    assert anna.browser.post("/api/auth/refresh").status_code == 401


def test_of_many_who_bring_a_stolen_token_at_once_one_note_tells(app: Flask) -> None:
    """Whoever ends the session writes it down."""
    anna = Person(app)
    stolen = refresh_cookie(anna.browser)
    assert stolen
    anna.browser.post("/api/auth/refresh")
    an_hour_passes()

    def one(_: int) -> int:
        thief = app.test_client()
        thief.set_cookie("parley_refresh", stolen, path="/api/auth")
        return thief.post("/api/auth/refresh").status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(one, range(16))) == {401}

    assert len(notes("refresh_reused")) == 1


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE sessions SET expires_at = clock_timestamp()",
        "UPDATE sessions SET revoked_at = clock_timestamp()",
        "DELETE FROM sessions",
        "UPDATE users SET deleted_at = clock_timestamp(), username = NULL, password_hash = NULL WHERE NOT is_ai",
    ],
)
def test_a_session_that_is_over_is_not_renewed(app: Flask, change: str) -> None:
    """Nor is its access token good, as soon as nobody remembers it."""
    anna = Person(app)
    sql(change)

    refused = anna.browser.post("/api/auth/refresh")

    assert (refused.status_code, refused.get_json()["code"]) == (401, "session_ended")
    assert "WWW-Authenticate" in refused.headers
    assert anna.browser.get("/api/me", headers=anna.headers).get_json()["code"] == "invalid_token"
    assert notes("refresh_reused") == []


@pytest.mark.parametrize("token", ["", "nonsense", "x" * 500, "a\N{LATIN SMALL LETTER E WITH ACUTE}"])
def test_what_is_no_refresh_token_renews_nothing(app: Flask, token: str) -> None:
    """None at all, or none of ours."""
    browser = app.test_client()
    if token:
        browser.set_cookie("parley_refresh", token, path="/api/auth")

    refused = browser.post("/api/auth/refresh")

    assert (refused.status_code, refused.get_json()["code"]) in {(401, "no_refresh_token"), (401, "session_ended")}


def test_an_access_token_renews_nothing_and_a_refresh_token_lets_nobody_in(app: Flask) -> None:
    """Each is good for its own only."""
    anna = Person(app)
    token, browser = refresh_cookie(anna.browser), app.test_client()
    assert token
    browser.set_cookie("parley_refresh", anna.session["accessToken"], path="/api/auth")

    assert browser.post("/api/auth/refresh").status_code == 401
    assert anna.browser.get("/api/me", headers=bearer(token)).get_json()["code"] == "invalid_token"


def test_a_session_is_prolonged_by_use_but_not_for_ever(app: Flask) -> None:
    """Thirty days from the last refresh, and a year at most."""
    anna = Person(app)
    sql("UPDATE sessions SET created_at = created_at - interval '364 days'")

    assert anna.browser.post("/api/auth/refresh").status_code == 200

    (left,) = sql("SELECT extract(day FROM expires_at - clock_timestamp())::int FROM sessions")
    assert left in (0, 1)


def test_signing_out_ends_this_session_at_once(app: Flask) -> None:
    """The others go on. A second time, or without a session, there is nothing to be done."""
    anna = Person(app)
    elsewhere = anna.headers
    anna.browser = app.test_client()
    anna.log_in()
    assert anna.browser.get("/api/me", headers=anna.headers).status_code == 200

    response = anna.browser.post("/api/auth/logout")

    assert response.status_code == 204
    assert refresh_cookie(anna.browser) in (None, "")
    assert anna.browser.get("/api/me", headers=anna.headers).status_code == 401
    assert anna.browser.get("/api/me", headers=elsewhere).status_code == 200
    assert anna.browser.post("/api/auth/logout").status_code == 204
    assert notes("user_logged_out") == [(anna.owner, None)]


def test_signing_out_everywhere_ends_all_sessions_of_the_user_and_no_others(app: Flask) -> None:
    """For whoever has lost a device."""
    anna, bert = Person(app), Person(app, "bert")
    elsewhere = anna.headers
    anna.log_in()

    assert anna.browser.post("/api/auth/logout-all", headers=anna.headers).status_code == 204

    for headers in (elsewhere, anna.headers):
        assert anna.browser.get("/api/me", headers=headers).status_code == 401
    assert bert.browser.get("/api/me", headers=bert.headers).status_code == 200
    assert notes("user_logged_out_everywhere") == [(anna.owner, None)]


def test_what_is_revoked_elsewhere_is_forgotten_here_within_seconds() -> None:
    """30 at most are promised: a process remembers who stands behind a token for less."""
    assert principals.KEPT_SECONDS <= 10


def test_nobody_has_more_than_fifty_sessions(app: Flask) -> None:
    """The oldest ends when one more begins."""
    anna = Person(app)
    for _ in range(sessions.MOST_SESSIONS):
        anna.log_in()

    (live,) = sql("SELECT count(*) FROM sessions WHERE revoked_at IS NULL")
    (first,) = sql("SELECT revoked_at IS NOT NULL FROM sessions ORDER BY created_at LIMIT 1")
    assert live == sessions.MOST_SESSIONS
    assert first is True


@pytest.mark.parametrize("how", ["register", "login"])
def test_who_signs_in_takes_along_what_they_made_as_a_guest(app: Flask, how: str) -> None:
    """Jobs, batches and their idempotency keys; other guests' things stay where they are."""
    owner = "user:" + Person(app).id if how == "login" else None
    browser = app.test_client()
    browser.set_cookie("parley_guest", a_guest()[0], path="/api")
    key = {"Idempotency-Key": "one"}
    mine = browser.post("/api/jobs", json={"message": "Mine"}, headers=key).get_json()["jobId"]
    batch = browser.post("/api/batches", json={"prompts": ["a", "b"]}, headers={"Idempotency-Key": "two"}).get_json()
    others = a_job(owner="guest:another")

    response = browser.post(f"/api/auth/{how}", json={"username": "anna", "password": PASSWORD})

    owner = owner or "user:" + response.get_json()["user"]["userId"]
    assert the_job(mine).owner == owner
    assert sql("SELECT DISTINCT owner FROM jobs WHERE batch_id IS NOT NULL") == [owner]
    assert sql("SELECT owner FROM batches WHERE id = CAST(:id AS uuid)", id=batch["batchId"]) == [owner]
    assert the_job(others).owner == "guest:another"
    assert browser.get_cookie("parley_guest", path="/api") is None
    again = browser.post(
        "/api/jobs", json={"message": "Mine"}, headers={**key, **bearer(response.get_json()["accessToken"])}
    )
    assert (again.status_code, again.get_json()["jobId"]) == (200, mine)


def test_where_guest_and_account_used_one_idempotency_key_the_accounts_holds(app: Flask) -> None:
    """It answers for what the account has made itself."""
    anna, guest = Person(app), app.test_client()
    guest.set_cookie("parley_guest", a_guest()[0], path="/api")
    key = {"Idempotency-Key": "one"}
    guest.post("/api/jobs", json={"message": "The guest's"}, headers=key)
    own = anna.browser.post("/api/jobs", json={"message": "Anna's"}, headers={**key, **anna.headers}).get_json()

    guest.post("/api/auth/login", json={"username": "anna", "password": PASSWORD})

    again = anna.browser.post("/api/jobs", json={"message": "Anna's"}, headers={**key, **anna.headers})
    assert again.get_json()["jobId"] == own["jobId"]
    assert sql("SELECT scope FROM idempotency_keys") == [anna.owner]
    assert sql("SELECT DISTINCT owner FROM jobs") == [anna.owner]


def test_a_guest_with_more_than_a_piece_of_jobs_takes_all_of_them_along(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece is a transaction of its own."""
    monkeypatch.setattr("models.adoptions.PIECE", 2)
    browser = app.test_client()
    browser.set_cookie("parley_guest", a_guest()[0], path="/api")
    for number in range(5):
        browser.post("/api/jobs", json={"message": f"Number {number}"})

    assert register(browser)[0] == 201

    assert sql("SELECT count(*) FROM jobs WHERE owner LIKE 'user:%'") == [5]


def test_every_sign_in_and_every_failure_is_on_record(app: Flask) -> None:
    """Who, and from which address whoever failed came; never the name that was tried."""
    anna = Person(app)
    anna.log_in()
    for name in ("anna", "nobody"):
        anna.browser.post("/api/auth/login", json={"username": name, "password": "wrong"})

    assert notes("user_registered") == [(anna.owner, None)]
    assert notes("user_logged_in") == [(anna.owner, None)]
    assert notes("login_failed") == [("address:127.0.0.1", anna.owner), ("address:127.0.0.1", None)]
    assert "nobody" not in str(sql("SELECT row_to_json(audit_log)::text FROM audit_log"))


@pytest.mark.parametrize("path", ["refresh", "logout"])
def test_a_page_of_another_site_sends_no_cookie(app: Flask, path: str) -> None:
    """SameSite=Strict, on the cookie that is set and on the one that clears it."""
    anna = Person(app)

    response = anna.browser.post(f"/api/auth/{path}")

    assert "SameSite=Strict" in response.headers["Set-Cookie"]
    assert cookies.REFRESH_PATH in response.headers["Set-Cookie"]
