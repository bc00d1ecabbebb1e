"""Who is away is told of a message, once, by a receiver that may be down, slow, or somewhere it must not be."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import http.server
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import text

from models import edits, members, notifications
from models.base import Session
from models.live.presence import Presences
from models.notifications import Notice
from models.settings import SettingRefused, Settings, from_environment
from models.users import AI_ID
from tasks import guarded, webhook
from tasks.dispatcher import Dispatcher
from tasks.guarded import Unreachable
from tasks.notifier import DOWN_SECONDS, PAUSE_SECONDS, Notifier
from tasks.senders import LogSender, Sender, sender_of
from tasks.webhook import RETRY_SECONDS, NotSent, Webhook, WebhookSender
from tests.factories import a_chat, a_user, an_ai_chat, answer, call, say
from tests.models.test_contexts import leave
from tests.system.stack import eventually

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver:
    """A server that answers as it is told, and remembers what it was sent."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.status, self.headers, self.seconds = 204, dict[str, str](), 0.0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append(({name.lower(): value for name, value in self.headers.items()}, body))
                ends_at = time.monotonic() + outer.seconds
                while time.monotonic() < ends_at:  # a byte now and then: no single wait is long
                    self.wfile.write(b"H")
                    self.wfile.flush()
                    time.sleep(0.05)
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?to=us"

    def close(self) -> None:
        """No more requests."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def bodies(self) -> list[Any]:
        """What was posted."""
        return [json.loads(body) for _, body in self.requests]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


def hook(url: str, **options: Any) -> WebhookSender:
    return WebhookSender(Webhook(**{"url": url, "secret": SECRET, "may_be_private": True, **options}))


@pytest.fixture
def notifier(db: Settings) -> Callable[[Sender], Notifier]:
    return lambda sender: Notifier(sender, Presences(db))


def later() -> None:
    """Whatever waits is due now."""
    with Session.begin() as session:
        session.execute(text("UPDATE notifications SET next_attempt_at = clock_timestamp()"))


def rows() -> list[Any]:
    query = "SELECT seq, attempt, failed_at IS NOT NULL AS failed, error, user_ids::text[] AS user_ids,"
    wait = "CAST(EXTRACT(EPOCH FROM next_attempt_at - clock_timestamp()) AS float8) AS wait"
    with Session() as session:
        return list(session.execute(text(f"{query} {wait} FROM notifications ORDER BY seq")))


class Noted:
    """A sender that sends nothing, and fails as it is told."""

    at_once = 16

    def __init__(self, *failures: NotSent | None) -> None:
        self.told: list[tuple[int, list[str]]] = []
        self._failures = list(failures)

    def send(self, notice: Notice, user_ids: Sequence[str]) -> None:
        """Note it."""
        self.told.append((notice.seq, list(user_ids)))
        if self._failures and (failure := self._failures.pop(0)):
            raise failure


def test_those_are_told_who_are_away_and_have_not_read(notifier: Callable[[Sender], Notifier], db: Settings) -> None:
    """Not the sender, the AI, who reads, has muted it, has left or is online; nobody of what was deleted; each once."""
    anna, ben, mute, reads, online, gone = people = [a_user() for _ in range(6)]
    chat = a_chat(*people)
    Presences(db).arrived(online, "a socket")
    with Session.begin() as session:
        members.mute(session, chat, user_id=mute, muted=True)
    say(chat, anna, "One", "Two, deleted", "Three")
    with Session.begin() as session:
        edits.delete(session, chat, seq=2, user_id=anna)
        members.see(session, chat, user_id=reads, seq=3)
    leave(chat, gone)
    sender = Noted()

    assert notifier(sender).tick() == PAUSE_SECONDS
    assert (sender.told, [row.attempt for row in rows()]) == ([], [0, 0, 0])  # ten seconds have not gone by
    assert all(8 < row.wait <= 10 for row in rows())
    later()
    notifier(sender).tick()
    notifier(sender).tick()

    assert sorted(sender.told) == [(1, [ben]), (3, [ben])]
    assert rows() == []


def test_with_the_ai_one_is_told_of_its_answer_and_without_redis_everybody_is_away(
    notifier: Callable[[Sender], Notifier], db: Settings
) -> None:
    """What a person says to the AI alone writes no row."""
    anna, ben = a_user(), a_user()
    chat = an_ai_chat(anna)
    job_id = call(chat, anna)
    assert rows() == []
    answer(job_id)
    Presences(db).arrived(anna, "a socket")
    away = dataclasses.replace(db, redis_url="redis://127.0.0.1:1/0")
    later()
    sender = Noted()

    Notifier(sender, Presences(away)).tick()

    assert sender.told == [(2, [anna])]
    group = a_chat(anna, ben, AI_ID)
    say(group, ben)
    later()
    notifier(sender).tick()
    assert len(sender.told) == 1  # Anna is online, and the AI is told of nothing


def test_of_several_notifiers_one_tells(db: Settings) -> None:
    """What is claimed nobody else claims, until its lease is over."""
    anna, ben = a_user(), a_user()
    say(a_chat(anna, ben), anna, *map(str, range(40)))
    later()
    senders = [Noted() for _ in range(4)]
    barrier = threading.Barrier(4)

    def run(sender: Noted) -> None:
        own = Notifier(sender, Presences(db))
        barrier.wait()
        while own.tick() == 0.0:
            pass
        own.tick()

    threads = [threading.Thread(target=run, args=[sender]) for sender in senders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(seq for sender in senders for seq, _ in sender.told) == list(range(1, 41))


def test_one_who_died_is_followed_and_what_comes_too_late_changes_nothing(db: Settings) -> None:
    """The attempt is a fencing token."""
    anna, ben = a_user(), a_user()
    chat = a_chat(anna, ben)
    say(chat, anna)
    later()
    with Session.begin() as session:
        [dead] = notifications.claim(session, most=16)
        assert notifications.claim(session, most=16) == []
    later()
    with Session.begin() as session:
        [alive] = notifications.claim(session, most=16)
        notifications.done(session, [dead])
        notifications.again(session, dead, user_ids=[], error="late", seconds=1)
        notifications.give_up(session, dead, user_ids=[], error="late")
        notifications.defer(session, [dead], seconds=1)

    assert (dead.name, dead.attempt) == (alive.name, 1)
    assert [(row.attempt, row.failed, row.error) for row in rows()] == [(2, False, None)]


def test_a_message_is_posted_and_signed(notifier: Callable[[Sender], Notifier], receiver: Receiver) -> None:
    """As Standard Webhooks has it, with all who are to be told."""
    anna, ben, carl = a_user(display_name="Anna"), a_user(), a_user()
    chat = a_chat(anna, ben, carl, title="Trip")
    [posted] = say(chat, anna, "Shall we\n meet?  " + "x" * 200)
    later()

    notifier(hook(receiver.url)).tick()

    [(headers, body)] = receiver.requests
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    assert headers["webhook-id"] == f"msg_{chat}_1"
    assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
    said = json.loads(body)
    assert said["data"].pop("preview") == ("Shall we meet? " + "x" * 200)[:120]
    assert said["timestamp"] == posted.message["created_at"].isoformat(timespec="microseconds").replace("+00:00", "Z")
    assert (said["type"], said["data"]) == (
        "message.created",
        {
            "chatId": chat,
            "chatType": "group",
            "chatTitle": "Trip",
            "seq": 1,
            "senderId": anna,
            "senderName": "Anna",
            "isAi": False,
            "recipients": sorted([ben, carl]),
        },
    )
    assert rows() == []


def test_what_was_not_taken_is_tried_again_by_the_schedule_and_then_given_up(
    notifier: Callable[[Sender], Notifier], receiver: Receiver
) -> None:
    """Under the same name, for those only who were meant at first and have not read since."""
    anna, ben, carl = a_user(), a_user(), a_user()
    chat = a_chat(anna, ben, carl)
    say(chat, anna)
    receiver.status = 500
    own = notifier(hook(receiver.url))
    for number, seconds in enumerate(RETRY_SECONDS, start=1):
        later()
        own.tick()
        [row] = rows()
        assert (row.attempt, row.failed, row.error) == (number, False, "status 500")
        assert seconds - 5 <= row.wait <= 1.1 * seconds + 1
        if number == 1:
            with Session.begin() as session:
                members.see(session, chat, user_id=carl, seq=1)
                late = a_user()
                joining = "INSERT INTO chat_members (chat_id, user_id) VALUES (:chat, :user)"
                session.execute(text(joining), {"chat": chat, "user": late})
    later()
    own.tick()
    later()
    own.tick()

    [row] = rows()
    assert (row.failed, row.attempt, len(receiver.requests)) == (True, 10, 10)
    assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 1
    recipients = [body["data"]["recipients"] for body in receiver.bodies]
    assert recipients == [sorted([ben, carl]), *[[ben]] * 9]
    with Session.begin() as session:
        assert notifications.prune(session, most=10) == 0
        session.execute(text("UPDATE notifications SET failed_at = failed_at - interval '8 days'"))
        assert notifications.prune(session, most=10) == 1


@pytest.mark.parametrize(
    ("status", "headers", "failed", "waits"),
    [
        (410, {}, True, None),
        (429, {"Retry-After": "100"}, False, 100),
        (503, {"Retry-After": "999999"}, False, 3600),
        (503, {"Retry-After": "Thu, 01 Jan 2099 00:00:00 GMT"}, False, 5),
        (302, {"Location": "/elsewhere"}, False, 5),
        (500, {"Retry-After": "100"}, False, 5),
    ],
)
def test_what_a_receiver_says_is_heeded(
    notifier: Callable[[Sender], Notifier],
    receiver: Receiver,
    status: int,
    headers: dict[str, str],
    failed: bool,
    waits: int | None,
) -> None:
    """Gone is gone; a time to wait is kept, within reason; a redirect is not followed."""
    anna, ben = a_user(), a_user()
    say(a_chat(anna, ben), anna)
    later()
    receiver.status, receiver.headers = status, headers

    notifier(hook(receiver.url)).tick()

    [row] = rows()
    assert (row.failed, row.error, len(receiver.requests)) == (failed, f"status {status}", 1)
    if waits is not None:
        assert waits - 3 <= row.wait <= 1.1 * waits


def test_a_receiver_that_is_down_is_not_asked_for_each_message(notifier: Callable[[Sender], Notifier]) -> None:
    """The rest is given back untried; one of another kind of failure stops nobody."""
    anna, ben = a_user(), a_user()
    say(a_chat(anna, ben), anna, *map(str, range(40)))
    later()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    own = notifier(hook(f"http://127.0.0.1:{port}/"))

    assert own.tick() == DOWN_SECONDS
    tried = [row for row in rows() if row.attempt == 1]
    assert 1 <= len(tried) <= 8
    assert {row.error for row in tried} <= {"no answer (ConnectionRefusedError)"}
    assert sum(row.wait > 20 for row in rows() if row.attempt == 0) == 16 - len(tried)

    later()
    sender = Noted(*[NotSent("status 500")] * 3)
    assert notifier(sender).tick() == 0.0
    assert len(sender.told) == 16


def test_a_slow_receiver_is_given_up_in_time(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it sends a byte now and then."""
    monkeypatch.setattr(webhook, "SECONDS", 0.5)
    receiver.seconds = 5.0
    notice = Notice(chat_id="c", seq=1, attempt=1, user_ids=["u"], now=1)
    begun = time.monotonic()

    with pytest.raises(NotSent, match=r"^no answer in time$") as failure:
        hook(receiver.url).send(notice, ["u"])

    assert failure.value.is_down
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://push.example.com/", "9.9.9.9"),
        ("https://push.example.com/", "127.0.0.1"),
        ("https://push.example.com/", "::1"),
        ("https://push.example.com/", "169.254.169.254"),
        ("https://push.example.com/", "::ffff:192.168.0.1"),
        ("https://[::1]/", None),
        ("https://127.1/", None),
        ("file:///etc/passwd", None),
    ],
)
def test_nobody_is_led_into_our_own_network(monkeypatch: pytest.MonkeyPatch, url: str, found: str | None) -> None:
    """Nothing is connected to; one private address among several is enough."""

    def resolved(host: str, port: int, **_: Any) -> list[Any]:
        return [(0, 0, 0, "", (each, port)) for each in ("9.9.9.9", found)]

    def connected(*_: Any, **__: Any) -> None:
        raise AssertionError("connected")

    if found is not None:
        monkeypatch.setattr(socket, "getaddrinfo", resolved)
    monkeypatch.setattr(socket, "create_connection", connected)

    with pytest.raises(Unreachable, match=r"^address refused$"):
        guarded.post(url, body=b"", headers={}, seconds=2, may_be_private=False)


