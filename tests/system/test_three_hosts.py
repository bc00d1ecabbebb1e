"""A host is cut off under load and comes back: nothing is lost, callers that try again are served, pages move over."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest

from tests.system import hosts, outages
from tests.system.hosts import Host
from tests.system.outages import all_completed
from tests.system.stack import OPERATOR, Stack, eventually
from tests.system.test_gateways import CAUGHT_UP_SECONDS, Page
from tests.system.test_rolling_restart import Clients
from tests.system.three_hosts import API_PORT, FRONT_PORT, GATEWAY_PORT, ThreeHosts

pytestmark = [
    pytest.mark.xdist_group("hosts"),
    pytest.mark.timeout(300),
    pytest.mark.outage,
    pytest.mark.skipif(bool(hosts.why_not()), reason=hosts.why_not()),
]
PAGES, SPEAKING = 6, 2
"""So at each gateway there is a page that says nothing: what is sent to a host that has vanished tells that it has."""
BEFORE = 40
"""Jobs accepted before the host is cut off, and again before it comes back."""
SPEAKING_SECONDS = 0.1


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ThreeHosts]:
    """Running, on two hosts and a third."""
    mine = ThreeHosts(tmp_path_factory.mktemp("hosts"))
    try:
        mine.start(REGISTRATION="open", **outages.OWN_TIMES)
        yield mine
    finally:
        mine.close()


class Room:
    """``with Room(front) as room``: pages of one chat, in which some speak in turn, until the block ends."""

    def __init__(self, front: Stack) -> None:
        self._front, self.ledger = front, Counter[str]()
        people = [self._register(f"person{number}") for number in range(PAGES)]
        others = [person["user"]["userId"] for person in people[1:]]
        chat = self._as(people[0], "POST", "/api/chats", {"type": "group", "title": "Room", "members": others})
        self.chat = str(chat["chatId"])
        tokens = [str(person["accessToken"]) for person in people]
        self.pages = [Page([FRONT_PORT], token, self.chat, self.ledger) for token in tokens]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()))

    def _register(self, name: str) -> dict[str, Any]:
        body = {"username": name, "password": "correct horse battery staple"}
        status, person = self._front.request("POST", "/api/auth/register", body)
        assert status == 201, person
        return person

    def _as(self, person: dict[str, Any], method: str, path: str, body: object = None) -> dict[str, Any]:
        return self._front.request(method, path, body, Authorization=f"Bearer {person['accessToken']}")[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(60)

    async def _live(self) -> None:
        living = [asyncio.create_task(page.live()) for page in self.pages]
        for number, page in enumerate(itertools.cycle(self.pages[:SPEAKING])):
            if self._ended.is_set():
                break
            await page.post(f"m{number}")
            self.ledger["said"] += 1
            await asyncio.sleep(SPEAKING_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CAUGHT_UP_SECONDS):
                while not self.agree():  # noqa: ASYNC110  it is asked of a database
                    await asyncio.sleep(0.2)
        for task in living:
            task.cancel()
        await asyncio.gather(*living, return_exceptions=True)

    def stored(self) -> list[tuple[int, str, int]]:
        """What the database has."""
        rows = self._front.sql(
            "SELECT seq, content, change_seq FROM messages WHERE chat_id::text = %s ORDER BY seq", self.chat
        )
        return [(row["seq"], row["content"], row["change_seq"]) for row in rows]

    def agree(self) -> bool:
        """Whether everything said was acknowledged, and each page shows what is stored."""
        return all(page.is_done for page in self.pages) and all(page.has() == self.stored() for page in self.pages)


def test_a_host_that_is_cut_off_takes_nothing_with_it(site: ThreeHosts) -> None:
    """Two of each process, on two hosts; PostgreSQL and Valkey on a third."""
    site.outside.do(story, site)


def story(site: ThreeHosts) -> None:
    """As seen by callers, who know one address."""
    front = site.front
    with Room(front) as room, Clients(front, (FRONT_PORT,)) as clients:
        eventually(lambda: site.ada.sockets(GATEWAY_PORT) == site.bob.sockets(GATEWAY_PORT) == PAGES // 2)
        eventually(lambda: len(clients.accepted) > BEFORE)
        long = long_jobs(front, site.ada)

        site.outside.cut_off(site.ada)
        cut_at, lost = time.monotonic(), asked_by(front, site.ada) & set(long)
        moved, worked = seconds_until(
            lambda: site.bob.sockets(GATEWAY_PORT) == PAGES, lambda: have_completed(front, long), since=cut_at
        )
        accepted = len(clients.accepted)
        eventually(lambda: len(clients.accepted) > accepted + BEFORE)

        site.outside.join(site.ada)
        joined_at, known = time.monotonic(), len(site.upstreams())
        eventually(lambda: any(answered_by(site.ada, line) for line in site.upstreams()[known:]))
        eventually(lambda: is_whole(site, site.ada))
        back = time.monotonic() - joined_at
    jobs = {*clients.accepted, *long}
    all_completed(front, list(jobs))

    statuses = [line.split()[2] for line in site.upstreams() if line.startswith("POST /api/jobs ")]
    refused = [status for status in statuses if status in ("502", "504")]
    told: dict[str, float | str] = {
        "jobs": f"{len(jobs)}, failed {len(clients.failed)}, answered 502 or 504 and sent again {len(refused)}",
        "slowest POST": max(clients.waits),
        "attempts lost": f"{len(lost)}, their jobs done after {worked:.1f} s",
        "messages": f"{room.ledger['said']}, all pages on the other host after {moved:.1f} s",
        "back at work after": back,
    }
    outages.report("A host of two cut off", **told)
    assert clients.failed == []
    assert {row["id"] for row in front.sql("SELECT id::text FROM jobs")} == jobs
    assert len(jobs) == len(clients.accepted) + len(long)
    assert lost <= {row["id"] for row in front.sql("SELECT job_id::text AS id FROM attempts WHERE outcome = 'lost'")}
    assert room.agree()
    assert len(room.stored()) == room.ledger["said"]
    assert broken(front) == []


def seconds_until(*looks: Callable[[], bool], since: float) -> list[float]:
    """When each was first true, in seconds of the monotonic clock."""
    seen: dict[int, float] = {}

    def all_seen() -> bool:
        for number, look in enumerate(looks):
            if number not in seen and look():
                seen[number] = time.monotonic() - since
        return len(seen) == len(looks)

    eventually(all_seen)
    return [seen[number] for number in range(len(looks))]


def have_completed(front: Stack, ids: list[str]) -> bool:
    """Whether these jobs have."""
    done = front.sql("SELECT id FROM jobs WHERE id::text = ANY(%s) AND status = 'completed'", ids)
    return len(done) == len(ids)


def long_jobs(front: Stack, host: Host) -> list[str]:
    """Jobs that take their time, until the worker there has some of them."""
    made: list[str] = []

    def has_some() -> bool:
        made.append(front.create(f"[[latency-ms=1500]] Long {len(made)}"))
        return bool(asked_by(front, host) & set(made))

    eventually(has_some)
    return made


def asked_by(front: Stack, host: Host) -> set[str]:
    """Jobs whose model the worker there is asking."""
    rows = front.sql(
        "SELECT id::text FROM jobs WHERE status = 'analyzing' AND split_part(leased_by, ':', 1) = %s", host.name
    )
    return {row["id"] for row in rows}


def answered_by(host: Host, line: str) -> bool:
    """Whether this line of nginx tells of a request that the api there has served."""
    return line.endswith(f" 201 {host.address}:{API_PORT} 201")


def is_whole(site: ThreeHosts, host: Host) -> bool:
    """Whether PostgreSQL has just heard of a dispatcher and a worker there. What has ended is started again."""
    site.revive()
    rows = site.front.sql(
        "SELECT kind FROM heartbeats"
        " WHERE seen_at > clock_timestamp() - interval '2 s' AND split_part(instance, ':', 1) = %s",
        host.name,
    )
    return {row["kind"] for row in rows} == {"dispatcher", "worker"}


def broken(front: Stack) -> list[dict[str, Any]]:
    """Invariants that are not known to hold."""
    body = front.request("GET", "/api/invariants", Authorization=f"Bearer {OPERATOR}")[1]
    return [one for one in body["checked"] if one["count"] != 0]
