"""The headers of every answer: each route as nobody, as the operator, each kind of error, each kind of body."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.wrappers import Response

from tests.factories import create

# Written out on purpose: a test that read the constant would agree with any change of it.
SNAPSHOT = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self' ws://localhost:8001; font-src 'self'; manifest-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "accelerometer=(), browsing-topics=(), camera=(), display-capture=(), geolocation=(), "
    "gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=()",
}
STRICT = "max-age=31536000; includeSubDomains"
SOME_ID = "46bedf00-6eee-4cd8-a948-ccd3065cdc9a"


def carries_all(response: Response) -> bool:
    """Each header of the snapshot, once, and an id."""
    for name, value in SNAPSHOT.items():
        assert response.headers.getlist(name) == [value], name
    assert len(response.headers.getlist("X-Request-Id")) == 1
    assert "unsafe" not in response.headers["Content-Security-Policy"]
    assert "Server" not in response.headers
    assert "X-Powered-By" not in response.headers
    return True


def every_request(app: Flask) -> Iterator[tuple[str, str]]:
    """Each method of each route, ids filled in."""
    for rule in app.url_map.iter_rules():
        path = rule.rule.replace("<path:filename>", "index.html")
        for argument in rule.arguments - {"filename"}:
            path = path.replace(f"<string:{argument}>", SOME_ID).replace(f"<{argument}>", SOME_ID)
        yield from ((method, path) for method in sorted(rule.methods or ()))


def test_every_route_carries_the_headers_whoever_asks(
    app: Flask, client: FlaskClient, operator: dict[str, str]
) -> None:
    """With and without a credential, so that refusals are among the answers."""
    asked = list(every_request(app))

    for method, path in asked:
        for headers in ({}, operator, {"Authorization": "Bearer nonsense"}):
            with client.open(path, method=method, headers=headers) as response:
                assert carries_all(response), (method, path)
                assert "Strict-Transport-Security" not in response.headers
                if path.startswith(("/api/", "/health", "/chat")) and path not in ("/api/docs", "/api/openapi.json"):
                    assert response.headers["Cache-Control"] == "no-store", (method, path)
    assert len(asked) > 60


@pytest.mark.parametrize(
    ("method", "path", "extra", "status"),
    [
        ("GET", "/nope", {}, 404),
        ("GET", "/static/nope.js", {}, 404),
        ("GET", f"/api/jobs/{SOME_ID}", {}, 404),
        ("PUT", "/api/jobs", {}, 405),
        ("POST", "/api/jobs", {"data": b"{"}, 415),
        ("POST", "/api/jobs", {"data": b"{", "content_type": "application/json"}, 400),
        ("POST", "/api/jobs", {"json": {}}, 422),
        ("POST", "/api/jobs", {"data": b"x" * (256 * 1024 + 1)}, 413),
        ("GET", "/api/dead-letters", {}, 401),
        ("GET", "/api/dead-letters", {"headers": {"Authorization": "Bearer nonsense"}}, 401),
        ("TRACE", "/api/jobs", {}, 405),
        ("TRACE", "/", {"headers": {"Authorization": "Bearer nonsense"}}, 405),
        ("OPTIONS", "/api/jobs", {}, 200),
        ("HEAD", "/", {}, 200),
    ],
)
def test_each_kind_of_error_carries_the_headers(
    client: FlaskClient, method: str, path: str, extra: dict[str, object], status: int
) -> None:
    """An error page is a page, too."""
    with client.open(path, method=method, **extra) as response:  # type: ignore[arg-type]
        assert response.status_code == status
        assert carries_all(response)


def test_a_crash_and_an_outage_carry_the_headers(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nobody thought of it."""
    app = make_app(database_url="postgresql+psycopg2://nobody@127.0.0.1:1/nothing")
    monkeypatch.setitem(app.view_functions, "health.health", lambda: 1 / 0)

    for path, status in (("/health", 500), (f"/api/jobs/{SOME_ID}", 503)):
        response = app.test_client().get(path)
        assert response.status_code == status
        assert carries_all(response)


def test_an_answer_without_a_body_carries_the_headers(client: FlaskClient) -> None:
    """304 of a job and of a file."""
    path = f"/api/jobs/{create()}"
    for address in (path, "/static/index.html"):
        with client.get(address) as first:
            etag = first.headers["ETag"]
        with client.get(address, headers={"If-None-Match": etag}) as again:
            assert again.status_code == 304
            assert carries_all(again)


def test_a_stream_carries_the_headers(client: FlaskClient) -> None:
    """Server-sent events are an answer, too."""
    job_id = create()
    client.delete(f"/api/jobs/{job_id}")

    with client.get(f"/api/jobs/{job_id}/events") as stream:
        assert stream.mimetype == "text/event-stream"
        assert carries_all(stream)


def test_encryption_is_demanded_for_a_year_once_it_is_there(client: FlaskClient) -> None:
    """Over plain HTTP in development it would lock http://localhost out."""
    assert client.get("/health", base_url="https://localhost").headers["Strict-Transport-Security"] == STRICT
    assert "Strict-Transport-Security" not in client.get("/health").headers


def test_production_demands_encryption_whatever_the_request_looked_like(make_app: Callable[..., Flask]) -> None:
    """A proxy in front ends TLS and speaks plain HTTP to us."""
    client = make_app(environment="production").test_client()

    for path in ("/health", "/nope", "/static/nope", f"/api/jobs/{SOME_ID}"):
        assert client.get(path).headers["Strict-Transport-Security"] == STRICT


@pytest.mark.parametrize("name", ["X-Request-Id", "User-Agent", "Idempotency-Key", "Prefer", "Authorization"])
@pytest.mark.parametrize("value", ["\x1b[31mred", "a" * 10_000, "\u202eevil", "%0d%0aSet-Cookie: x=1"])
def test_nothing_a_header_says_comes_back_in_a_header(client: FlaskClient, name: str, value: str) -> None:
    """Not as a header of its own, and not as it came."""
    sent = value.encode().decode("latin-1")
    response = client.get(f"/api/jobs/{SOME_ID}", headers={name: sent})

    assert response.status_code in (400, 401, 404)
    assert "Set-Cookie" not in response.headers
    assert all(sent not in shown for shown in response.headers.values())


@pytest.mark.parametrize(
    ("host", "settings", "gateway"),
    [
        ("chat.example.com:8000", {}, "ws://chat.example.com:8001/ws"),
        ("[::1]:8000", {}, "ws://[::1]:8001/ws"),
        ("chat.example.com", {"gateway_url": "/ws"}, "ws://chat.example.com/ws"),
        ("chat.example.com", {"gateway_url": "wss://live.example.com/ws"}, "wss://live.example.com/ws"),
        ("chat.example.com", {"gateway_url": "none"}, None),
        ("a.example; script-src *", {}, None),
        ("a.example *", {"gateway_url": "/ws"}, None),
    ],
)
def test_pages_learn_where_the_gateway_is_and_may_connect_there(
    make_app: Callable[..., Flask], host: str, settings: dict[str, str], gateway: str | None
) -> None:
    """At the host they know, unless a setting says otherwise; a host that is none adds nothing to the policy."""
    client = make_app(**settings).test_client()

    answer = client.get("/api/config", headers={"Host": host})

    (connect,) = [
        part
        for part in answer.headers["Content-Security-Policy"].split("; ")
        if part.startswith("connect-src") or "*" in part
    ]
    assert answer.get_json() == {"gatewayUrl": gateway}
    assert connect == "connect-src 'self'" + (f" {gateway.removesuffix('/ws')}" if gateway else "")
