"""Which other sites' pages may read the API, and that no cookie goes with them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from models.base import Session
from tests.factories import create

LISTED, OTHER = "https://chat.example.com", "https://admin.example.com"
ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
FOREIGN = [
    "https://evil.example",
    "http://chat.example.com",
    "https://chat.example.com:8443",
    "https://chat.example.com.evil.example",
    "https://evil-chat.example.com",
    "https://chat.example.com/",
    "HTTPS://CHAT.EXAMPLE.COM",
    "null",
    "*",
    "",
    "https://chat.example.com, https://evil.example",
]


@pytest.fixture
def shared(make_app: Callable[..., Flask]) -> FlaskClient:
    """Two origins may read it."""
    return make_app(cors_origins=f"{LISTED},{OTHER}").test_client()


def cors_headers(headers: object) -> dict[str, str]:
    return {name: value for name, value in headers if name.startswith("Access-Control")}  # type: ignore[attr-defined]


@pytest.mark.parametrize("origin", [LISTED, OTHER])
def test_a_listed_origin_may_read_answers_and_errors(shared: FlaskClient, origin: str) -> None:
    """With the headers a client needs; without cookies."""
    for path, status in ((f"/api/jobs/{create()}", 200), ("/api/jobs/nonsense", 404), ("/health", 200)):
        response = shared.get(path, headers={"Origin": origin})

        assert response.status_code == status
        assert response.headers["Access-Control-Allow-Origin"] == origin
        assert "Retry-After" in response.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in response.headers
        assert "Origin" in response.vary


@pytest.mark.parametrize("origin", FOREIGN)
def test_an_origin_is_compared_as_a_whole(shared: FlaskClient, origin: str) -> None:
    """Neither a part of it nor another spelling will do; the answer still varies by it."""
    for method in ("GET", "OPTIONS"):
        response = shared.open(f"/api/jobs/{create()}", method=method, headers={"Origin": origin, **ASKED})

        assert cors_headers(response.headers) == {}
        assert "Origin" in response.vary


def test_a_preflight_touches_nothing(shared: FlaskClient) -> None:
    """It carries no credential; no statement is sent, and the route need not exist."""
    statements: list[str] = []
    event.listen(Session.kw["bind"], "before_cursor_execute", lambda *args: statements.append(args[2]))

    for path in ("/api/jobs", "/api/dead-letters/redrive", "/api/nope"):
        response = shared.options(path, headers={"Origin": LISTED, **ASKED})

        assert response.status_code == 204
        assert response.data == b""
        assert response.headers["Access-Control-Allow-Origin"] == LISTED
        assert "POST" in response.headers["Access-Control-Allow-Methods"]
        assert "Authorization" in response.headers["Access-Control-Allow-Headers"]
        assert "*" not in "".join(cors_headers(response.headers).values())
    assert statements == []


def test_pages_and_files_are_not_shared(shared: FlaskClient) -> None:
    """Only the API is."""
    for path in ("/", "/static/index.html", "/nope"):
        with shared.get(path, headers={"Origin": LISTED}) as response:
            assert cors_headers(response.headers) == {}


def test_unless_origins_are_listed_nothing_is_shared(client: FlaskClient) -> None:
    """And no answer varies by an origin."""
    for method in ("GET", "OPTIONS"):
        response = client.open("/health", method=method, headers={"Origin": LISTED, **ASKED})

        assert cors_headers(response.headers) == {}
        assert "Origin" not in response.vary


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:9999", "http://sub.localhost"])
def test_a_cookie_that_another_sites_page_sends_changes_nothing(client: FlaskClient, origin: str) -> None:
    """A sibling domain is the same site: SameSite alone would let it."""
    client.set_cookie("parley_guest", "x" * 43)
    response = client.post("/api/jobs", json={"message": "x"}, headers={"Origin": origin})

    assert (response.status_code, response.get_json()["code"]) == (403, "foreign_origin")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://localhost"},
        {"Origin": "https://parley.example", "Sec-Fetch-Site": "same-origin"},
    ],
)
def test_a_cookie_of_our_own_page_or_of_no_page_is_good(client: FlaskClient, headers: dict[str, str]) -> None:
    """A script has a cookie jar and no origin; a browser says it is the same, whatever a proxy made of Host."""
    client.set_cookie("parley_guest", "x" * 43)

    assert client.post("/api/jobs", json={"message": "x"}, headers=headers).status_code == 201


def test_another_sites_page_may_still_come_without_cookies(client: FlaskClient) -> None:
    """It is then whoever its token says; the browser shows it no answer."""
    assert (
        client.post("/api/jobs", json={"message": "x"}, headers={"Origin": "https://evil.example"}).status_code == 201
    )
