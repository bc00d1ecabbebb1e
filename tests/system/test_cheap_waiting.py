"""Waiting for a job without polling, on real processes, with a Valkey that can be taken away."""

from __future__ import annotations

import http.client
import json
import pathlib
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psutil
import pytest
import redis

import local.valkey
from local import programs
from local.embedded import RunningServer
from tests.conftest import Servers
from tests.fake_llm import FakeLLM
from tests.system.stack import Stack, eventually

pytestmark = pytest.mark.xdist_group("people")
SLOW_TALK = "[[chunks=8]] [[chunk-ms=250]] [[text=One two three four five six seven eight.]]"
UNHEARD_SECONDS = 3 + 12.0
"""The model's time, and the longest that nobody asks PostgreSQL instead."""
SETTINGS = {"LLM_TOTAL_SECONDS": "20", "STOP_GRACE_SECONDS": "20", "RETRY_BASE_SECONDS": "0.05"}


class Broker:
    """A Valkey of this module's own."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._server: RunningServer = local.valkey.start(folder, durable=False)
        self._process: subprocess.Popen[bytes] = self._server.process
        self.url = self._server.url

    def freeze(self) -> None:
        """From now on connections are taken, and nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on where it was."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """From now on connections are refused."""
        self._process.kill()
        self._process.wait(10)

    def erase(self) -> None:
        """Forget everything."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def start(self) -> None:
        """Again, empty."""
        self._process = programs.spawn(self._server.program, log=self._folder / "valkey.log")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Runs while no test has stopped it."""
    mine = Broker(tmp_path_factory.mktemp("broker"))
    yield mine
    mine.stop()


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, worker_id: str, llm: FakeLLM, broker: Broker) -> Iterator[Stack]:
    """The product on that Valkey."""
    servers = Servers(worker_id, purpose="_system")
    environment = {"LLM_BASE_URL": llm.base_url, **SETTINGS, "REDIS_URL": broker.url}
    with Stack(tmp_path_factory.mktemp("stack"), servers, environment).running() as mine:
        yield mine
    servers.drop()


@dataclass(frozen=True)
class Answer:
    """Of one GET."""

    status: int
    headers: dict[str, str]
    job: dict[str, Any]
    seconds: float


def get(stack: Stack, job_id: str, **headers: str) -> Answer:
    """Ask for a job. Header names are written with ``_``."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=70)
    begun_at = time.monotonic()
    try:
        connection.request("GET", f"/api/jobs/{job_id}", headers={k.replace("_", "-"): v for k, v in headers.items()})
        response = connection.getresponse()
        body = response.read()
        job = json.loads(body) if body else {}
        return Answer(response.status, dict(response.getheaders()), job, time.monotonic() - begun_at)
    finally:
        connection.close()


