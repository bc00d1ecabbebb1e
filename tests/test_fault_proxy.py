"""The fault proxy does to a connection what each of its modes says."""

from __future__ import annotations

import socket
import socketserver
import threading
import time
from collections.abc import Iterator

import pytest

from tests.fault_proxy import FaultProxy


class Echo(socketserver.StreamRequestHandler):
    """Sends each line back."""

    def handle(self) -> None:
        """Until the other side has closed."""
        try:
            for line in self.rfile:
                self.wfile.write(line)
        except ConnectionError:
            return


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    """Before a server that echoes."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        with FaultProxy(server.server_address[1]) as mine:
            yield mine
        server.shutdown()


def connected(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def echo(connection: socket.socket, *, seconds: float = 5) -> bytes:
    connection.settimeout(seconds)
    connection.sendall(b"hello\n")
    return connection.recv(100)


def test_what_is_sent_while_frozen_arrives_when_it_passes_again(proxy: FaultProxy) -> None:
    """On old connections and on those made meanwhile; nobody is told that anything is wrong."""
    with connected(proxy) as old:
        assert echo(old) == b"hello\n"
        proxy.switch("freeze")
        with connected(proxy) as new:
            for connection in (old, new):
                with pytest.raises(TimeoutError):
                    echo(connection, seconds=0.1)

            proxy.switch("pass")
            old.settimeout(5)
            new.settimeout(5)

            assert (old.recv(100), new.recv(100)) == (b"hello\n", b"hello\n")


def test_half_open_connections_stay_dead_and_new_ones_work(proxy: FaultProxy) -> None:
    """As after a firewall forgot them."""
    with connected(proxy) as old:
        assert echo(old) == b"hello\n"
        proxy.switch("half_open")
        with connected(proxy) as new:
            assert echo(new) == b"hello\n"

        proxy.switch("pass")

        with pytest.raises(TimeoutError):
            echo(old, seconds=0.1)


def test_reset_breaks_old_and_new_connections(proxy: FaultProxy) -> None:
    """With an RST, not with a polite end."""
    with connected(proxy) as old:
        assert echo(old) == b"hello\n"
        proxy.switch("reset")

        with pytest.raises(ConnectionResetError):
            old.recv(100)
        with pytest.raises(ConnectionResetError), connected(proxy) as new:
            new.recv(100)


def test_refused_is_refused_until_it_passes_again(proxy: FaultProxy) -> None:
    """On the same port."""
    proxy.switch("refuse")
    with pytest.raises(ConnectionRefusedError):
        connected(proxy)

    proxy.switch("pass")

    with connected(proxy) as connection:
        assert echo(connection) == b"hello\n"


def test_a_delay_holds_each_answer_back(proxy: FaultProxy) -> None:
    """Once for a round trip, not once for each way."""
    with connected(proxy) as connection:
        proxy.switch("delay", delay_ms=200)
        begun = time.monotonic()
        assert echo(connection) == b"hello\n"

        assert time.monotonic() - begun >= 0.2


def test_it_ends_while_everything_is_frozen(proxy: FaultProxy) -> None:
    """Otherwise a test that fails in the middle of an outage would hang."""
    with connected(proxy) as connection:
        echo(connection)
        proxy.switch("freeze")

        proxy.stop()

        with pytest.raises(ConnectionResetError):
            connection.recv(100)
