"""Aborts and deadlines: a call ends at once, whatever its server does, and no other call notices."""

from __future__ import annotations

import pathlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tasks.llm.base import Call, Provider, ProviderError
from tests.fake_llm import FakeLLM
from tests.tasks.llm.conftest import OpenProvider, ask, eventually, failure_of

InBackground = Callable[..., Future[Any]]
STALLS: dict[str, dict[str, object]] = {
    "before the headers": {"hang": "before"},
    "after the headers": {"hang": "after"},
    "dripping headers": {"hang": "before", "drip": 20},
    "dripping": {"drip": 20},
    "streaming": {"text": "x" * 100_000, "chunks": 100_000, "chunk_ms": 5},
    "streaming nothing": {"endless": "empty"},
    "thinking": {"latency_ms": 60_000},
}
stalls = pytest.mark.parametrize("stall", list(STALLS.values()), ids=list(STALLS))
SOON_SECONDS = 3.0
"""It takes milliseconds; this only tells it from the 60 s of a stall, on the busiest of machines."""


@pytest.fixture
def in_background() -> Iterator[InBackground]:
    """Runs a function in a thread."""
    with ThreadPoolExecutor(20) as pool:
        yield pool.submit


@stalls
def test_an_abort_ends_a_call(
    llm: FakeLLM, provider_at: OpenProvider, in_background: InBackground, stall: dict[str, object]
) -> None:
    """A cancelled job costs nothing more; a stopping worker does not wait."""
    llm.script(stall)
    provider = provider_at(llm.base_url, llm_read_seconds=60, llm_max_response_bytes=64 * 1024 * 1024)
    call = Call(seconds=60)
    failing = in_background(failure_of, provider, call=call)
    eventually(lambda: llm.stats()["active"] == 1)

    call.abort("lost")
    began = time.monotonic()

    assert failing.result(10).code == "lost"
    assert time.monotonic() - began < SOON_SECONDS
    eventually(lambda: llm.stats()["active"] == 0)


@stalls
def test_a_deadline_ends_a_call_unaided(llm: FakeLLM, provider_at: OpenProvider, stall: dict[str, object]) -> None:
    """Each read may be quick and the whole still endless."""
    llm.script(stall)
    provider = provider_at(llm.base_url, llm_read_seconds=60, llm_max_response_bytes=64 * 1024 * 1024)
    began = time.monotonic()

    error = failure_of(provider, call=Call(seconds=0.5))

    assert error.code == "provider_timeout"
    assert time.monotonic() - began < 0.5 + SOON_SECONDS


def test_an_abort_for_the_deadline_is_a_timeout(llm: FakeLLM, provider: Provider, in_background: InBackground) -> None:
    """Whoever notices first, it is the same failure."""
    llm.script({"hang": "before"})
    call = Call(seconds=60)
    failing = in_background(failure_of, provider, call=call)
    eventually(lambda: llm.stats()["active"] == 1)

    call.abort("deadline")

    assert failing.result(10).code == "provider_timeout"


def test_an_abort_reaches_a_call_that_is_connecting(provider_at: OpenProvider, in_background: InBackground) -> None:
    """A full backlog accepts nobody: the handshake of TCP hangs."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        call = Call(seconds=60)
        provider = provider_at(f"http://127.0.0.1:{server.getsockname()[1]}/v1", llm_connect_seconds=60)
        failing = in_background(failure_of, provider, call=call)
        eventually(lambda: call._line is not None)

        call.abort("lost")

        assert failing.result(10).code == "lost"
        for filler in fillers:
            filler.close()


def test_an_abort_reaches_a_call_that_is_shaking_hands(provider_at: OpenProvider, in_background: InBackground) -> None:
    """The server accepts and then says nothing of TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        call = Call(seconds=60)
        provider = provider_at(f"https://127.0.0.1:{server.getsockname()[1]}/v1", llm_connect_seconds=60)
        failing = in_background(failure_of, provider, call=call)
        connection, _ = server.accept()
        with connection:
            connection.recv(1)  # the handshake has begun

            call.abort("lost")

            assert failing.result(10).code == "lost"


def test_an_abort_of_a_finished_call_spares_the_connection_it_left(llm: FakeLLM, provider: Provider) -> None:
    """The next call has it by now."""
    first = Call(seconds=60)
    ask(provider, call=first)
    connections = llm.stats()["connections"]

    first.abort("lost")

    assert ask(provider).text == "Echo: Hello"
    assert llm.stats()["connections"] == connections + 1  # that of stats()


def test_aborts_never_hit_another_call(llm: FakeLLM, provider: Provider) -> None:
    """Half of many calls are aborted at random moments, on connections that are handed round."""
    llm.script(default={"chunk_ms": 1})
    calls = [Call(seconds=60) for _ in range(200)]

    def one(call: Call) -> str:
        try:
            return ask(provider, call=call).text
        except ProviderError as error:
            return error.code

    def abort_all() -> None:
        for call in calls[::2]:
            call.abort("lost")
            time.sleep(0.001)

    with ThreadPoolExecutor(10) as pool:
        aborting = threading.Thread(target=abort_all)
        aborting.start()
        ends = list(pool.map(one, calls))
        aborting.join()

    assert set(ends[1::2]) == {"Echo: Hello"}
    assert set(ends[::2]) <= {"Echo: Hello", "lost"}


def test_an_abort_of_one_call_leaves_those_beside_it(
    llm: FakeLLM, provider: Provider, in_background: InBackground
) -> None:
    """They share the provider, not the socket."""
    llm.script(default={"latency_ms": 2000})
    calls = [Call(seconds=60) for _ in range(10)]
    asked = [in_background(lambda call=call: ask(provider, call=call)) for call in calls[1:]]
    aborted = in_background(failure_of, provider, call=calls[0])
    eventually(lambda: llm.stats()["active"] == 10)

    calls[0].abort("lost")

    assert aborted.result(10).code == "lost"
    assert [reply.result(10).text for reply in asked] == ["Echo: Hello"] * 9


@pytest.fixture
def tls(certificate: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLLM]:
    """A fake server behind TLS, trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with FakeLLM(cert=certificate) as llm:
        yield llm


def test_tls_answers_and_keeps_its_connection(tls: FakeLLM, provider_at: OpenProvider) -> None:
    """As without."""
    provider = provider_at(tls.base_url)

    replies = [ask(provider).text for _ in range(3)]

    assert replies == ["Echo: Hello"] * 3
    assert tls.stats()["connections"] == 2  # one of them for stats()


@pytest.mark.parametrize("stall", [{"hang": "before"}, {"hang": "after"}, {"drip": 20}])
def test_an_abort_ends_a_call_behind_tls(
    tls: FakeLLM, provider_at: OpenProvider, in_background: InBackground, stall: dict[str, object]
) -> None:
    """The socket is shut beneath the layer that encrypts."""
    tls.script(stall)
    provider = provider_at(tls.base_url, llm_read_seconds=60)
    call = Call(seconds=60)
    failing = in_background(failure_of, provider, call=call)
    eventually(lambda: tls.stats()["active"] == 1)

    call.abort("lost")
    began = time.monotonic()

    assert failing.result(10).code == "lost"
    assert time.monotonic() - began < SOON_SECONDS


def test_a_certificate_nobody_vouches_for_is_refused(certificate: pathlib.Path, provider_at: OpenProvider) -> None:
    """The key would go to whoever answers."""
    with FakeLLM(cert=certificate) as llm:
        assert failure_of(provider_at(llm.base_url)).code == "provider_unreachable"
