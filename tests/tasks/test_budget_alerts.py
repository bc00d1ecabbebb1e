"""That a budget runs low is told once a day, whoever finds it, and posted to whoever is to know."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from models import budget_alerts, budgets, erasures, owners
from models.base import Session
from models.budget_alerts import ALL, Level
from models.budgets import Purse
from models.settings import SettingRefused, Settings, from_environment
from models.spending import ERASED
from tasks import metrics
from tasks.budget_alerts import DOWN_SECONDS, PAUSE_SECONDS, AlertPoster
from tasks.cashier import Cashier
from tasks.dispatcher import Dispatcher
from tasks.webhook import RETRY_SECONDS
from tests.factories import a_user
from tests.system.stack import eventually
from tests.tasks.test_cashier import allowing, spend
from tests.tasks.test_notifier import SECRET, Receiver

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


@pytest.fixture
def ours(db: Settings, receiver: Receiver) -> Settings:
    """With a budget, and somebody who is told."""
    return dataclasses.replace(
        db,
        budget_day="10",
        budget_owner_day="5",
        budget_webhook_url=receiver.url,
        budget_webhook_secret=SECRET,
        budget_webhook_private=True,
    )


def cashier(*, posts: bool = True, **amounts: str) -> Cashier:
    return Cashier(allowing(**amounts), again_after=60, posts=posts)


def count(by: Cashier) -> None:
    """One turn of a dispatcher that counts."""
    with Session.begin() as session:
        by.standing(session)
    by.report()


def rows() -> list[Any]:
    query = """SELECT level, owner, spent::text, attempt, error,
                      CAST(EXTRACT(EPOCH FROM next_attempt_at - clock_timestamp()) AS float8) AS wait
               FROM budget_alerts ORDER BY level, owner"""
    with Session() as session:
        return list(session.execute(text(query)))


def said(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
    """Each line about a budget: its event and its owner."""
    out = capsys.readouterr()
    lines = [line for line in (out.out + out.err).splitlines() if "budget_" in line]
    return [(line.split("budget_")[1].split()[0], line.split("owner=")[1].split()[0]) for line in lines]


def test_it_is_told_once_a_day_for_each_budget_whoever_counts(capsys: pytest.CaptureFixture[str]) -> None:
    """By several dispatchers at once, and by one that starts anew: the row decides."""
    spend("user:a", "4.5")
    spend("user:b", "3.5")
    spend(ERASED, "5")
    begin = threading.Barrier(4)

    def counting(one: Cashier) -> None:
        begin.wait()
        for _ in range(5):
            count(one)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(counting, cashier(day="16", owner_day="5")) for _ in range(4)]:
            done.result(60)
    count(cashier(day="16", owner_day="5"))

    assert sorted(said(capsys)) == [("low", "None"), ("low", "user:a")]
    assert [(row.level, row.owner, row.spent) for row in rows()] == [("low", ALL, "13.0"), ("low", "user:a", "4.5")]


def test_each_level_of_each_budget_is_told_when_it_is_reached(capsys: pytest.CaptureFixture[str]) -> None:
    """Of all together, and of each owner; what is told has what it is about."""
    by = cashier(day="1", owner_day="0.9")
    spend("user:a", "0.5")
    count(by)
    assert said(capsys) == []
    spend("user:b", "0.3")
    count(by)
    assert said(capsys) == [("low", "None")]
    spend("user:c", "0.9")
    for _ in range(2):
        count(by)

    assert said(capsys) == [("low", "user:c"), ("used", "None"), ("used", "user:c")]
    assert [(row.level, row.owner, row.spent) for row in rows()] == [
        ("low", ALL, "0.8"),
        ("low", "user:c", "0.9"),
        ("used", ALL, "1.7"),
        ("used", "user:c", "0.9"),
    ]


def test_each_day_has_its_own(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was told yesterday is told again; and meanwhile nobody asks anew each second."""
    spend("user:a", "1")
    by, tell, look, told = cashier(owner_day="1"), budget_alerts.tell, budgets.look, list[Level]()

    def telling(*args: Any, level: Level, **more: Any) -> Any:
        told.append(level)
        return tell(*args, level=level, **more)

    monkeypatch.setattr(budget_alerts, "tell", telling)
    count(by)
    count(by)
    assert (told, said(capsys)) == ([Level.LOW, Level.USED], [("low", "user:a"), ("used", "user:a")])

    def tomorrow(*args: Any, **more: Any) -> Purse:
        purse = look(*args, **more)
        return dataclasses.replace(purse, day=purse.day + dt.timedelta(days=1))

    monkeypatch.setattr(budgets, "look", tomorrow)
    count(by)

    assert said(capsys) == [("low", "user:a"), ("used", "user:a")]
    assert len(rows()) == 4