class Asking:
    """Requests under way."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._threads = ThreadPoolExecutor(8)

    def get(self, job_id: str, **headers: str) -> Future[Answer]:
        """Begin to ask; returns when the request has been taken in."""
        return self._threads.submit(get, self._stack, job_id, **headers)


@pytest.fixture
def asking(stack: Stack) -> Iterator[Asking]:
    """Ends with its requests."""
    mine = Asking(stack)
    yield mine
    mine._threads.shutdown(wait=True)


class Events:
    """A client of server-sent events."""

    def __init__(self, stack: Stack, job_id: str, *, last: str | None = None) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=20)
        headers = {} if last is None else {"Last-Event-ID": last}
        self._connection.request("GET", f"/api/jobs/{job_id}/events", headers=headers)
        self.response = self._connection.getresponse()

    def __iter__(self) -> Iterator[tuple[str, dict[str, Any], str]]:
        """Name, body and id of each event, until the stream ends."""
        fields: dict[str, str] = {}
        for line in self.response:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                fields[name] = value
                continue
            if "event" in fields:
                yield fields["event"], json.loads(fields["data"]), fields["id"]
            fields = {}
        self.close()

    def close(self) -> None:
        """Hang up, wherever the server is."""
        self.response.close()
        self._connection.close()


def test_one_waiting_get_sees_the_end_of_a_job(stack: Stack) -> None:
    """POST and GET: two requests for a job, however long it takes."""
    job_id = stack.create("[[latency-ms=800]] Wait for me")

    answer = get(stack, job_id, Prefer="wait=30")

    assert (answer.status, answer.job["status"], answer.headers["Preference-Applied"]) == (200, "completed", "wait=30")
    assert answer.seconds < 10


def test_first_a_change_then_304(stack: Stack, llm: FakeLLM) -> None:
    """With If-None-Match the first change answers, whatever it is, and nothing new is 304 when the time is up."""
    job_id = stack.create("[[latency-ms=2500]] Change")
    created = get(stack, job_id)
    changed = get(stack, job_id, Prefer="wait=10", If_None_Match=created.headers["ETag"])
    eventually(lambda: stack.job(job_id)["status"] == "analyzing")
    analyzing = get(stack, job_id)

    unchanged = get(stack, job_id, Prefer="wait=1", If_None_Match=analyzing.headers["ETag"])
    finished = get(stack, job_id, Prefer="wait=10", If_None_Match=analyzing.headers["ETag"])

    assert (changed.status, changed.headers["ETag"] != created.headers["ETag"]) == (200, True)
    assert (unchanged.status, unchanged.job, unchanged.headers["ETag"]) == (304, {}, analyzing.headers["ETag"])
    assert (finished.status, finished.job["status"]) == (200, "completed")


def parked(stack: Stack, count: int) -> bool:
    """Whether so many connections to the api are open; a request that is parked keeps its own."""
    [api] = stack.of("api")
    connections = [each for process in psutil.Process(api.pid).children() for each in process.net_connections("tcp")]
    return sum(each.status == "ESTABLISHED" and each.laddr.port == stack.port for each in connections) >= count


def test_hundreds_park_and_wake_at_once(stack: Stack) -> None:
    """All are answered, and the api takes other requests meanwhile."""
    job_id = stack.create("[[latency-ms=3000]] Many wait")
    request = f"GET /api/jobs/{job_id} HTTP/1.1\r\nHost: x\r\nPrefer: wait=30\r\n\r\n".encode()
    sockets = [socket.create_connection(("127.0.0.1", stack.port), timeout=20) for _ in range(300)]
    for each in sockets:
        each.sendall(request)

    meanwhile = stack.job(job_id)["status"]
    answers = [http_answer(each) for each in sockets]

    assert meanwhile in ("created", "processing", "analyzing")
    assert [(status, job["status"]) for status, job in answers] == [(200, "completed")] * 300


def http_answer(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """Status and body of the answer on this connection, which is closed."""
    with connection:
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status, json.loads(response.read())


def test_a_client_that_hangs_up_while_parked_harms_nobody(stack: Stack) -> None:
    """Its place is empty when it has been woken."""
    job_id = stack.create("[[latency-ms=1500]] Gone")
    with socket.create_connection(("127.0.0.1", stack.port)) as leaving:
        leaving.sendall(f"GET /api/jobs/{job_id} HTTP/1.1\r\nHost: x\r\nPrefer: wait=30\r\n\r\n".encode())

    answer = get(stack, job_id, Prefer="wait=30")

    assert answer.job["status"] == "completed"
    assert "Traceback" not in (stack.folder / "api.log").read_text()


def test_a_finished_and_an_unknown_job_are_answered_at_once(stack: Stack) -> None:
    """There is nothing to wait for."""
    job_id = stack.create("Done")
    stack.finished(job_id)
    etag = get(stack, job_id).headers["ETag"]

    finished = get(stack, job_id, Prefer="wait=30")
    same = get(stack, job_id, Prefer="wait=30", If_None_Match=etag)
    unknown = get(stack, "00000000-0000-4000-8000-000000000000", Prefer="wait=30")

    assert [finished.status, same.status, unknown.status] == [200, 304, 404]
    assert max(finished.seconds, same.seconds, unknown.seconds) < 10


def test_a_job_can_be_watched_word_by_word(stack: Stack) -> None:
    """Text comes while the model still speaks, and is the whole reply when put together."""
    job_id = stack.create(SLOW_TALK)
    events = list(Events(stack, job_id))

    statuses = [body["status"] for name, body, _ in events if name == "status"]
    texts = [body["text"] for name, body, _ in events if name == "text"]
    final = events[-1][1]

    assert statuses[-2:] == ["analyzing", "completed"]
    assert len(texts) > 2
    assert "".join(texts) == final["result"] == "One two three four five six seven eight."


def test_a_watcher_that_was_cut_off_goes_on_where_it_was(stack: Stack) -> None:
    """By the id of its last event alone; afterwards there is nothing to come."""
    job_id = stack.create(SLOW_TALK)
    before = Events(stack, job_id)
    texts, last = next((body["text"], event_id) for name, body, event_id in before if name == "text")
    before.close()

    after = list(Events(stack, job_id, last=last))
    late = Events(stack, job_id, last=after[-1][2])
    late.close()

    assert texts + "".join(body["text"] for name, body, _ in after if name == "text") == after[-1][1]["result"]
    assert (after[-1][0], after[-1][1]["status"]) == ("status", "completed")
    assert late.response.status == 204


def test_a_second_attempt_begins_its_text_anew(stack: Stack, llm: FakeLLM) -> None:
    """What the first said before it was cut is taken back."""
    llm.script({"chunks": 8, "chunk_ms": 250, "text": "First words that are cut.", "cut": "rst"})
    job_id = stack.create("Second attempt")

    events = list(Events(stack, job_id))

    names = [name for name, _, _ in events]
    since = names.index("reset")
    assert "text" in names[:since]
    texts = "".join(body["text"] for name, body, _ in events[since:] if name == "text")
    assert texts == events[-1][1]["result"] == "Echo: Second attempt"


@pytest.mark.outage
def test_a_model_that_keeps_silent_for_long_is_noted_until_it_speaks(stack: Stack) -> None:
    """People who wait are told that it is being worked on."""
    job_id = stack.create("[[latency-ms=7500]] [[chunks=4]] [[chunk-ms=700]] Silence")

    notes = [body["note"] for name, body, _ in Events(stack, job_id) if name == "status"]

    assert notes[-3:] == ["still_working", None, None]
    assert notes.count("still_working") == 1


@pytest.mark.outage
def test_an_erased_redis_costs_a_waiter_nothing(stack: Stack, broker: Broker, asking: Asking) -> None:
    """Neither one that is parked nor one that watches."""
    job_id = stack.create(SLOW_TALK)
    waiting = asking.get(job_id, Prefer="wait=30")
    events = Events(stack, job_id)
    texts = ""
    for name, body, _ in events:
        if name == "text":
            texts += body["text"]
            broker.erase()
        final = body

    assert waiting.result(30).job["status"] == "completed"
    assert texts == final["result"]


@pytest.mark.parametrize(("lose", "restore"), [(Broker.stop, Broker.start), (Broker.freeze, Broker.thaw)])
@pytest.mark.outage
def test_waiters_are_answered_without_redis(
    stack: Stack, broker: Broker, asking: Asking, lose: Callable[[Broker], None], restore: Callable[[Broker], None]
) -> None:
    """It dies or freezes while they are parked; PostgreSQL is asked for them. When it is back, so are words."""
    job_id = stack.create("[[latency-ms=3000]] Without")
    eventually(lambda: stack.job(job_id)["status"] == "analyzing")
    waiting = asking.get(job_id, Prefer="wait=40")
    watching = Events(stack, job_id)
    events = iter(watching)
    first = next(events)
    lose(broker)
    try:
        answered = waiting.result(40)
        watched = list(events)
        late = get(stack, job_id, Prefer="wait=30")
    finally:
        restore(broker)

    assert first[1]["status"] == "analyzing"
    assert answered.job["status"] == "completed"
    assert [name for name, _, _ in watched] == ["text", "status"]
    assert watched[0][1]["text"] == watched[1][1]["result"] == answered.job["result"]
    assert answered.seconds < UNHEARD_SECONDS
    assert (late.job, late.seconds < 1) == (answered.job, True)
    eventually(lambda: any(name == "text" for name, _, _ in list(Events(stack, stack.create(SLOW_TALK)))[:-2]))


@pytest.mark.outage
def test_an_api_that_stops_answers_its_waiters_first(stack: Stack, asking: Asking) -> None:
    """STOP_GRACE_SECONDS is 20 here; nobody has to wait for it."""
    job_id = stack.create("[[latency-ms=9000]] Stop")
    eventually(lambda: stack.job(job_id)["status"] == "analyzing")
    waiting = asking.get(job_id, Prefer="wait=60")
    events = Events(stack, job_id)
    eventually(lambda: parked(stack, 2))

    begun_at = time.monotonic()
    stack.terminate("api")
    seconds = time.monotonic() - begun_at
    stack.start("api")
    eventually(stack.is_ready)

    assert waiting.result(10).job["status"] == "analyzing"
    assert [name for name, _, _ in events] == ["status"]
    assert seconds < 10


def test_the_route_of_events_refuses_what_it_cannot_go_on_from(stack: Stack) -> None:
    """Another job's id, or none of ours."""
    one, other = stack.create("One"), stack.create("Other")
    stack.finished(one)
    last = list(Events(stack, one))[-1][2]

    refused = [Events(stack, other, last=last), Events(stack, one, last="7")]
    problems = [json.loads(each.response.read()) for each in refused]
    unknown = Events(stack, "00000000-0000-4000-8000-000000000000")
    for each in (*refused, unknown):
        each.close()

    assert [each.response.status for each in refused] == [400, 400]
    assert [problem["code"] for problem in problems] == ["invalid_event_id"] * 2
    assert unknown.response.status == 404
    assert re.fullmatch(r"[0-9a-f.a-z-]+", last)
