"""``python -m benchmarks.sockets``: what sockets cost, on two gateways: memory each, and how soon messages arrive.

Sockets are opened, each of a user of its own in a room of ten, and left alone. Then messages are said at a rate, over
sockets, in all rooms: from the moment before one is sent until each of the ten has it. That includes the commit, the
word by Redis to the other gateway, and this process's own part, which runs on the same machine.

    --sockets 10000 --rates 100 300 --seconds 60      at length (some minutes; 20,000 open files)
    --table                                           at last the seed's table (`benchmarks.seed_table`)

The exit code is 1 if a message did not reach everybody.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import random
import re
import resource
import statistics
import sys
import time
import urllib.request
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis
from websockets.asyncio.client import ClientConnection, connect

from benchmarks import machine
from benchmarks.errors import Broken
from benchmarks.people import KEY, ROOM, Person, people
from benchmarks.product import Product, eventually
from benchmarks.seed_table import Table
from local import ports
from local.readiness import answers
from models import base
from models.settings import Settings

OPENING = 50
"""Sockets that are opened at once."""
SETTLE_SECONDS = 3.0

_BUCKET = re.compile(r'parley_gateway_delivery_duration_seconds_bucket\{le="(?P<bound>[^"]+)"\} (?P<number>\S+)')


@dataclass(kw_only=True)
class Page:
    """One socket."""

    person: Person
    ws: ClientConnection | None = None


class Crowd:
    """All of them, and what has arrived."""

    def __init__(self, pages: Sequence[Page], listening: Sequence[int]) -> None:
        self._pages, self._listening = pages, itertools.cycle(listening)
        self._tasks: list[asyncio.Task[None]] = []
        self.arrived: list[float] = []
        """Seconds each delivery took."""

    async def open(self) -> None:
        """Connect and sign in everybody."""
        places = asyncio.Semaphore(OPENING)

        async def one(page: Page) -> None:
            async with places:
                address = f"ws://127.0.0.1:{next(self._listening)}/ws"
                page.ws = await connect(address, compression=None, proxy=None, ping_interval=None, open_timeout=60)
                await page.ws.send(json.dumps({"op": "auth", "d": {"token": page.person.token}}))
                while json.loads(await page.ws.recv())["op"] != "hello":
                    pass
            self._tasks.append(asyncio.create_task(self._hear(page.ws)))

        await asyncio.gather(*map(one, self._pages))

    async def _hear(self, ws: ClientConnection) -> None:
        async for said in ws:
            now = time.monotonic()
            if said.startswith('{"op":"message.new"'):  # type: ignore[arg-type]
                self.arrived.append(now - float(json.loads(said)["d"]["content"]))

    async def say(self, *, rate: float, seconds: float) -> int:
        """Say something so many times a second; how often it was."""
        self.arrived.clear()
        begun, said = time.monotonic(), 0
        while (now := time.monotonic()) < begun + seconds:
            while said < (now - begun) * rate:
                page = random.choice(self._pages)
                d = {"content": repr(time.monotonic()), "clientMsgId": uuid.uuid4().hex}
                assert page.ws is not None
                await page.ws.send(json.dumps({"op": "send", "id": said, "chat": page.person.chat, "d": d}))
                said += 1
            await asyncio.sleep(0.002)
        until = time.monotonic() + 10
        while len(self.arrived) < said * ROOM and time.monotonic() < until:  # noqa: ASYNC110 - it may never come
            await asyncio.sleep(0.05)
        return said

    async def close(self) -> None:
        """Go away."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(page.ws.close() for page in self._pages if page.ws), return_exceptions=True)


def main() -> int:
    """Returns the exit code."""
    options = _options()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Product(environment={"SEND_LIMIT": "none", "TOKEN_KEY": KEY}) as product:
        print(f"{machine.described()}, {product.versions()}; loop {machine.loop_milliseconds():.1f} ms")
        try:
            asyncio.run(_measure(product, options))
        except Broken as why:
            print(f"DID NOT WORK: {why}")
            return 1
    return 0


