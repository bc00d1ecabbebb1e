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
