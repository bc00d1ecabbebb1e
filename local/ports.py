"""Ports: free ones for the embedded servers, and whether the one asked for can be had."""

from __future__ import annotations

import errno
import random
import socket

LOW, HIGH = 20_000, 32_000


def free_port() -> int:
    """A port of this machine nobody listens on.

    Taken from below the range from which the system gives ports to outgoing connections: a server
    that crashed needs the *same* port again, and no connection may have borrowed it in between.
    """
    # Not from the common generator: whoever seeds that would have several processes draw the same ports.
    for port in random.SystemRandom().sample(range(LOW, HIGH), 200):
        if can_listen("127.0.0.1", port):
            return port
    raise OSError(f"none of 200 ports between {LOW} and {HIGH} is free")


def free_row(host: str, *, after: int, length: int) -> int:
    """The first of so many free ports in a row, some tens after one that is taken: easy to keep apart and to remember.

    The next one will not do: a Parley at the taken port has its gateway there.
    """
    for port in range(after + 10, 2**16 - length, 10):
        if all(can_listen(host, port + more) for more in range(length)):
            return port
    return free_port()


def can_listen(host: str, port: int) -> bool:
    """Whether a server could listen there now. Raises OSError for a host that is not this machine's."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as why:
            if why.errno != errno.EADDRINUSE:
                raise
            return False
    return True
