"""However often a message is sent and however many write at once: each is stored once, in one order for everybody."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from werkzeug.serving import make_server

from api.metrics import REQUESTS
from tests.factories import a_chat, a_user, said_in, signed_in
from tests.fault_proxy import FaultProxy
from tests.gateway.clients import Client
from tests.gateway.conftest import Live
from tests.system.outages import FULL
from tests.system.stack import eventually

pytestmark = pytest.mark.xdist_group("gateway")
ROUTE = "/api/chats/<string:chat_id>/messages"
Connect = Callable[..., Client]
WRITERS = 20
EACH = 30 if FULL else 2
TIMES = 3
"""That one message is sent, before anybody hears that it was stored."""


@pytest.fixture
def api(live: Live) -> Iterator[int]:
    """The gateway's application served over HTTP as well; answers its port."""
    server = make_server("127.0.0.1", 0, live.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join(10)
    server.server_close()


def posted() -> float:
    """How many messages the application is done with, by HTTP or socket, whether or not anybody has heard of it."""
    samples = [sample for family in REQUESTS.collect() for sample in family.samples]
    ours = [each for each in samples if each.name.endswith("_total") and each.labels["route"] == ROUTE]
    return sum(each.value for each in ours if each.labels["method"] == "POST")


def over_http(port: int, chat: str, headers: dict[str, str], content: str) -> Any:
    """Status and body of one POST; None: no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        body = json.dumps({"content": content, "clientMsgId": content})
        connection.request("POST", f"/api/chats/{chat}/messages", body, {"Content-Type": "application/json", **headers})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def test_what_is_sent_again_over_http_because_nobody_answered_is_stored_once(client: Connect, api: int) -> None:
    """Each connection is reset after the commit and before the answer. (Experiment C27.)"""
    anna = a_user()
    chat, headers, page = a_chat(anna), signed_in(anna), client(anna)
    with FaultProxy(api) as proxy, ThreadPoolExecutor(1) as threads:
        for _ in range(TIMES):
            proxy.switch("delay", delay_ms=5000)
            before = posted()
            unheard = threads.submit(over_http, proxy.port, chat, headers, "Once")
            eventually(lambda: posted() > before)  # noqa: B023  called at once
            proxy.switch("reset")
            proxy.switch("pass")
            assert unheard.result() is None
        status, body = over_http(proxy.port, chat, headers, "Once")

    assert (status, body["message"]["seq"], body["differs"]) == (200, 1, False)
    assert [each.content for each in said_in(chat)] == ["Once"]
    page.event("message.new", chat=chat)
    assert page.ops() == []


def test_what_is_sent_again_over_a_socket_because_nobody_answered_is_stored_once(live: Live, client: Connect) -> None:
    """The same, and each time on another socket. (Experiment C27.)"""
    anna = a_user()
    chat = a_chat(anna)
    token = signed_in(anna)["Authorization"].removeprefix("Bearer ")
    page = client(anna)
    with FaultProxy(live.port) as proxy:
        for _ in range(TIMES):
            with contextlib.closing(Client(proxy.port, token)) as cut:
                proxy.switch("delay", delay_ms=5000)
                before = posted()
                cut.say("send", chat=chat, content="Once", clientMsgId="m1")
                eventually(lambda: posted() > before)  # noqa: B023  called at once
                proxy.switch("reset")
                with pytest.raises(ConnectionClosed):
                    # Not just the next frame: word of the chat and of the message may have come before the delay.
                    cut.until(lambda frame: frame["op"] in {"ack", "err"})
                proxy.switch("pass")
        with contextlib.closing(Client(proxy.port, token)) as again:
            sent = again.ask("send", chat=chat, content="Once", clientMsgId="m1")

    assert (sent["replayed"], sent["differs"], sent["message"]["seq"]) == (True, False, 1)
    assert [each.content for each in said_in(chat)] == ["Once"]
    page.event("message.new", chat=chat)
    assert {op for op in page.ops() if op != "message.pending"} == set()


def test_twenty_who_write_at_once_all_see_the_same_order(live: Live, client: Connect) -> None:
    """Without a gap, and as it is stored. (Experiment C30.)"""
    people = [a_user() for _ in range(WRITERS)]
    chat = a_chat(*people)
    pages = [client(each) for each in people]

    def write(number: int) -> list[tuple[int, str]]:
        for turn in range(EACH):
            pages[number].ask("send", chat=chat, content=f"{number}.{turn}", clientMsgId=str(turn))
        heard = [pages[number].event("message.new", chat=chat)["d"] for _ in range(WRITERS * EACH)]
        return [(each["seq"], each["content"]) for each in heard]

    with ThreadPoolExecutor(WRITERS) as threads:
        seen = list(threads.map(write, range(WRITERS)))

    stored = [(each.seq, each.content) for each in said_in(chat)]
    assert [seq for seq, _ in stored] == list(range(1, WRITERS * EACH + 1))
    assert [each for each in seen if each != stored] == []
    print(f"\nC30: {WRITERS} writers, {len(stored)} messages, one order at all of them")  # noqa: T201
