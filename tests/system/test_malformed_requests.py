"""What never becomes a request: answered with our headers, logged once, and not repeated anywhere."""

from __future__ import annotations

import contextlib
import json
import socket

import pytest

from tests.api.test_headers import SNAPSHOT
from tests.system.stack import Stack, eventually

pytestmark = pytest.mark.xdist_group("people")
CANARY = "kanarienvogel"


def spoken(stack: Stack, request: bytes) -> tuple[int, dict[str, str], dict[str, object]]:
    """Status, headers and body of what comes back for these bytes."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        with contextlib.suppress(ConnectionResetError):  # what was not read of the request ends it so
            while chunk := connection.recv(65536):
                answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split(" ")[1]), dict(line.split(": ", 1) for line in lines), json.loads(body)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /kanarienvogel HTTP/9.9\r\n\r\n", 400),
        (b"kanarienvogel\r\n\r\n", 400),
        (b"GET /?token=kanarienvogel<script> HTTP/1.1 x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nAuthorization : Bearer kanarienvogel\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nAuthorization: Bearer kanarien\x00vogel\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nCookie: a=1\r\n kanarienvogel\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: \x1b[31m\rkanarienvogel\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"X-kanarienvogel: 1\r\n" * 200 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nX: " + b"kanarienvogel" * 640 + b"\r\n\r\n", 431),
        (b"GET /" + b"kanarienvogel" * 330 + b" HTTP/1.1\r\n\r\n", 414),
        (b"POST /api/jobs HTTP/1.1\r\nTransfer-Encoding: kanarienvogel\r\n\r\n", 501),
        (b"POST /api/jobs HTTP/1.1\r\nContent-Length: kanarienvogel\r\n\r\n", 400),
    ],
)
def test_a_malformed_request_is_refused_with_the_headers_and_without_its_words(
    stack: Stack, request_: bytes, status: int
) -> None:
    """Gunicorn's own page and its log line would repeat them."""
    log = stack.folder / "api.log"
    before = log.read_bytes().count(b"request_malformed")

    answered, headers, body = spoken(stack, request_)

    assert answered == status
    policy, expected = headers["Content-Security-Policy"], SNAPSHOT["Content-Security-Policy"]
    assert headers.items() >= {**SNAPSHOT, "Content-Security-Policy": policy}.items()
    # Whoever could not be understood has named no host, and so no gateway.
    assert policy == expected.replace(" ws://localhost:8001", "")
    assert (headers["Content-Type"], headers["Cache-Control"]) == ("application/problem+json", "no-store")
    assert body["status"] == status
    assert CANARY not in json.dumps(body)
    eventually(lambda: log.read_bytes().count(b"request_malformed") == before + 1)
    assert b"kanarien" not in log.read_bytes()
