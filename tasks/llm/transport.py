"""Transport: keeps HTTP connections for any number of threads and lends each to one of them at a time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore2
import httpx2

from models.settings import SettingRefused
from tasks.llm import wire

KEEPALIVE_SECONDS = 4.0
"""Below the 5 s after which uvicorn and Node hang up: a request must not cross the server's goodbye."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Transport(httpx2.BaseTransport):
    """A stack of one-connection pools, unbounded: the worker's slots bound how many are out at once.

    One pool for all would walk through all its connections twice a request; at
    500 at once that more than doubled the CPU of a call (2.3 against 1.0 ms).
    """

    def __init__(self, *, proxy: httpcore2.Proxy | None = None) -> None:
        self._proxy = proxy
        self._ssl_context = httpcore2.default_ssl_context()
        self._lock = threading.Lock()
        self._idle: deque[tuple[float, httpcore2.ConnectionPool]] = deque()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it on a free connection.

        Raises:
            httpcore2.NetworkError, httpcore2.TimeoutException, httpcore2.ProtocolError, wire.TooMuchSent
        """
        pool = self._borrow()
        try:
            response = pool.handle_request(_request(request))
        except BaseException:
            pool.close()
            raise
        return httpx2.Response(
            response.status,
            headers=_plain_headers(response),
            stream=_Body(response, give_back=lambda: self._give_back(pool)),
            extensions=response.extensions,
        )

    def close(self) -> None:
        """Close the idle connections."""
        with self._lock:
            idle, self._idle = self._idle, deque()
        for _, pool in idle:
            pool.close()

    def _borrow(self) -> httpcore2.ConnectionPool:
        with self._lock:
            if self._idle:
                return self._idle.pop()[1]
        return httpcore2.ConnectionPool(
            proxy=self._proxy,
            ssl_context=self._ssl_context,
            max_connections=1,
            keepalive_expiry=KEEPALIVE_SECONDS,
            network_backend=wire.Backend(),
        )

    def _give_back(self, pool: httpcore2.ConnectionPool) -> None:
        """Keep ``pool`` if its connection is still open, and close those that nobody has needed lately."""
        now = time.monotonic()
        stale = []
        with self._lock:
            if pool.connections:
                self._idle.append((now, pool))
            while self._idle and self._idle[0][0] < now - KEEPALIVE_SECONDS:
                stale.append(self._idle.popleft()[1])
        for old in stale:
            old.close()


class _Body(httpx2.SyncByteStream):
    """The body of an answer; closing it gives the connection back."""

    def __init__(self, response: httpcore2.Response, *, give_back: Callable[[], None]) -> None:
        self._response = response
        self._give_back = give_back

    def __iter__(self) -> Iterator[bytes]:
        yield from self._response.iter_stream()

    def close(self) -> None:
        # First of all, because a moment later the connection may carry another call.
        wire.release()
        self._response.close()
        self._give_back()


def proxy_from_environment(url: str) -> httpcore2.Proxy | None:
    """The proxy that ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` name for ``url``.

    Raises:
        SettingRefused: it is not an ``http://`` proxy.
    """
    target = urlsplit(url)
    if target.hostname in _LOOPBACK or proxy_bypass(target.netloc):
        return None
    proxies = getproxies()
    address = proxies.get(target.scheme) or proxies.get("all")
    if not address:
        return None
    proxy = httpx2.Proxy(address if "://" in address else "http://" + address)
    if proxy.url.scheme != "http":
        raise SettingRefused("HTTPS_PROXY: is no http:// proxy; for example HTTPS_PROXY=http://proxy.internal:3128")
    return httpcore2.Proxy(str(proxy.url), auth=proxy.raw_auth)


def _request(request: httpx2.Request) -> httpcore2.Request:
    url = request.url
    return httpcore2.Request(
        method=request.method,
        url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
        headers=request.headers.raw,
        content=request.stream,
        extensions=request.extensions,
    )


def _plain_headers(response: httpcore2.Response) -> list[tuple[bytes, bytes]]:
    """Without ``Content-Encoding``: we ask for none, and a few bytes that unpack to gigabytes must not be unpacked."""
    return [(name, value) for name, value in response.headers if name.lower() != b"content-encoding"]
