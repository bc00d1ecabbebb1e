"""Whoever may not, and whatever makes no sense, gets a defined answer or close code; neighbours notice nothing."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import pytest
from limits import parse
from sqlalchemy import text
from websockets.exceptions import ConnectionClosed, InvalidStatus

from api.gateway import frames, server, sockets, standing
from models import sessions
from models.api_keys import Scope
from models.base import Session
from tests.factories import a_chat, a_guest, a_key, a_user, create, fill, say, signed_in
from tests.gateway.clients import PATIENT_SECONDS, Client
from tests.gateway.conftest import Live

pytestmark = pytest.mark.xdist_group("gateway")
Connect = Callable[..., Client]


def code_of(client: Client, *, seconds: float = PATIENT_SECONDS) -> int:
    """With which a socket is closed; whatever is sent before is passed over."""
    until = time.monotonic() + seconds
    try:
        while True:
            client.received(max(0.01, until - time.monotonic()))
    except ConnectionClosed as closed:
        return 0 if closed.rcvd is None else closed.rcvd.code


def token_of(user_id: str, **options: Any) -> str:
    return signed_in(user_id, **options)["Authorization"].removeprefix("Bearer ")


def test_nobody_gets_in_without_saying_who_they_are(
    live: Live, client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In time, first of all, and truly."""
    monkeypatch.setattr(server, "AUTH_SECONDS", 0.3)
    assert code_of(client(auth=False)) == frames.NOT_SIGNED_IN
    monkeypatch.undo()

    early = client(auth=False)
    assert early.refusal("ping")["code"] == "no_token"
    assert code_of(early) == frames.NOT_SIGNED_IN
    for token in ("nonsense", token_of(a_user(), seconds=-60), a_key(a_user())[:-1]):
        wrong = client(auth=False)
        assert wrong.refusal("auth", token=token)["code"] == "invalid_token"
        assert code_of(wrong) == frames.NOT_SIGNED_IN


def test_pages_of_other_sites_are_refused_before_there_is_a_socket(client: Connect) -> None:
    """Of this host they may come, whatever the port."""
    with pytest.raises(InvalidStatus) as refused:
        client(a_user(), origin="https://evil.example")
    assert refused.value.response.status_code == 403
    client(a_user(), origin="http://127.0.0.1:8000").ask("ping")


def test_a_socket_ends_with_its_token_unless_it_brings_another(client: Connect) -> None:
    """Of the same user. Clocks may be 10 s apart, so a token lives on for so long."""
    anna, ben = a_user(), a_user()
    kept = client(token=token_of(anna, seconds=-8))
    ended = client(token=token_of(anna, seconds=-8))

    assert kept.ask("auth", token=token_of(anna)) == {}
    assert kept.refusal("auth", token=token_of(ben))["code"] == "another_user"

    assert code_of(ended) == frames.NO_LONGER
    kept.ask("ping")
    assert kept.refusal("auth", token="nonsense")["code"] == "invalid_token"
    assert code_of(kept) == frames.NOT_SIGNED_IN


def test_what_is_revoked_ends_its_sockets_at_once_and_without_word_of_it_soon(live: Live, client: Connect) -> None:
    """A session, all of them, a key. The second way is for a word that was lost."""
    anna, ben = a_user(), a_user()
    page, other, script = client(anna), client(ben), client(token=a_key(anna, Scope.CHATS_READ))

    with Session.begin() as session:
        sessions.revoke_all(session, anna)
    assert code_of(page) == frames.NO_LONGER
    script.ask("ping")
    headers = signed_in(anna)
    (key,) = live.app.test_client().get("/api/me/keys", headers=headers).get_json()["items"]
    assert live.app.test_client().delete(f"/api/me/keys/{key['keyId']}", headers=headers).status_code == 204
    assert code_of(script) == frames.NO_LONGER

    live.run(live.gateway.standing.check_all())
    other.ask("ping")
    with Session.begin() as session:
        session.execute(text("UPDATE sessions SET revoked_at = clock_timestamp()"))
    live.run(live.gateway.standing.check_all())
    assert code_of(other) == frames.NO_LONGER


def test_guests_and_poor_keys_may_do_what_they_may_elsewhere(live: Live, client: Connect) -> None:
    """A guest sees his jobs; a key without the scope does not write."""
    anna = a_user()
    chat = a_chat(anna)
    cookie, owner = a_guest()
    guest = client(additional_headers={"Cookie": f"parley_guest={cookie}"})
    job_id = create(owner=owner)
    reader = client(token=a_key(anna, Scope.CHATS_READ))

    assert guest.hello["userId"] is None
    assert guest.ask("watch_job", jobId=job_id) == {"status": "created"}
    assert guest.refusal("send", chat=chat, content="Hi", clientMsgId="m1")["code"] == "no_token"
    assert guest.refusal("sync", chats=[])["code"] == "no_token"
    assert guest.refusal("open", chat=chat)["code"] == "no_token"
    assert reader.refusal("send", chat=chat, content="Hi", clientMsgId="m1")["code"] == "scope_missing"
    assert reader.ask("sync", chats=[{"id": chat, "since": 0}])["chats"][0]["items"] == []


