"""Guarded: one POST to an address that somebody has configured, without being led into our own network.

The name is resolved once, all its addresses have to be public, and the connection goes to the very address that was
looked at: a name that answers otherwise a moment later leads nowhere else. HTTPS only, no redirect, no proxy, and the
answer's body is not read. One time limit for all of it, also for a server that sends a byte now and then.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

_PORTS = {"https": 443, "http": 80}
LEAST_SECONDS = 0.1
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Unreachable(Exception):
    """Nothing was answered; its message says why, in a few words that quote nobody."""


@dataclass(frozen=True)
class Answered:
    """What is known of an answer."""

    status: int
    retry_after: str
    """As it was sent; empty: it was not."""


def post(url: str, *, body: bytes, headers: Mapping[str, str], seconds: float, may_be_private: bool) -> Answered:
    """Send it, and wait for the status.

    Args:
        seconds: for all of it.
        may_be_private: plain HTTP and addresses of our own network will do, too.

    Raises:
        Unreachable: it may not be asked, or has not answered.
    """
    parts, ends_at = urlsplit(url), time.monotonic() + seconds
    if parts.scheme not in (("https", "http") if may_be_private else ("https",)) or not parts.hostname:
        raise Unreachable("address refused")
    port = parts.port or _PORTS[parts.scheme]
    try:
        address = _address(parts.hostname, port, may_be_private=may_be_private)
        left = max(LEAST_SECONDS, ends_at - time.monotonic())  # the resolver has limits of its own, and takes its time
        with socket.create_connection((address, port), timeout=left) as plain, _limited(plain, ends_at):
            stream = _secured(plain, parts.hostname) if parts.scheme == "https" else plain
            connection = http.client.HTTPConnection(parts.hostname, port, timeout=seconds)
            connection.sock = stream
            with contextlib.closing(connection):
                target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                connection.request("POST", target, body=body, headers={**headers, "Connection": "close"})
                answer = connection.getresponse()
                return Answered(answer.status, answer.headers.get("Retry-After", ""))
    except (OSError, http.client.HTTPException, ValueError) as error:
        if time.monotonic() >= ends_at:
            raise Unreachable("no answer in time") from None
        raise Unreachable(f"no answer ({type(error).__name__})") from None


def _address(host: str, port: int, *, may_be_private: bool) -> str:
    found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    if not may_be_private and not all(map(is_public, found)):
        raise Unreachable("address refused")
    return min(found, key=lambda each: (":" in each, each))


def is_public(address: str) -> bool:
    """Whether an address is anybody's on the internet, and not one that only this machine or its network means.

    >>> [is_public(each) for each in ("9.9.9.9", "127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fe80::1%eth0")]
    [True, False, False, False, False, False]
    >>> [is_public(each) for each in ("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "100.64.0.1", "224.0.0.1")]
    [False, False, False, False, False]
    """
    found = ipaddress.ip_address(address)
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if found.scope_id:
            return False
    return found.is_global and not found.is_multicast


@functools.cache
def _trusting() -> ssl.SSLContext:
    """Of this process: reading all authorities takes some milliseconds."""
    return ssl.create_default_context()


def _secured(plain: socket.socket, host: str) -> ssl.SSLSocket:
    return _trusting().wrap_socket(plain, server_hostname=host)


@contextlib.contextmanager
def _limited(stream: socket.socket, ends_at: float) -> Iterator[None]:
    """At that time everything on this socket ends, whatever a single read may still wait for."""
    # The descriptor of a secured socket is another one by then, and the plain one's is gone.
    number = socket.socket(fileno=socket.dup(stream.fileno()))

    def shut() -> None:
        with contextlib.suppress(OSError):
            number.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, ends_at - time.monotonic()), shut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        number.close()