def test_the_connection_goes_to_the_address_that_was_looked_at(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that means something else a moment later is not asked again."""
    asked: list[str] = []
    port = int(receiver.url.split(":")[2].split("/")[0])

    def resolved(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(0, 0, 0, "", ("127.0.0.1", port))]

    connect = socket.create_connection
    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    monkeypatch.setattr(socket, "create_connection", lambda to, **more: _connected(connect, monkeypatch, to, more))

    answer = guarded.post(f"http://push.example.com:{port}/", body=b"{}", headers={}, seconds=5, may_be_private=True)

    assert (answer.status, asked) == (204, ["push.example.com"])
    assert receiver.requests[0][0]["host"] == f"push.example.com:{port}"


def _connected(connect: Any, monkeypatch: pytest.MonkeyPatch, to: Any, more: Any) -> Any:
    assert to[0] == "127.0.0.1"
    sock = socket.socket()
    sock.settimeout(more["timeout"])
    sock.connect(to)
    return sock


def test_the_settings_choose_the_sender_and_refuse_what_cannot_work() -> None:
    """Without any, a line in the log."""
    url = {"NOTIFY_SENDER": "webhook", "NOTIFY_WEBHOOK_URL": "https://push.example.com/"}
    assert isinstance(sender_of(from_environment({})), LogSender)
    assert isinstance(sender_of(from_environment({**url, "NOTIFY_WEBHOOK_SECRET": SECRET})), WebhookSender)
    for environ, name in (
        ({"NOTIFY_SENDER": "pigeon"}, "NOTIFY_SENDER"),
        ({"NOTIFY_SENDER": "webhook"}, "NOTIFY_WEBHOOK_URL"),
        (url, "NOTIFY_WEBHOOK_SECRET"),
        ({**url, "NOTIFY_WEBHOOK_SECRET": "whsec_c2hvcnQ="}, "NOTIFY_WEBHOOK_SECRET"),
        ({**url, "NOTIFY_WEBHOOK_SECRET": SECRET, "NOTIFY_WEBHOOK_URL": "http://push/"}, "NOTIFY_WEBHOOK_URL"),
    ):
        with pytest.raises(SettingRefused, match=f"^{name}: "):
            from_environment(environ)


def test_a_dispatcher_sends_what_is_due(db: Settings, receiver: Receiver) -> None:
    """By a loop of its own, until it is stopped."""
    anna, ben = a_user(), a_user()
    say(a_chat(anna, ben), anna)
    later()
    ours = dataclasses.replace(
        db,
        notify_sender="webhook",
        notify_webhook_url=receiver.url,
        notify_webhook_secret=SECRET,
        notify_webhook_private=True,
    )
    dispatcher = Dispatcher(ours)
    loop = threading.Thread(target=dispatcher._loop, args=[dispatcher._notify])
    loop.start()

    eventually(lambda: rows() == [])
    dispatcher.stop()
    loop.join(10)

    assert [body["data"]["recipients"] for body in receiver.bodies] == [[ben]]
    assert not loop.is_alive()
