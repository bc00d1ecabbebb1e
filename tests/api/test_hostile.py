"""What somebody with bad intentions would try against accounts, guests and limits."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import text

from api import events
from api.hashing import NICENESS, Hashing
from models import api_keys, owners, principals, sessions
from models.api_keys import Scope
from models.base import Session
from models.errors import Refusal
from models.sessions import Refused
from models.states import JobStatus
from tests.api.accounts import PASSWORD, Person, refresh_cookie
from tests.factories import a_job


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """Where anybody may register."""
    return make_app(registration="open")


def sql(statement: str, **given: object) -> None:
    with Session.begin() as session:
        session.execute(text(statement), given)


def test_a_stolen_refresh_token_is_noticed_for_as_long_as_it_could_have_been_used(app: Flask) -> None:
    """The thief renewed at once; the owner comes back after a holiday, and must end the thief's session."""
    victim = Person(app)
    stolen = refresh_cookie(victim.browser)
    assert stolen
    thief = app.test_client()
    thief.set_cookie("parley_refresh", stolen, path="/api/auth")
    assert thief.post("/api/auth/refresh").status_code == 200
    sql("UPDATE refresh_tokens SET used_at = used_at - interval '20 days' WHERE used_at IS NOT NULL")
    with Session.begin() as session:
        sessions.prune(session, most=100, days=30)

    assert victim.browser.post("/api/auth/refresh").status_code == 401

    assert thief.post("/api/auth/refresh").status_code == 401


@pytest.mark.parametrize("path", ["/api/auth/refresh", "/api/auth/logout"])
def test_a_made_up_cookie_makes_nobody_else_be_asked_for_again(app: Flask, path: str) -> None:
    """Whoever has no account must not be able to empty what this process remembers of all others."""
    anna, stranger = Person(app), app.test_client()
    anna.browser.get("/api/me", headers=anna.headers)
    remembered = app.extensions["parley"]["callers"]._remembered
    assert remembered
    stranger.set_cookie("parley_refresh", "x" * 43, path="/api/auth")

    stranger.post(path)

    assert remembered


def test_hashing_leaves_the_cores_to_the_event_loop() -> None:
    """As its module says: by a lower priority of its threads."""
    import os  # noqa: PLC0415

    seen: list[int] = []

    class Looking:
        def hashed(self, password: str) -> str:
            seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
            return password

    Hashing(Looking()).hashed("x")  # type: ignore[arg-type]

    assert seen == [NICENESS]


def test_a_key_for_an_account_that_has_just_ended_is_refused_not_a_crash(app: Flask) -> None:
    """Another process may remember its token for some seconds more."""
    anna = Person(app)
    sql("UPDATE users SET deleted_at = clock_timestamp(), username = NULL, password_hash = NULL WHERE NOT is_ai")

    with pytest.raises(Refusal), Session.begin() as session:
        api_keys.create(session, anna.id, name="late", scopes=[Scope.JOBS_READ], expires_at=None)


@pytest.mark.parametrize("secret", ["x", "x" * 43, "x" * 3000, "guest", "\u00e9" * 43])
def test_a_guest_cookie_that_we_never_gave_makes_nobody(app: Flask, secret: str) -> None:
    """Each would be an owner of its own: with a quota, a place in turn, and a limit of what may wait of its own."""
    stranger = app.test_client()
    stranger.set_cookie("parley_guest", secret)

    stranger.post("/api/jobs", json={"message": "x"})

    with Session() as session:
        owners = session.execute(text("SELECT owner FROM jobs")).scalars().all()
    assert [owner for owner in owners if owner.startswith("guest:")] == []


def test_an_old_token_of_a_live_session_is_told_from_one_of_a_dead_session(app: Flask) -> None:
    """Only the first of those that come ends it, and only that is on record."""
    anna = Person(app)
    first = refresh_cookie(anna.browser)
    assert first
    anna.browser.post("/api/auth/refresh")
    sql("UPDATE refresh_tokens SET used_at = used_at - interval '1 minute' WHERE used_at IS NOT NULL")

    outcomes = []
    for _ in range(2):
        with Session.begin() as session:
            outcomes.append(sessions.renew(session, first, successor="y" * 43, days=30))

    assert [outcome[0] for outcome in outcomes if isinstance(outcome, tuple)] == [Refused.REUSED, Refused.ENDED]


