"""API keys: made once, shown once, good for what they say, until they are not."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import text

from models.api_keys import MOST_KEYS, Scope
from models.base import Session
from tests.api.accounts import Person, bearer, notes
from tests.factories import now


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """Where anybody may register."""
    return make_app(registration="open")


def sql(statement: str) -> list[object]:
    with Session.begin() as session:
        result = session.execute(text(statement))
        return list(result.scalars()) if result.returns_rows else []  # type: ignore[attr-defined]


def make(person: Person, **said: object) -> dict[str, Any]:
    response = person.browser.post(
        "/api/me/keys", json={"name": "script", "scopes": ["jobs:read", "jobs:write"], **said}, headers=person.headers
    )
    assert response.status_code == 201, response.get_json()
    made: dict[str, Any] = response.get_json()
    return made


def listed(person: Person) -> list[dict[str, str]]:
    items: list[dict[str, str]] = person.browser.get("/api/me/keys", headers=person.headers).get_json()["items"]
    return items


def test_a_key_is_shown_once_and_kept_as_a_hash(app: Flask) -> None:
    """The list has its prefix, by which one that turns up somewhere can be found again."""
    anna = Person(app)

    made = make(anna)

    assert re.fullmatch(r"parley_[A-Za-z0-9_-]{43}", made["key"])
    assert made["prefix"] == made["key"][:14]
    (shown,) = listed(anna)
    assert shown == {name: value for name, value in made.items() if name != "key"}
    assert made["key"] not in str(sql("SELECT row_to_json(api_keys)::text FROM api_keys"))
    assert notes("key_made") == [(anna.owner, f"key:{made['keyId']}")]


def test_a_key_acts_as_its_user_within_its_scopes(app: Flask) -> None:
    """What it makes is the user's; beyond its scopes it may nothing."""
    anna, client = Person(app), app.test_client()
    writer, reader = make(anna)["key"], make(anna, scopes=["jobs:read"])["key"]

    made = client.post("/api/jobs", json={"message": "Hello"}, headers=bearer(writer))
    read = client.get(f"/api/jobs/{made.get_json()['jobId']}", headers=bearer(reader))
    refused = client.post("/api/jobs", json={"message": "Hello"}, headers=bearer(reader))

    assert (made.status_code, read.status_code) == (201, 200)
    assert sql("SELECT owner FROM jobs") == [anna.owner]
    assert (refused.status_code, refused.get_json()["code"]) == (403, "scope_missing")
    assert client.get("/api/me", headers=bearer(reader)).get_json()["userId"] == anna.id
    assert listed(anna)[0]["lastUsedAt"]


def test_a_revoked_key_is_good_for_nothing_at_once(app: Flask) -> None:
    """It leaves the list; revoking it again finds none, and so does revoking somebody else's."""
    anna, bert, client = Person(app), Person(app, "bert"), app.test_client()
    made, other = make(anna), make(bert)
    address = f"/api/me/keys/{made['keyId']}"
    assert client.get("/api/me", headers=bearer(made["key"])).status_code == 200
    not_hers = client.delete(f"/api/me/keys/{other['keyId']}", headers=anna.headers)

    first, second = (client.delete(address, headers=anna.headers) for _ in range(2))

    assert first.status_code == 204
    for refused in (second, not_hers, client.delete("/api/me/keys/nonsense", headers=anna.headers)):
        assert (refused.status_code, refused.get_json()["code"]) == (404, "key_not_found")
    assert client.get("/api/me", headers=bearer(made["key"])).get_json()["code"] == "invalid_token"
    assert client.get("/api/me", headers=bearer(other["key"])).status_code == 200
    assert listed(anna) == []
    assert notes("key_revoked") == [(anna.owner, f"key:{made['keyId']}")]


def test_a_key_ends_when_it_said_it_would(app: Flask) -> None:
    """And is still listed, so that its owner sees why the script fails."""
    anna = Person(app)
    made = make(anna, expiresAt=(now() + dt.timedelta(days=1)).isoformat())
    sql("UPDATE api_keys SET expires_at = clock_timestamp()")

    refused = app.test_client().get("/api/me", headers=bearer(made["key"]))

    assert refused.get_json()["code"] == "invalid_token"
    assert [key["keyId"] for key in listed(anna)] == [made["keyId"]]


@pytest.mark.parametrize(
    ("said", "pointer", "code"),
    [
        ({"name": ""}, "/name", "invalid_name"),
        ({"name": "x" * 65}, "/name", "invalid_name"),
        ({"name": "a\r\nb"}, "/name", "invalid_name"),
        ({"name": None}, "/name", "wrong_type"),
        ({"scopes": []}, "/scopes", "wrong_length"),
        ({"scopes": ["jobs:read"] * 6}, "/scopes", "wrong_length"),
        ({"scopes": ["jobs:eat"]}, "/scopes/0", "unknown_scope"),
        ({"scopes": "jobs:read"}, "/scopes", "wrong_type"),
        ({"expiresAt": "2001-01-01T00:00:00Z"}, "/expiresAt", "in_the_past"),
        ({"expiresAt": "2999-01-01T00:00:00Z"}, "/expiresAt", "too_far_ahead"),
        ({"expiresAt": "2030-01-01T00:00:00"}, "/expiresAt", "time_zone_missing"),
        ({"expiresAt": "soon"}, "/expiresAt", "invalid_time"),
        ({"key": "mine"}, "/key", "unknown_field"),
    ],
)
def test_a_key_that_cannot_be_is_refused(app: Flask, said: dict[str, object], pointer: str, code: str) -> None:
    """By the field that is to blame."""
    anna = Person(app)

    refused = anna.browser.post(
        "/api/me/keys", json={"name": "script", "scopes": ["jobs:read"], **said}, headers=anna.headers
    )

    assert refused.status_code == 422
    assert (pointer, code) in [(error["pointer"], error["code"]) for error in refused.get_json()["errors"]]
    assert listed(anna) == []


def test_scopes_are_kept_once_each(app: Flask) -> None:
    """In an order that does not depend on who wrote them down."""
    made = make(Person(app), scopes=["jobs:write", "jobs:read", "jobs:write"])

    assert made["scopes"] == ["jobs:read", "jobs:write"]


def test_a_key_for_operators_is_made_by_operators_only(app: Flask) -> None:
    """One made earlier must not become mighty with its user's next role."""
    anna, bert, client = Person(app), Person(app, "bert").has("operator"), app.test_client()

    refused = anna.browser.post("/api/me/keys", json={"name": "x", "scopes": [Scope.ADMIN]}, headers=anna.headers)
    key = make(bert, scopes=["admin"])["key"]

    assert (refused.status_code, refused.get_json()["code"]) == (403, "scope_refused")
    assert client.get("/api/dead-letters", headers=bearer(key)).status_code == 200
    assert client.get("/api/users", headers=bearer(key)).get_json()["code"] == "forbidden"


def test_nobody_has_more_than_fifty_keys(app: Flask) -> None:
    """Revoking one makes room."""
    anna = Person(app)
    made = [make(anna) for _ in range(MOST_KEYS)]

    refused = anna.browser.post("/api/me/keys", json={"name": "x", "scopes": ["jobs:read"]}, headers=anna.headers)
    anna.browser.delete(f"/api/me/keys/{made[0]['keyId']}", headers=anna.headers)

    assert (refused.status_code, refused.get_json()["code"]) == (409, "too_many_keys")
    assert make(anna)
