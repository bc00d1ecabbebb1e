"""The network: silence, closed doors and servers that do not even speak HTTP."""

from __future__ import annotations

import contextlib
import gzip
import pathlib
import socket
import threading

import pytest

from tests.fake_llm import FakeLLM
from tests.tasks.llm.conftest import OpenProvider, failure_of, verdict
from tests.tasks.llm.verdicts import CUT, GARBAGE, REJECTED, TIMEOUT, UNREACHABLE, Verdict

FILTERED = b'{"error": {"code": "content_filter"}}'
"""What would be understood if it were unpacked, which could as well be gigabytes."""


@pytest.mark.parametrize("behaviour", [{"hang": "before"}, {"hang": "after"}, {"latency_ms": 5000}])
def test_silence_is_a_timeout(llm: FakeLLM, behaviour: dict[str, object], provider_at: OpenProvider) -> None:
    """Before the headers or after them."""
    llm.script(behaviour)

    assert verdict(failure_of(provider_at(llm.base_url, llm_read_seconds=0.2))) == TIMEOUT


def test_nobody_listening_is_unreachable(llm: FakeLLM, provider_at: OpenProvider) -> None:
    """The port is closed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    assert verdict(failure_of(provider_at(f"http://127.0.0.1:{port}/v1"))) == UNREACHABLE


def test_an_unknown_name_is_unreachable(provider_at: OpenProvider) -> None:
    """Names that end so are promised never to exist."""
    assert verdict(failure_of(provider_at("http://model.invalid/v1"))) == UNREACHABLE


def test_a_server_without_tls_is_unreachable_by_https(provider_at: OpenProvider) -> None:
    """It answers the handshake with an error in HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        provider = provider_at(f"https://127.0.0.1:{server.getsockname()[1]}/v1")
        thread = threading.Thread(target=serve_once, args=[server, b"HTTP/1.1 400 Bad Request\r\n\r\n"])
        thread.start()

        error = failure_of(provider)
        thread.join(10)

    assert verdict(error) == UNREACHABLE


def test_a_certificate_nobody_has_vouched_for_is_unreachable(
    certificate: pathlib.Path, provider_at: OpenProvider
) -> None:
    """It may be anybody's; the prompt and the key stay here."""
    with FakeLLM(cert=certificate) as stranger:
        error = failure_of(provider_at(stranger.base_url))
        asked = stranger.stats()["requests"]

    assert (verdict(error), asked) == (UNREACHABLE, 0)


def test_a_server_that_never_says_a_word_of_tls_is_given_up_as_one_that_never_connects(
    provider_at: OpenProvider,
) -> None:
    """The handshake has the time of connecting, not that of the whole call."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"https://127.0.0.1:{server.getsockname()[1]}/v1"

        error = failure_of(provider_at(address, llm_connect_seconds=0.2, llm_read_seconds=60))

    assert verdict(error) == TIMEOUT


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (b"", UNREACHABLE),
        (b"HTTP/1.1 200 OK\r\ncontent-le", UNREACHABLE),
        (b"+OK POP3 ready\r\n\r\n", GARBAGE),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", CUT),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n" + gzip.compress(b"{}", mtime=0), GARBAGE),
        (b"HTTP/1.1 400 No\r\ncontent-encoding: gzip\r\n\r\n" + gzip.compress(FILTERED, mtime=0), REJECTED),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000, GARBAGE),
    ],
)
def test_a_server_may_break_http_itself(provider_at: OpenProvider, sent: bytes, expected: Verdict) -> None:
    """Hanging up is one thing, speaking another protocol or sending what was not asked for another."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        provider = provider_at(f"http://127.0.0.1:{server.getsockname()[1]}/v1")
        thread = threading.Thread(target=serve_once, args=[server, sent])
        thread.start()

        error = failure_of(provider)
        thread.join(10)

    assert verdict(error) == expected


def serve_once(server: socket.socket, sent: bytes) -> None:
    """Answer whatever the first client asks with just these bytes."""
    connection, _ = server.accept()
    with connection, contextlib.suppress(OSError):  # the client may have hung up by now
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        # Closing before all of the request is read would be a reset.
        while connection.recv(65536):
            pass
