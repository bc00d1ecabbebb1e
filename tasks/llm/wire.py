"""The wire: connections that a `Call` can break, and that no server can keep busy beyond a call's limits.

The SDK knows no total deadline, no size limit and no way to reach a thread that
waits, so all three live below it, where every byte passes: each step on a
connection looks up the `Exchange` of the thread it runs in, and makes the
socket serve that exchange's call.
"""

from __future__ import annotations

import contextlib
import math
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass

import httpcore2

from tasks.llm.base import Call, Line


class TooMuchSent(Exception):
    """The server sent more bytes than any sensible answer has."""


@dataclass(kw_only=True)
class Exchange:
    """What the server may still do within one `reply`."""

    call: Call
    bytes_left: int
    patience: float = math.inf
    """Seconds; longest silence, where that is less than the client's own limit."""

    def timeout(self, wanted: float | None) -> float:
        """Seconds for the next step: ``wanted``, the patience or the deadline, whichever is soonest.

        Raises:
            httpcore2.ReadTimeout: nothing is left of the call.
        """
        left = self.call.seconds_left()
        if not left or self.call.aborted:
            raise httpcore2.ReadTimeout
        return min(left, self.patience, left if wanted is None else wanted)

    def count(self, received: bytes) -> bytes:
        """Take ``received`` off the limit.

        Raises:
            TooMuchSent: there was less left.
        """
        self.bytes_left -= len(received)
        if self.bytes_left < 0:
            raise TooMuchSent
        return received


_exchange: ContextVar[Exchange] = ContextVar("exchange")


@contextlib.contextmanager
def exchange(call: Call, *, max_bytes: int) -> Iterator[Exchange]:
    """Whatever connection this thread uses inside serves ``call``; afterwards none does."""
    current = Exchange(call=call, bytes_left=max_bytes)
    token = _exchange.set(current)
    try:
        yield current
    finally:
        _exchange.reset(token)
        call.finish()


def release() -> None:
    """The answer is complete: the connection goes back into its pool and serves nobody."""
    _exchange.get().call.finish()


class Stream(httpcore2.NetworkStream):
    """A connection that keeps to the exchange it is used in."""

    def __init__(self, sock: socket.socket) -> None:
        self._line = Line(sock)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Whatever has arrived, at most ``max_bytes``; empty at the end."""
        current = self._join()
        with _raising(httpcore2.ReadTimeout, httpcore2.ReadError):
            self._line.socket.settimeout(current.timeout(timeout))
            return current.count(self._line.socket.recv(max_bytes))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        current = self._join()
        rest = memoryview(buffer)
        with _raising(httpcore2.WriteTimeout, httpcore2.WriteError):
            while rest:
                self._line.socket.settimeout(current.timeout(timeout))
                rest = rest[self._line.socket.send(rest) :]

    def connect(self, address: tuple[object, ...], *, seconds: float) -> None:
        """Open the connection; an error closes the stream."""
        current = self._join()
        with _raising(httpcore2.ConnectTimeout, httpcore2.ConnectError, on_error=self.close):
            self._line.socket.settimeout(current.timeout(seconds))
            self._line.socket.connect(address)
            self._line.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        """Shake hands; the call can be aborted meanwhile."""
        current = self._join()
        with _raising(httpcore2.ConnectTimeout, httpcore2.ConnectError, on_error=self.close):
            self._line.socket.settimeout(current.timeout(timeout))
            # wrap_socket() takes the descriptor away from the socket that an
            # abort would shut; during the handshake a duplicate stands in.
            with self._line.replace(self._line.socket.dup()) as plain:
                secure = ssl_context.wrap_socket(plain, server_hostname=server_hostname)
            self._line.replace(secure).close()
        return self

    def close(self) -> None:
        """Hang up."""
        self._line.close()

    def get_extra_info(self, info: str) -> object:
        """Only what decides whether an idle connection can be used again."""
        return self._readable() if info == "is_readable" else None

    def _join(self) -> Exchange:
        current = _exchange.get()
        if not self._line.serves(current.call):
            current.call.use(self._line)
        return current

    def _readable(self) -> bool:
        """Whether anything has arrived. On an idle connection that can only be its end."""
        if self._line.socket.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(self._line.socket, select.POLLIN)
        return bool(poll.poll(0))


class Backend(httpcore2.NetworkBackend):
    """Opens connections that an abort reaches while they are still being opened."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002  (our pools set neither)
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,  # noqa: ARG002
    ) -> httpcore2.NetworkStream:
        """Connect to the first address that answers; each gets an equal share of the time left.

        Looking up the name cannot be interrupted; only the resolver's own limits hold for that.
        """
        until = time.monotonic() + _exchange.get().timeout(timeout)
        with _raising(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        failure: Exception = httpcore2.ConnectError()
        for number, (family, *_, address) in enumerate(addresses):
            stream = Stream(socket.socket(family, socket.SOCK_STREAM))
            try:
                stream.connect(address, seconds=max(0.001, (until - time.monotonic()) / (len(addresses) - number)))
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
            else:
                return stream
        raise failure


@contextlib.contextmanager
def _raising(
    late: type[Exception],
    broken: type[Exception],
    *,
    on_error: Callable[[], None] = lambda: None,
) -> Iterator[None]:
    """Turn what a socket raises into what httpcore expects; what TLS raises is an `OSError`, too."""
    try:
        yield
    except BaseException as error:
        on_error()
        if isinstance(error, OSError):
            raise (late if isinstance(error, TimeoutError) else broken) from error
        raise