def test_what_was_not_committed_was_not_told(capsys: pytest.CaptureFixture[str]) -> None:
    """A turn that ended badly is made again, and tells."""
    spend("user:a", "1")
    by = cashier(day="1")
    with Session() as session:
        by.standing(session)
        session.rollback()

    count(by)

    assert said(capsys) == [("low", "None"), ("used", "None")]


def test_it_is_posted_and_signed(ours: Settings, receiver: Receiver) -> None:
    """As Standard Webhooks has it, once, and with what the budget is."""
    before = metrics.BUDGET_POSTS.labels("taken")._value.get()
    spend("user:a", "4.25")
    poster = AlertPoster.of(ours)
    by = Cashier.of(ours)
    assert poster is not None
    assert by is not None
    assert poster.tick() == PAUSE_SECONDS
    count(by)

    assert [poster.tick() for _ in range(2)] == [0.0, PAUSE_SECONDS]

    [(headers, body)] = receiver.requests
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{wanted}"
    with Session() as session:
        found = session.execute(text("SELECT 'budget_' || id AS name, day::text AS day FROM budget_alerts")).one()
    assert headers["webhook-id"] == found.name
    told = json.loads(body)
    assert told["timestamp"].endswith("Z")
    assert (told["type"], told["data"]) == (
        "budget.low",
        {
            "day": found.day,
            "owner": "user:a",
            "budget": "5",
            "spent": "4.25",
            "currency": "USD",
            "softPercent": 80,
        },
    )
    assert [(row.wait, row.error) for row in rows()] == [(None, None)]
    assert metrics.BUDGET_POSTS.labels("taken")._value.get() == before + 1


def test_what_was_not_taken_is_tried_again_by_the_schedule_and_then_given_up(
    ours: Settings, receiver: Receiver
) -> None:
    """Under the same name; nothing else of it changes."""
    spend("user:a", "4")
    poster = AlertPoster.of(ours)
    by = Cashier.of(ours)
    assert poster is not None
    assert by is not None
    count(by)
    receiver.status = 500

    for number, seconds in enumerate(RETRY_SECONDS, start=1):
        assert poster.tick() == 0.0
        [row] = rows()
        assert (row.attempt, row.error) == (number, "status 500")
        assert seconds - 5 <= row.wait <= 1.1 * seconds + 1
        assert poster.tick() == PAUSE_SECONDS
        with Session.begin() as session:
            session.execute(text("UPDATE budget_alerts SET next_attempt_at = clock_timestamp()"))
    poster.tick()

    [row] = rows()
    assert (row.attempt, row.wait, row.error) == (10, None, "status 500")
    assert len({headers["webhook-id"] for headers, _ in receiver.requests}) == 1
    assert len(receiver.requests) == 10


def test_of_several_posters_one_has_it_and_who_comes_too_late_changes_nothing(ours: Settings) -> None:
    """The attempt is a fencing token."""
    spend("user:a", "4")
    by = Cashier.of(ours)
    assert by is not None
    count(by)
    with Session.begin() as session:
        dead = budget_alerts.claim(session)
        assert dead is not None
        assert budget_alerts.claim(session) is None
        session.execute(text("UPDATE budget_alerts SET next_attempt_at = statement_timestamp()"))
    with Session.begin() as session:
        alive = budget_alerts.claim(session)
        assert alive is not None
        budget_alerts.done(session, dead)
        budget_alerts.again(session, dead, error="late", seconds=1)
        budget_alerts.give_up(session, dead, error="late")

    [row] = rows()
    assert (alive.id, dead.attempt, row.attempt, row.error) == (dead.id, 1, 2, None)
    assert 50 < row.wait <= 60


