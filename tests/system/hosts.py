"""Hosts: machines that are network namespaces, on one bridge, and can be cut off from it.

A namespace belongs to the thread that made it, and so do the processes which that thread starts: when it ends, both are
gone. Nothing of this is seen by the machine's own network. Linux only, and as root.
"""

from __future__ import annotations

import ctypes
import os
import pathlib
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
NETWORK: Final = "10.77.0.0/24"
OUTSIDE: Final = "10.77.0.254"
"""Where the bridge is, and whoever is none of the hosts."""
CLONE_NEWNET, CLONE_NEWUTS = 0x40000000, 0x04000000
ESTABLISHED = "01"
"""As the kernel writes it in its table of connections."""


def why_not() -> str:
    """Why there can be no hosts here; empty: there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if missing := [program for program in ("ip", "nginx", "unshare") if not found(program)]:
        return f"not installed: {', '.join(missing)}"
    # Root of a container may lack the right.
    tried = subprocess.run([found("unshare"), "--net", "--uts", "true"], capture_output=True, check=False)
    return tried.stderr.decode().strip()


def found(program: str) -> str:
    """Its path; empty if it is not installed."""
    return shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") or ""


class Host:
    """A machine: a network and a name of its own.

    Args:
        number: last part of its address.
    """

    def __init__(self, name: str, number: int) -> None:
        self.name, self.address = name, f"10.77.0.{number}"
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self.thread_id = 0
        self.thread_id = self.do(self._begin)

    def _begin(self) -> int:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNET | CLONE_NEWUTS) != 0:
            raise OSError(ctypes.get_errno(), f"no namespace for {self.name}")
        socket.sethostname(self.name)
        _ip("link set lo up")
        return threading.get_native_id()

    def do(self, what: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call it there: sockets, threads and processes that it makes are of this host."""
        if threading.get_native_id() == self.thread_id:
            return what(*args, **kwargs)
        return self._thread.submit(what, *args, **kwargs).result()

    def sockets(self, port: int) -> int:
        """How many connections to this port of its own it knows."""
        return self.do(_connections, port)

    def set_kernel(self, settings: dict[str, str]) -> None:
        """Of its network (``net.ipv4.tcp_retries2``)."""
        for name, value in settings.items():
            self.do(pathlib.Path("/proc/sys", name.replace(".", "/")).write_text, value)

    def close(self) -> None:
        """End it, with whatever runs there."""
        self._thread.shutdown()


def _connections(port: int) -> int:
    # Not /proc/net, which is that of the process's first thread.
    rows = pathlib.Path("/proc/thread-self/net/tcp").read_text().splitlines()[1:]
    known = [(row.split()[1].split(":")[1], row.split()[3]) for row in rows]
    return known.count((f"{port:04X}", ESTABLISHED))


class Outside(Host):
    """Where callers are; the bridge that joins the hosts is here too."""

    def __init__(self, *hosts: Host) -> None:
        super().__init__("outside", 254)
        self.do(_ip, "link add lan type bridge", f"addr add {OUTSIDE}/24 dev lan", "link set lan up")
        for host in hosts:
            self.do(
                _ip,
                f"link add to-{host.name} type veth peer name eth0 netns {host.thread_id}",
                f"link set to-{host.name} master lan up",
            )
            host.do(_ip, f"addr add {host.address}/24 dev eth0", "link set eth0 up")

    def cut_off(self, host: Host) -> None:
        """Pull its cable: nothing goes in or out, and nobody is told."""
        self.do(_ip, f"link set to-{host.name} down")

    def join(self, host: Host) -> None:
        """Plug it in again."""
        self.do(_ip, f"link set to-{host.name} up")


def _ip(*commands: str) -> None:
    for command in commands:
        subprocess.run([found("ip"), *command.split()], check=True)