async def _measure(product: Product, options: Any) -> None:
    ours = product.settings()
    base.open_database(ours, name="benchmarks")
    listening = [ports.free_port(), ports.free_port()]
    shown = [ports.free_port(), ports.free_port()]
    gateways = {
        product.start_extra("gateway", GATEWAY_PORT=str(port), METRICS_PORT=str(page)): page
        for port, page in zip(listening, shown, strict=True)
    }
    eventually(lambda: all(answers("127.0.0.1", port) for port in listening), seconds=40.0, what="gateways answer")
    everybody = people(ours, options.sockets + ROOM)
    crowd = Crowd([Page(person=each) for each in everybody[: options.sockets]], listening)
    await asyncio.sleep(SETTLE_SECONDS)
    memory, kept = sum(map(machine.memory_mb, gateways)), _redis_bytes(ours)
    begun = time.monotonic()
    await crowd.open()
    opened = time.monotonic() - begun
    await asyncio.sleep(SETTLE_SECONDS)
    each = (sum(map(machine.memory_mb, gateways)) - memory) * 1024 / options.sockets
    print(
        f"{options.sockets} sockets on two gateways: {each:.1f} KB each, opened in {opened:.1f} s; "
        f"Redis {(_redis_bytes(ours) - kept) / options.sockets / 1024:.2f} KB each, "
        f"{_redis_bytes(ours) / 2**20:.1f} MB in all"
    )
    each_kept = (_redis_bytes(ours) - kept) / options.sockets
    said = arrived = 0
    for rate in options.rates:
        said += await _at(crowd, product, gateways, rate=rate, seconds=options.seconds)
        arrived += len(crowd.arrived)
    ((stored,),) = product.sql("SELECT count(*) FROM messages")
    ledger = f"{said} sent, {stored} stored, {arrived} of {said * ROOM} deliveries: {arrived / said / ROOM:.2%}"
    print(ledger)
    if options.table:
        table = Table(
            product, listening, everybody[-1].chat, [(each.token, each.user_id) for each in everybody[-ROOM:]]
        )
        table.rows |= {"delivered": ledger, "Redis for 10,000 users": f"{(kept + 10_000 * each_kept) / 2**20:.0f} MB"}
        table.write_statements_down()
        await table.measure()
        print(table.printed())
    await crowd.close()


async def _at(crowd: Crowd, product: Product, gateways: Mapping[int, int], *, rate: float, seconds: float) -> int:
    """Args: gateways: the port of each one's metrics, by its pid."""
    pids = {"gateways": list(gateways), **{name: [product.pids[name]] for name in ("postgres", "valkey")}}
    before = {name: sum(map(machine.cpu_seconds, each)) for name, each in pids.items()}
    counted = _delivered(gateways.values())
    said = await crowd.say(rate=rate, seconds=seconds)
    within = {bound: number - counted[bound] for bound, number in _delivered(gateways.values()).items()}
    spent = {name: (sum(map(machine.cpu_seconds, each)) - before[name]) / said * 1000 for name, each in pids.items()}
    marks = statistics.quantiles(crowd.arrived, n=100)
    print(
        f"{rate:g} messages/s for {seconds:g} s: {said} said, {len(crowd.arrived)} of {said * ROOM} arrived; "
        f"p50 {1000 * marks[49]:.1f}, p95 {1000 * marks[94]:.1f}, p99 {1000 * marks[98]:.1f} ms; "
        f"read by a gateway p50 {1000 * _quantile(within, 0.5):.1f}, p95 {1000 * _quantile(within, 0.95):.1f} ms "
        "after it was written; CPU a message: "
        + ", ".join(f"{name} {milliseconds:.2f} ms" for name, milliseconds in spent.items())
    )
    if len(crowd.arrived) != said * ROOM:
        raise Broken("not everybody has got everything")
    return said


def _delivered(pages: Iterable[int]) -> dict[float, int]:
    """How many messages all gateways have read within so many seconds of their being written, by their metrics."""
    found: defaultdict[float, int] = defaultdict(int)
    for port in pages:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as page:
            for line in page.read().decode().splitlines():
                if match := _BUCKET.match(line):
                    found[float(match["bound"])] += int(float(match["number"]))
    return found


def _quantile(within: Mapping[float, int], share: float) -> float:
    """As Prometheus reckons it: evenly spread within a bucket."""
    wanted, (below, before) = share * max(within.values()), (0.0, 0)
    for bound, number in sorted(within.items()):
        if number >= wanted:
            return below if math.isinf(bound) else below + (bound - below) * (wanted - before) / (number - before)
        below, before = bound, number
    return math.nan


def _redis_bytes(ours: Settings) -> int:
    with redis.Redis.from_url(ours.redis_url, socket_timeout=5, socket_connect_timeout=5) as client:
        return int(client.info("memory")["used_memory"])


def _options() -> Any:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sockets", type=int, default=300, help="a multiple of ten")
    parser.add_argument("--rates", type=float, nargs="+", default=[100.0], help="messages a second")
    parser.add_argument("--seconds", type=float, default=5.0, help="at each rate")
    parser.add_argument("--table", action="store_true", help="measure what the seed's table names, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