def test_a_guest_has_the_address_that_a_trusted_proxy_names(start: Callable[..., Live], client: Connect) -> None:
    """The same that requests have; what the guest wrote there is not believed."""
    behind = start(trusted_proxies=1)
    client(at=behind, additional_headers={"X-Forwarded-For": "203.0.113.7, 198.51.100.9"})

    (socket,) = behind.gateway.hub.sockets
    assert socket.caller is not None
    assert socket.caller.owner == "address:198.51.100.9"


@pytest.mark.parametrize(
    "sent",
    [b"\x00\x01", "{", "[]", "7", '{"op": 7}', '{"op": "ping", "d": []}', '{"op": "ping", "id": {}}', "[" * 9999],
)
def test_what_is_no_frame_closes_the_socket(client: Connect, sent: str | bytes) -> None:
    """Nobody guesses what was meant."""
    page, neighbour = client(a_user()), client(a_user())
    page.ws.send(sent)

    assert code_of(page) == frames.BAD_FRAME
    neighbour.ask("ping")


def test_frames_that_are_too_large_or_too_many_close_the_socket(live: Live, client: Connect) -> None:
    """A megabyte at once; a thousand a second, after each has been told to slow down."""
    anna = a_user()
    large, many, neighbour = client(anna), client(anna), client(anna)

    large.ws.send(json.dumps({"op": "ping", "d": {"x": "x" * 1_000_000}}))
    assert code_of(large) == 1009
    with contextlib.suppress(ConnectionClosed):  # before the last of them is on its way
        for number in range(1000):
            many.say("ping", frame_id=number)
    slowed = many.until(lambda frame: frame["op"] == "err")
    assert (slowed["d"]["code"], slowed["d"]["retryAfter"]) == ("rate_limited", 1)
    assert code_of(many) == frames.TOO_MANY_FRAMES
    neighbour.ask("ping")


def test_sends_are_limited_as_over_http(live: Live, client: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whoever sends, all sockets and ways together."""
    monkeypatch.setitem(live.app.extensions["parley"]["limits"]._limits, "send", parse("5/minute"))
    anna = a_user()
    chat = a_chat(anna)
    pages = [client(anna), client(anna)]

    answers = [pages[n % 2].answer("send", chat=chat, content="x", clientMsgId=str(n)) for n in range(7)]

    assert [answer["d"].get("code") for answer in answers] == [None] * 5 + ["rate_limited"] * 2
    assert answers[-1]["d"]["retryAfter"] > 50
    body = {"content": "x", "clientMsgId": "8"}
    http = live.app.test_client().post(f"/api/chats/{chat}/messages", json=body, headers=signed_in(anna))
    assert http.status_code == 429


def test_a_slow_reader_is_told_to_read_anew_and_then_let_go(
    live: Live, client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sleeps on a receive buffer of 4 kB. Its queue is bounded, and its neighbour gets everything."""
    monkeypatch.setattr(sockets, "BLOCKED_SECONDS", 2.0)
    monkeypatch.setattr(sockets, "CLOSE_SECONDS", 0.5)
    anna, ben = a_user(), a_user()
    chat = a_chat(anna, ben)
    neighbour = client(anna)
    sleeper = socket.socket()
    sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sleeper.connect(("127.0.0.1", live.port))
    slow = client(ben, sock=sleeper, max_queue=1)
    before = live.inside(lambda: len(live.gateway.hub.sockets))

    fill(chat, anna, up_to=600, words="x" * 30_000)
    say(chat, anna, "Last")

    neighbour.event("message.new", chat=chat, content="Last")
    until = time.monotonic() + PATIENT_SECONDS
    while live.inside(lambda: len(live.gateway.hub.sockets)) == before:
        assert time.monotonic() < until
        time.sleep(0.1)
    neighbour.ask("ping")
    slow.ws.close_socket()
    sleeper.close()


def test_a_connection_whose_other_half_is_gone_is_cut_off(
    live: Live, client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is pinged, and does not answer. Who answers stays, however quiet."""
    monkeypatch.setattr(standing, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr(standing, "GONE_SECONDS", 1.0)
    anna = a_user()
    quiet = client(anna)
    half = socket.create_connection(("127.0.0.1", live.port), timeout=10)
    half.sendall(
        b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    frame = json.dumps({"op": "auth", "d": {"token": token_of(anna)}}).encode()
    half.sendall(b"\x81\xfe" + struct.pack("!H", len(frame)) + b"\0\0\0\0" + frame)
    heard = b""
    while b"hello" not in heard:
        heard += half.recv(65536)

    for _ in range(6):
        live.run(live.gateway.standing.listen_to_all())
        time.sleep(0.3)

    with half, contextlib.suppress(ConnectionResetError):
        while half.recv(65536):
            pass
    quiet.ask("ping")


def test_a_gateway_that_stops_tells_everybody_to_come_back_each_at_another_time(
    client: Connect, start: Callable[..., Live]
) -> None:
    """Then it closes them as a restart."""
    other = start()
    pages = [client(a_user(), at=other) for _ in range(3)]

    other.stop()

    waits = {page.event("reconnect")["d"]["afterMs"] for page in pages}
    assert len(waits) > 1
    assert [code_of(page) for page in pages] == [frames.RESTART] * 3
