"""Calls and the lines that serve them: what an abort reaches, and what it must leave alone."""

from __future__ import annotations

import pickle
import socket
import threading
from collections.abc import Iterator

import pytest

from tasks.llm.base import Call, Kind, Line, ProviderError, Usage

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Two ends of one connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def is_shut(sock: socket.socket) -> bool:
    """Whether nothing more can come of it."""
    sock.settimeout(0)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False


def test_an_abort_wakes_a_thread_that_reads(pair: Pair) -> None:
    """A check between chunks never comes to a thread that waits for the first one."""
    ours, _ = pair
    call = Call(seconds=60)
    call.use(ours)
    reader = threading.Thread(target=ours.recv, args=[1])
    reader.start()

    call.abort("lost")

    reader.join(10)
    assert not reader.is_alive()


def test_the_first_reason_stands(pair: Pair) -> None:
    """The watch may find several reasons, one after the other."""
    call = Call(seconds=60)
    call.use(pair[0])

    call.abort("lost")
    call.abort("deadline")

    assert call.aborted == "lost"


def test_an_abort_before_the_connection_shuts_it_at_once(pair: Pair) -> None:
    """Between the claim and the connection there is nothing to shut yet."""
    call = Call(seconds=60)
    call.abort("stopping")

    call.use(pair[0])

    assert is_shut(pair[0])


def test_an_abort_after_the_answer_spares_the_connection(pair: Pair) -> None:
    """It is back in its pool."""
    call = Call(seconds=60)
    call.use(pair[0])
    call.finish()

    call.abort("lost")

    assert not is_shut(pair[0])


def test_an_abort_spares_a_connection_that_serves_another_call(pair: Pair) -> None:
    """Even if the first call never said that it was done with it."""
    line = Line(pair[0])
    first, second = Call(seconds=60), Call(seconds=60)
    first.use(line)
    second.use(line)

    first.abort("lost")
    assert not is_shut(pair[0])

    second.abort("lost")
    assert is_shut(pair[0])


def test_the_end_of_one_call_does_not_take_the_line_from_the_next(pair: Pair) -> None:
    """Both ends of the hand-over may run late."""
    line = Line(pair[0])
    first, second = Call(seconds=60), Call(seconds=60)
    first.use(line)
    second.use(line)

    first.finish()
    second.abort("lost")

    assert is_shut(pair[0])


def test_a_call_may_use_its_connection_twice(pair: Pair) -> None:
    """An old server is asked once more, on the same connection."""
    call = Call(seconds=60)
    line = Line(pair[0])
    call.use(line)
    call.finish()
    call.use(line)

    call.abort("lost")

    assert is_shut(pair[0])


def test_aborting_a_closed_connection_is_harmless(pair: Pair) -> None:
    """The answer and the abort may cross."""
    call = Call(seconds=60)
    call.use(pair[0])
    pair[0].close()

    call.abort("lost")

    assert call.aborted == "lost"


def test_a_call_expires_at_its_deadline() -> None:
    """And has nothing left then, rather than less than nothing."""
    assert Call(seconds=-1).expired()
    assert Call(seconds=-1).seconds_left() == 0
    assert not Call(seconds=60).expired()


@pytest.mark.parametrize(
    ("seconds", "reason", "code"),
    [(60, "lost", "lost"), (60, "deadline", "provider_timeout"), (-1, None, "provider_timeout"), (-1, "lost", "lost")],
)
def test_a_call_says_why_it_has_to_end(seconds: float, reason: str | None, code: str) -> None:
    """Out of time is the provider's fault; every other reason is its own code."""
    call = Call(seconds=seconds)
    if reason:
        call.abort(reason)

    failure = call.failure()

    assert failure is not None
    assert (failure.kind, failure.code) == (Kind.TRANSIENT, code)


def test_a_call_with_time_left_may_go_on() -> None:
    """Nothing speaks against it."""
    assert Call(seconds=60).failure() is None


def test_an_errors_message_is_fit_to_be_shown() -> None:
    """One line, of bounded length, without control characters."""
    error = ProviderError("a\x00b\r\nc\u2028d\ud800" + "x" * 1000, kind=Kind.PERMANENT, code="x")

    assert str(error).startswith("a b c d x")
    assert len(str(error)) == 500


def test_an_error_survives_pickling() -> None:
    """It crosses from a child process to its parent."""
    error = ProviderError("no", kind=Kind.THROTTLED, code="c", retry_after=7.0, usage=Usage(1, 2))

    copy = pickle.loads(pickle.dumps(error))

    assert (str(copy), copy.kind, copy.code, copy.retry_after, copy.usage) == ("no", "throttled", "c", 7.0, Usage(1, 2))


def test_usage_adds_up() -> None:
    """The total is not stored, so it cannot differ."""
    assert Usage(2, 3).total_tokens == 5
