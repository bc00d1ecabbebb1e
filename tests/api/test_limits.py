"""Limits: what is counted for whom, and what callers are told of it."""

from __future__ import annotations

import dataclasses
import re
import socket
from collections.abc import Callable

import pytest
import redis
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from models import settings as product_settings
from models.base import Session
from models.knobs.limits import LimitKnobs
from tests.api.accounts import PASSWORD
from tests.conftest import Servers
from tests.factories import a_job

Limited = Callable[..., FlaskClient]
JOB = {"message": "Why is the sky blue?"}


@pytest.fixture
def limited(make_app: Callable[..., Flask]) -> Limited:
    """An API with limits of its own."""
    return lambda **limits: make_app(admin_token="o" * 32, registration="open", **limits).test_client()


def create(client: FlaskClient, *, address: str = "192.0.2.1", **headers: str) -> TestResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post("/api/jobs", json=JOB, headers=named, environ_base={"REMOTE_ADDR": address})


def statuses(client: FlaskClient, times: int, **of: str) -> list[int]:
    return [create(client, **of).status_code for _ in range(times)]


def log_in(client: FlaskClient, username: str, *, address: str = "192.0.2.1") -> int:
    said = {"username": username, "password": "wrong, all of it"}
    return int(client.post("/api/auth/login", json=said, environ_base={"REMOTE_ADDR": address}).status_code)


def jobs_stored() -> int:
    with Session() as session:
        return int(session.execute(text("SELECT count(*) FROM jobs")).scalar_one())


def test_an_answer_says_what_holds_and_what_is_left(limited: Limited) -> None:
    """In the words of the draft: structured fields, an item for each policy."""
    client = limited(create_limit="500/5 seconds")

    response = create(client)

    assert response.headers["RateLimit-Policy"] == '"create";q=500;w=5'
    assert response.headers["RateLimit"] == '"create";r=499;t=5'
    assert create(client).headers["RateLimit"].startswith('"create";r=498;t=')


def test_beyond_the_limit_a_job_is_refused_and_not_stored(limited: Limited) -> None:
    """429 with a stable code, and when to come again."""
    client = limited(create_limit="3/minute")

    responses = [create(client) for _ in range(5)]

    assert [response.status_code for response in responses] == [201, 201, 201, 429, 429]
    refused = responses[-1]
    assert (refused.mimetype, refused.get_json()["code"]) == ("application/problem+json", "rate_limited")
    assert 50 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["RateLimit"] == f'"create";r=0;t={refused.headers["Retry-After"]}'
    assert refused.headers["RateLimit-Policy"] == '"create";q=3;w=60'
    assert jobs_stored() == 3