@pytest.mark.parametrize(
    "username",
    [
        "ANNA",
        "\uff41\uff4e\uff4e\uff41",
        "an\u00adna",
        "anna\u200b",
        " anna",
        "anna ",
        "ann\u0430",
        "anna\x00",
        "anna\n",
        "\u1d43nna",
    ],
)
def test_no_name_looks_like_another(app: Flask, username: str) -> None:
    """Either it is the same one, which is taken, or it is none."""
    Person(app, "anna")

    response = app.test_client().post("/api/auth/register", json={"username": username, "password": PASSWORD})

    assert response.status_code in (409, 422)


def test_a_password_cannot_be_tried_out_by_whoever_has_a_token(make_app: Callable[..., Flask]) -> None:
    """A stolen access token lives a quarter of an hour: long enough for thousands of tries, were they not limited."""
    anna = Person(make_app(registration="open", login_limit="5/minute"))

    statuses = {
        anna.browser.patch(
            "/api/me",
            json={"password": "a new one 4711 X", "currentPassword": f"guess-{n:06}"},
            headers=anna.headers,
        ).status_code
        for n in range(25)
    }

    assert 429 in statuses


def test_what_is_kept_of_a_secret_is_not_the_secret(app: Flask) -> None:
    """Nor can it be used in its place."""
    anna = Person(app)
    refresh = refresh_cookie(anna.browser)
    assert refresh
    kept = principals.hashed(refresh).hex()
    stranger = app.test_client()
    stranger.set_cookie("parley_refresh", kept, path="/api/auth")

    assert stranger.post("/api/auth/refresh").status_code == 401


def a_running_job(owner: str) -> str:
    """Of somebody, at the model's."""
    return a_job(owner=owner, status=JobStatus.ANALYZING)


def test_who_may_no_longer_read_all_hears_no_more_of_anothers_reply(app: Flask) -> None:
    """The stream of an operator who has just become a user: the job has not moved, its text goes on."""
    anna, olga = Person(app, "anna"), Person(app, "olga").has("operator")
    job_id = a_running_job(anna.owner)
    waiters, reader = app.extensions["parley"]["waiters"], app.extensions["parley"]["reader"]
    with app.test_request_context(f"/api/jobs/{job_id}/events", headers=olga.headers), waiters.parked(job_id) as waiter:
        app.preprocess_request()
        events._moved_job(reader, waiter)
        waiter.moved = False
        olga.has("user")
        app.extensions["parley"]["callers"].forget(olga.id)

        with pytest.raises(Refusal):
            events._moved_job(reader, waiter)


@pytest.mark.parametrize("address", ["192.0.2.7:51234", "[2001:db8::7]:51234"])
def test_callers_behind_a_proxy_that_names_ports_are_not_one_owner(address: str) -> None:
    """Some proxies write ``address:port``; all callers would share keys, limits and turns."""
    assert owners.of_address(address) != owners.of_address("nonsense")


@pytest.mark.parametrize("count", [0, 1, 2])
def test_nobody_chooses_the_address_it_comes_from(make_app: Callable[..., Flask], count: int) -> None:
    """So many entries from the right are the proxies'; whatever the caller wrote stands to the left of them."""
    client = make_app(trusted_proxies=count).test_client()
    proxies = ["198.51.100.1", "198.51.100.2"][:count]
    for spoofed in ("192.0.2.66", "192.0.2.66, 192.0.2.67", "127.0.0.1", "unknown", ""):
        chain = ", ".join([*filter(None, [spoofed]), *proxies]) if count else spoofed
        client.post(
            "/api/jobs",
            json={"message": "x"},
            headers={
                "X-Forwarded-For": chain,
                "X-Real-IP": "192.0.2.66",
                "Forwarded": "for=192.0.2.66",
                "True-Client-IP": "192.0.2.66",
            },
            environ_base={"REMOTE_ADDR": "203.0.113.9"},
        )

    with Session() as session:
        found = set(session.execute(text("SELECT owner FROM jobs")).scalars())
    assert found == {f"address:{proxies[0] if proxies else '203.0.113.9'}"}