def test_a_receiver_in_our_own_network_is_not_reached(ours: Settings, receiver: Receiver) -> None:
    """Unless the setting says so; and one that is down is left alone for a while."""
    spend("user:a", "4")
    guarded = dataclasses.replace(
        ours, budget_webhook_private=False, budget_webhook_url=receiver.url.replace("http", "https")
    )
    poster = AlertPoster.of(guarded)
    by = Cashier.of(guarded)
    assert poster is not None
    assert by is not None
    count(by)

    assert poster.tick() == DOWN_SECONDS

    assert [row.error for row in rows()] == ["address refused"]
    assert receiver.requests == []


def test_a_dispatcher_finds_it_and_posts_it(
    ours: Settings, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    """By loops of its own, although no job is due; of two that count only one tells."""
    spend("user:a", "9")
    dispatchers = [Dispatcher(ours) for _ in range(2)]
    threads = [
        threading.Thread(target=one._loop, args=[tick]) for one in dispatchers for tick in (one._count, one._alert)
    ]
    for thread in threads:
        thread.start()

    eventually(lambda: len(rows()) == 3 and all(row.wait is None for row in rows()))
    for one in dispatchers:
        one.stop()
    for thread in threads:
        thread.join(10)

    posted = sorted((body["type"], body["data"]["owner"] or "") for body in receiver.bodies)
    assert posted == [("budget.low", ""), ("budget.low", "user:a"), ("budget.used", "user:a")]
    assert sorted(said(capsys)) == [("low", "None"), ("low", "user:a"), ("used", "user:a")]
    assert not any(thread.is_alive() for thread in threads)


def test_without_a_receiver_nothing_waits_to_be_posted() -> None:
    """Nor does it begin to, when there is one later."""
    spend("user:a", "4")
    count(cashier(posts=False, owner_day="5"))

    assert [row.wait for row in rows()] == [None]
    assert AlertPoster.of(Settings(budget_day="1")) is None


def test_what_is_old_is_forgotten_and_whose_account_ends(db: Settings) -> None:
    """Nobody is named for longer than it takes to tell."""
    user = a_user(password_hash="x")
    with Session.begin() as session:
        for days, owner in ((0, ALL), (7, "user:a"), (8, "user:b"), (0, owners.of_user(user))):
            session.execute(
                text("""INSERT INTO budget_alerts (day, level, owner, budget, spent)
                        SELECT CAST(clock_timestamp() AT TIME ZONE 'UTC' AS date) - :days, :level, :owner, 1, 1"""),
                {"days": days, "level": Level.LOW.value, "owner": owner},
            )
    with Session.begin() as session:
        assert budget_alerts.prune(session, most=10) == 1
        assert erasures.account(session, user, verified="x")

    assert [row.owner for row in rows()] == [ALL, "user:a"]


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"BUDGET_WEBHOOK_URL": "https://a.example/"}, "BUDGET_WEBHOOK_SECRET"),
        (
            {"BUDGET_WEBHOOK_URL": "http://a.example/", "BUDGET_WEBHOOK_SECRET": SECRET},
            "BUDGET_WEBHOOK_URL",
        ),
        ({"BUDGET_WEBHOOK_URL": "a.example"}, "BUDGET_WEBHOOK_URL"),
        ({"BUDGET_WEBHOOK_SECRET": "whsec_c2hvcnQ="}, "BUDGET_WEBHOOK_SECRET"),
    ],
)
def test_a_receiver_that_cannot_work_is_refused(environ: dict[str, str], name: str) -> None:
    """At start, by name."""
    with pytest.raises(SettingRefused, match=f"^{name}: "):
        from_environment(environ)