def test_what_cannot_be_read_counts_as_well(limited: Limited) -> None:
    """Reading it is what it costs."""
    client = limited(create_limit="2/minute")

    answers = [client.post("/api/jobs", data="{", content_type="application/json") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [400, 400, 429]
    assert answers[0].headers["RateLimit"].startswith('"create";r=1;t=')


def test_batches_are_counted_apart_from_jobs(limited: Limited) -> None:
    """To try one again counts like handing one in."""
    client = limited(create_limit="1/minute", batch_limit="2/minute")

    made = client.post("/api/batches", json={"prompts": [{"message": "Why?"}]})
    again = client.post(f"/api/batches/{made.get_json()['batchId']}/retry-failed")
    third = client.post("/api/batches", json={"prompts": [{"message": "Why?"}]})

    assert [made.status_code, again.status_code, third.status_code] == [201, 200, 429]
    assert create(client).status_code == 201


def test_a_limit_can_be_turned_off(limited: Limited) -> None:
    """Nothing is counted then, and nothing said."""
    client = limited(create_limit="")

    response = create(client)

    assert response.status_code == 201
    assert "RateLimit" not in response.headers


def test_each_owner_has_a_limit_of_its_own(limited: Limited) -> None:
    """An address, another one, and the operator, who calls from the first."""
    client = limited(create_limit="2/minute")

    assert statuses(client, 3) == [201, 201, 429]
    assert statuses(client, 3, address="192.0.2.2") == [201, 201, 429]
    assert statuses(client, 3, Authorization="Bearer " + "o" * 32) == [201, 201, 429]


def test_a_new_guest_is_no_new_limit(limited: Limited) -> None:
    """A cookie is there for the asking; so is another address of the same IPv6 network."""
    guests = [limited(create_limit="2/minute").application.test_client() for _ in range(3)]
    for guest in guests:
        assert guest.post("/api/auth/guest").status_code == 204

    assert [create(guest).status_code for guest in guests] == [201, 201, 429]
    assert [create(guests[0], address=f"2001:db8::{n}").status_code for n in range(1, 4)] == [201, 201, 429]


@pytest.mark.parametrize(("proxies", "appended"), [(0, ""), (1, ", 198.51.100.1"), (2, ", 198.51.100.1, 10.0.0.1")])
def test_a_forged_x_forwarded_for_is_no_new_limit(limited: Limited, proxies: int, appended: str) -> None:
    """What trusted proxies have appended is believed, and nothing that a caller wrote before it."""
    client = limited(create_limit="2/minute", trusted_proxies=proxies)

    answers = [create(client, X_Forwarded_For=f"203.0.113.{n}{appended}") for n in range(3)]

    assert [answer.status_code for answer in answers] == [201, 201, 429]


def test_callers_behind_one_proxy_have_limits_of_their_own(limited: Limited) -> None:
    """They come from one address, and are told apart by what the proxy says."""
    client = limited(create_limit="1/minute", trusted_proxies=1)

    answers = [create(client, X_Forwarded_For=f"203.0.113.{n}") for n in (1, 2, 1)]

    assert [answer.status_code for answer in answers] == [201, 201, 429]


def test_reading_is_not_limited_and_asks_redis_nothing(make_app: Callable[..., Flask]) -> None:
    """Jobs, their lists, batches, health: the server that is to be Redis is not even connected to."""
    job_id = a_job()
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = make_app(redis_url=f"redis://127.0.0.1:{server.getsockname()[1]}/0").test_client()
        server.settimeout(0.0)

        for path in (f"/api/jobs/{job_id}", f"/api/jobs/{job_id}", "/api/batches/x", "/health", "/health/live", "/"):
            with client.get(path) as response:
                assert not {"RateLimit", "RateLimit-Policy"} & set(response.headers.keys())

        with pytest.raises(BlockingIOError):
            server.accept()


def test_flask_limiters_own_hooks_do_not_run(app: Flask) -> None:
    """They would cost every request 0.04 ms, polls included."""
    hooks = [*app.before_request_funcs[None], *app.after_request_funcs[None], *app.teardown_request_funcs[None]]

    assert not [hook for hook in hooks if "flask_limiter" in str(getattr(hook, "func", hook))]


def test_a_flood_is_logged_once(limited: Limited) -> None:
    """Who floods the API does not flood the log."""
    client = limited(create_limit="1/minute")

    with capture_logs() as logs:
        statuses(client, 5)

    told = [line for line in logs if line["event"] == "rate_limited"]
    assert [(line["limit"], line["key"]) for line in told] == [("create", "address:192.0.2.1")]


def test_passwords_of_one_account_are_tried_a_few_times_only(limited: Limited) -> None:
    """From one address; whoever else calls from there, or has the account, is not shut out."""
    client = limited(login_limit="3/minute")

    assert [log_in(client, "anna") for _ in range(4)] == [401, 401, 401, 429]
    assert log_in(client, "Anna") == 429
    assert log_in(client, "berta") == 401
    assert log_in(client, "anna", address="192.0.2.2") == 401


def test_an_answer_to_a_login_names_both_its_limits(limited: Limited) -> None:
    """One of the address, one of the account from there."""
    client = limited(login_limit="5/minute", auth_limit="60/minute")

    response = client.post("/api/auth/login", json={"username": "anna", "password": PASSWORD})

    assert response.headers["RateLimit-Policy"] == '"login-address";q=60;w=60, "login";q=5;w=60'
    assert response.headers["RateLimit"] == '"login-address";r=59;t=60, "login";r=4;t=60'


def test_many_accounts_are_not_tried_from_one_address(limited: Limited) -> None:
    """One password for all of them is tried that way."""
    client = limited(auth_limit="3/minute")

    assert [log_in(client, f"user-{number}") for number in range(4)] == [401, 401, 401, 429]
    assert log_in(client, "user-9", address="192.0.2.2") == 401


def test_no_username_is_found_in_redis(limited: Limited, servers: Servers) -> None:
    """A digest stands for it."""
    log_in(limited(login_limit="3/minute"), "anna-maria")

    with redis.Redis.from_url(servers.environment["REDIS_URL"], decode_responses=True) as client:
        keys = client.keys("*:window:*")

    assert len([key for key in keys if "/login/" in key]) == 1
    assert not [key for key in keys if "anna" in key]


@pytest.mark.parametrize(
    ("path", "limit", "name"),
    [
        ("/api/auth/register", "register_limit", "register"),
        ("/api/auth/refresh", "auth_limit", "refresh"),
        ("/api/auth/logout", "auth_limit", "logout"),
        ("/api/auth/guest", "auth_limit", "guest"),
    ],
)
def test_other_routes_of_accounts_are_limited_by_address(limited: Limited, path: str, limit: str, name: str) -> None:
    """Each for itself."""
    client = limited(**{limit: "2/minute"})

    answers = [client.post(path, json={}) for _ in range(3)]

    assert [answer.status_code == 429 for answer in answers] == [False, False, True]
    assert answers[0].headers["RateLimit-Policy"] == f'"{name}";q=2;w=60'


def test_a_stolen_session_does_not_try_passwords_without_end(limited: Limited) -> None:
    """To change one, and to end the account, takes the present one."""
    client = limited(login_limit="3/minute")
    registered = client.post("/api/auth/register", json={"username": "anna", "password": PASSWORD}).get_json()
    headers = {"Authorization": f"Bearer {registered['accessToken']}"}

    answers = [client.delete("/api/me", json={"password": f"not this {n}"}, headers=headers) for n in range(4)]

    assert [answer.status_code for answer in answers] == [403, 403, 403, 429]


def test_who_has_used_a_days_tokens_hands_in_nothing_more(limited: Limited) -> None:
    """429 until midnight in UTC; others are not concerned."""
    spend("address:192.0.2.1", 1000)
    client = limited(daily_tokens_per_owner=1000)

    refused = create(client)

    assert (refused.status_code, refused.get_json()["code"]) == (429, "daily_quota_used")
    assert 0 < int(refused.headers["Retry-After"]) <= 86_400
    assert create(client, address="192.0.2.2").status_code == 201
    assert jobs_stored() == 1


def test_without_a_daily_quota_nobody_asks_what_was_used(limited: Limited) -> None:
    """It is off unless it is set."""
    spend("address:192.0.2.1", 10**9)

    assert create(limited()).status_code == 201


def spend(owner: str, tokens: int) -> None:
    with Session.begin() as session:
        session.execute(
            text("INSERT INTO usage VALUES (CAST(clock_timestamp() AT TIME ZONE 'UTC' AS date), :owner, :tokens)"),
            {"owner": owner, "tokens": tokens},
        )


def test_every_operation_that_is_limited_documents_it(app: Flask, client: FlaskClient) -> None:
    """Its 429 with the headers; and what documents them is limited."""
    document = client.get("/api/openapi.json").get_json()
    documented = {
        f"{method.upper()} {path}": operation["responses"]["429"]["headers"].keys()
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in ("get", "post", "patch", "delete") and "429" in operation["responses"]
    }

    assert all(headers == {"Retry-After", "RateLimit", "RateLimit-Policy"} for headers in documented.values())
    assert {operation.partition("/api/")[2] for operation in documented} >= {"jobs", "batches", "auth/login", "me"}


@pytest.mark.parametrize("knob", [knob for knob in dataclasses.fields(LimitKnobs) if knob.type == "str"])
def test_each_limit_has_a_default_that_can_be_written_as_a_setting(knob: dataclasses.Field[str]) -> None:
    """And can be turned off, in either way."""
    read = product_settings.from_environment({knob.metadata["env"]: str(knob.default)})
    assert re.fullmatch(r"\d+/\d+ (second|minute)", getattr(read, knob.name))
    for off in ("none", "0"):
        assert getattr(product_settings.from_environment({knob.metadata["env"]: off}), knob.name) == ""
