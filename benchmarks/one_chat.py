"""``python -m benchmarks.one_chat``: many who write into one group at once, and what their neighbours notice.

Each writer sends one message after the other and tries none again. Meanwhile a neighbour polls a job, and another
writes into a chat of their own. `--busy 13` starves all of them: so many loops take what they get of the cores.

The exit code is 1 if a message was answered otherwise than with 201 or 503, or the chat does not hold what was.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from benchmarks import machine
from benchmarks.errors import Broken
from benchmarks.people import KEY, Person, people
from benchmarks.product import API, Product
from models import base, chats
from models.base import Session

PAUSE_SECONDS = 0.05
"""Between two requests of a neighbour."""
ALONE_SECONDS = 5.0
SETTLE_SECONDS = 2.0
TIMEOUT_SECONDS = 60.0


@dataclass
class Heard:
    """What was answered."""

    codes: Counter[str] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    """Seconds each answer took."""

    def printed(self) -> str:
        """One line."""
        if len(self.times) < 2:
            return "nothing"
        marks = statistics.quantiles(self.times, n=100)
        codes = ", ".join(f"{code}: {number}" for code, number in sorted(self.codes.items()))
        return f"{codes}; p50 {1000 * marks[49]:.0f}, p95 {1000 * marks[94]:.0f}, max {1000 * max(self.times):.0f} ms"


class Caller:
    """Somebody on a connection of their own."""

    def __init__(self, port: int, person: Person, heard: Heard) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
        self._headers = {"Authorization": f"Bearer {person.token}", "Content-Type": "application/json"}
        self._heard = heard

    def ask(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """Ask, and note what came of it."""
        begun = time.monotonic()
        self._connection.request(method, path, None if body is None else json.dumps(body), self._headers)
        response = self._connection.getresponse()
        answer: dict[str, object] = json.loads(response.read())
        self._heard.times.append(time.monotonic() - begun)
        self._heard.codes[str(answer.get("code", response.status))] += 1
        return answer

    def say(self, chat: str) -> None:
        """A message."""
        said = {"content": "Is anybody there?", "clientMsgId": uuid.uuid4().hex}
        self.ask("POST", f"/api/chats/{chat}/messages", said)


def main() -> int:
    """Returns the exit code."""
    options = _options()
    environment = {"TOKEN_KEY": KEY, "SEND_LIMIT": "none", "API_WORKERS": str(options.workers)}
    with Product(environment=environment) as product:
        product.run_only(API)
        print(f"{machine.described()}, {product.versions()}; loop {machine.loop_milliseconds():.1f} ms")
        base.open_database(product.settings(), name="benchmarks")
        everybody = people(product.settings(), options.writers + 10)
        with _starved(options.busy):
            for number in range(options.rounds):
                _round(product, everybody, options, number=number)
    return 0


def _round(product: Product, everybody: Sequence[Person], options: argparse.Namespace, *, number: int) -> None:
    writers, neighbour = everybody[: options.writers], everybody[-1]
    ids = [each.user_id for each in writers]
    with Session.begin() as session:
        chat = chats.create_group(session, user_id=ids[0], title="Everybody", member_ids=ids[1:], key=KEY)
    job = str(Caller(product.port, neighbour, Heard()).ask("POST", "/api/jobs", {"message": "Hello"})["jobId"])
    time.sleep(SETTLE_SECONDS)
    load = os.getloadavg()[0]
    with _neighbours(product.port, neighbour, job) as alone:
        time.sleep(ALONE_SECONDS)
    heard = [Heard() for _ in writers]
    callers = [Caller(product.port, *each) for each in zip(writers, heard, strict=True)]
    stopwatch = machine.Stopwatch(product.pids)
    with _neighbours(product.port, neighbour, job) as beside, ThreadPoolExecutor(len(callers)) as threads:
        list(threads.map(lambda caller: [caller.say(chat) for _ in range(options.messages)], callers))
    spent = stopwatch.stop()
    codes: Counter[str] = sum((each.codes for each in heard), Counter())
    everything = Heard(codes, list(itertools.chain.from_iterable(each.times for each in heard)))
    ((stored, last),) = product.sql(
        "SELECT (SELECT count(*) FROM messages WHERE chat_id = c.id), last_seq FROM chats AS c WHERE id = %s", chat
    )
    cpu = spent.total("api", "postgres", "valkey") * 1000 / max(1, codes["201"])
    print(f"round {number + 1}: load {load:.1f}, loop {spent.loop_ms:.1f} ms, took {spent.seconds:.1f} s")
    print(f"  writers: {everything.printed()}; {codes['201'] / spent.seconds:.0f} a second, {cpu:.1f} ms of CPU each")
    for what in alone:
        print(f"  {what}, alone:  {alone[what].printed()}")
        print(f"  {what}, beside: {beside[what].printed()}")
    if not codes["201"] <= stored == last:
        raise Broken(f"{codes['201']} accepted, {stored} stored, the last is {last}")


@contextmanager
def _neighbours(port: int, person: Person, job: str) -> Iterator[dict[str, Heard]]:
    """Two who go on asking, and what they have heard."""
    heard = {"poll of a job": Heard(), "message to another chat": Heard()}
    polling, writing = (Caller(port, person, each) for each in heard.values())
    over = threading.Event()

    def poll() -> None:
        while not over.wait(PAUSE_SECONDS):
            polling.ask("GET", f"/api/jobs/{job}")

    def write() -> None:
        while not over.wait(PAUSE_SECONDS):
            writing.say(person.chat)

    threads = [threading.Thread(target=each) for each in (poll, write)]
    for thread in threads:
        thread.start()
    try:
        yield heard
    finally:
        over.set()
        for thread in threads:
            thread.join()


@contextmanager
def _starved(number: int) -> Iterator[None]:
    """With so many loops that never end."""
    with ExitStack() as ends:
        for _ in range(number):
            ends.callback(subprocess.Popen([sys.executable, "-c", "while True: pass"], start_new_session=True).kill)
        yield


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.one_chat", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--writers", type=int, default=40)
    parser.add_argument("--messages", type=int, default=20, help="of each writer")
    parser.add_argument("--busy", type=int, default=0, help="loops that take the cores from everybody else")
    parser.add_argument("--workers", type=int, default=2, help="processes of the api")
    parser.add_argument("--rounds", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
