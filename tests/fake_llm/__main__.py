"""Command line of the fake LLM: one flag for each field of `Behaviour`, and where to listen."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import resource
import signal
import ssl
import sys

from tests.fake_llm.behaviour import Behaviour
from tests.fake_llm.server import Connection, Memory


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fake_llm")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--cert", help="PEM file with a certificate and its key: speak TLS")
    parser.add_argument("--until-eof", action="store_true", help="stop when standard input ends, as when a parent dies")
    for field in dataclasses.fields(Behaviour):
        parser.add_argument("--" + field.name.replace("_", "-"))
    return parser.parse_args()


async def _serve(flags: argparse.Namespace) -> None:
    given = {name: value for name, value in vars(flags).items() if value is not None}
    memory = Memory(Behaviour().but(given))
    tls = None
    if flags.cert:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(flags.cert)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(memory), flags.host, flags.port, ssl=tls, backlog=4096)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    if flags.until_eof:
        loop.add_reader(sys.stdin, stopped.set)
    print("listening on", server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    await stopped.wait()


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(_serve(_flags()))


if __name__ == "__main__":
    main()
