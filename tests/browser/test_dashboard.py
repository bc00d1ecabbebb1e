"""The dashboard, on the real API and a real database: what an operator sees and does there."""

from __future__ import annotations

import dataclasses
import pathlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from sqlalchemy import text
from werkzeug.serving import make_server

from api import installation
from api.app import create_app
from models import heartbeats
from models.base import Autocommit, Session
from models.reports import Reporter
from models.settings import Settings
from models.states import JobStatus
from tasks.sampler import Sampler
from tests.api.conftest import CHEAP, OPERATOR, PATIENT_SECONDS
from tests.factories import a_batch, a_job, the_job

from .conftest import OpenContext, watched
from .test_account import stored
from .test_shape import OVERFLOW, PHONE

AXE = pathlib.Path(__file__).resolve().parents[1] / "vendor" / "axe-core" / "axe.min.js"
EVERY = 300


@pytest.fixture
def url(db: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the application is served, with an operator; each look asks the database."""
    monkeypatch.setattr(installation, "KEPT_SECONDS", 0.0)
    given: dict[str, Any] = {"db_answer_seconds": PATIENT_SECONDS, "sample_seconds": EVERY, "registration": "open"}
    ours = dataclasses.replace(db, admin_token=OPERATOR, **given)
    before = [maker.kw["bind"] for maker in (Session, Autocommit)]
    app = create_app(ours, passwords=CHEAP)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()
    for maker, bind in zip((Session, Autocommit), before, strict=True):
        maker.kw["bind"].dispose()
        maker.configure(bind=bind)


@pytest.fixture
def open_context(browser: Browser, url: str) -> Iterator[OpenContext]:
    """Make a browser context whose pages are watched."""
    with watched(browser, url) as make:
        yield make


def letters(number: int) -> list[str]:
    """So many jobs that were given up, the latest last."""
    ids = [a_job(status=JobStatus.FAILED, message="What is a queue?") for _ in range(number)]
    with Session.begin() as session:
        for ago, job_id in enumerate(reversed(ids)):
            session.execute(
                text("UPDATE jobs SET finished_at = finished_at - make_interval(secs => :ago) WHERE id = :id"),
                {"ago": ago + 5, "id": job_id},
            )
    return ids


def open_board(page: Page, token: str = OPERATOR) -> None:
    """With the operator's token."""
    page.goto("/dashboard")
    page.get_by_label("Operator token", exact=True).fill(token)
    page.get_by_role("button", name="Open", exact=True).click()


def figure(page: Page, name: str) -> Locator:
    """One of the numbers."""
    return page.locator(f'[data-figure="{name}"]')


def test_a_dead_letter_is_redriven(page: Page, db: Settings) -> None:
    """By a click: the job waits again, its attempts are kept, and the number goes down."""
    first, second = letters(2)
    Reporter(db, kind="api").report()
    Sampler(every=EVERY).tick()

    open_board(page)

    expect(figure(page, "letters")).to_have_text("2")
    expect(figure(page, "sockets")).to_have_text("unknown")
    expect(figure(page, "failed")).to_have_text("100 %")
    expect(page.locator("#models")).to_have_text("None has a breaker yet; the offline one needs none.")
    rows = page.locator("#letters-list .row")
    expect(rows).to_have_count(2)
    rows.first.get_by_text("Attempts").click()
    expect(rows.first.locator(".attempt")).to_have_count(1)
    expect(rows.first).to_contain_text("What is a queue?")

    page.get_by_role("button", name=f"Redrive job {second}").click()

    expect(rows).to_have_count(1)
    expect(figure(page, "letters")).to_have_text("1", timeout=15_000)
    assert the_job(second).status is JobStatus.CREATED
    assert the_job(second).failures == 0
    assert the_job(first).status is JobStatus.FAILED
    page.get_by_label("In a second").fill("0.5")
    page.get_by_role("button", name="Redrive all of these").click()
    page.get_by_role("dialog").get_by_role("button", name="Redrive").click()
    expect(page.locator("#letters-note")).to_contain_text("1 job redriven.")
    assert the_job(first).status is JobStatus.CREATED
    assert OPERATOR not in stored(page)


DRAWN = """
    window.drawn = [];
    const fillText = CanvasRenderingContext2D.prototype.fillText;
    CanvasRenderingContext2D.prototype.fillText = function (text, ...where) {
      window.drawn.push(text);
      return fillText.call(this, text, ...where);
    };
"""
TIMES = """() => {
    const inMinutes = (ago) => new Date(Date.now() - ago * 60_000)
      .toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
    const ofTheHour = new Set(Array.from({ length: 62 }, (_, ago) => inMinutes(ago - 1)));
    const times = [...new Set(window.drawn.filter((text) => text.includes(':')))];
    return { times, beyond: times.filter((time) => !ofTheHour.has(time)) };
}"""


def test_a_single_sample_is_shown_within_the_hour_that_was_asked_for(page: Page, db: Settings) -> None:
    """Nor is it stretched over the whole width by itself: where nothing was sampled there is nothing."""
    Reporter(db, kind="api").report()
    Sampler(every=EVERY).tick()
    page.add_init_script(DRAWN)

    open_board(page)
    page.wait_for_function("() => window.drawn.some((text) => text.includes(':'))")

    times = page.evaluate(TIMES)
    assert (len(times["times"]) >= 2, times["beyond"]) == (True, [])


def test_the_number_of_dead_letters_leads_to_them(page: Page, db: Settings) -> None:
    """On a phone they are many screens below it."""
    page.set_viewport_size({"width": 390, "height": 844})
    open_board(page)
    expect(page.locator("#dead-letters")).not_to_be_in_viewport()

    page.get_by_role("link", name="Dead letters").click()

    expect(page.locator("#letters-title")).to_be_in_viewport()


def test_a_job_is_found_and_cancelled(page: Page, db: Settings) -> None:
    """By its id or its owner; a batch, the processes and the audit log are there, too, once somebody looks."""
    job_id, other = a_job(owner="guest:1"), a_job(owner="guest:2")
    a_batch("guest:3", "One", "Two")
    with Session.begin() as session:
        session.execute(
            text("""
                INSERT INTO spending SELECT 'user:x', CAST(now() AT TIME ZONE 'UTC' AS date), 'some-model', 3, 10, 20,
                0.25, 1
            """)
        )
        heartbeats.beat(session, kind=heartbeats.WORKER, instance="the-worker", queue_class="interactive", slots=7)
    open_board(page)
    expect(page.locator("#letters-list")).to_contain_text("No dead letters.")
    expect(page.locator("#jobs-list .row")).to_have_count(0)

    page.get_by_role("heading", name="Jobs", exact=True).click()

    rows = page.locator("#jobs-list .row")
    expect(rows).to_have_count(4)
    for words, found in (("guest:2", other), (job_id, job_id)):
        page.get_by_label("Job or owner").fill(words)
        page.locator("#jobs-form").get_by_role("button", name="Show").click()
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text(found)
    page.get_by_role("button", name=f"Cancel job {job_id}").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel it").click()
    expect(rows).to_have_count(0)
    expect(figure(page, "waiting")).to_have_text("3", timeout=15_000)
    assert the_job(job_id).status is JobStatus.CANCELLED
    for heading, section, words in (
        ("Batches", "batches", "0 of 2 finished"),
        ("Cost", "cost", "Today: user:xCost0.25 USD"),
        ("Workers and dispatchers", "processes", "In flight0 of 7"),
        ("Audit log", "audit", "cancel_other"),
    ):
        page.get_by_role("heading", name=heading, exact=True).click()
        expect(page.locator(f"#{section}-list")).to_contain_text(words)


def test_nobody_else_sees_a_number(page: Page, db: Settings) -> None:
    """Neither with a wrong token, nor with an account that is not an operator's; nor does the bare page hold one."""
    letters(3)
    open_board(page, "not-the-token-of-32-letters-at-all")
    expect(page.get_by_text("The token is not valid, or no longer.")).to_be_visible()
    expect(page.locator("#board")).to_be_hidden()

    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_role("button", name="No account yet").click()
    page.get_by_label("Username").fill("mallory")
    page.get_by_label("Password", exact=True).last.fill("correct horse battery")
    page.get_by_role("button", name="Register", exact=True).click()

    expect(page.get_by_text("Your account may not see this")).to_be_visible()
    expect(page.locator("#board")).to_be_hidden()
    expect(page.locator(".row")).to_have_count(0)
    assert set(page.locator("[data-figure]").all_text_contents()) == {"unknown"}

    with Session.begin() as session:
        session.execute(text("UPDATE users SET role = 'operator' WHERE username = 'mallory'"))
    page.reload()
    expect(figure(page, "letters")).to_have_text("3", timeout=15_000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_and_axe_finds_nothing(open_context: OpenContext, scheme: str, db: Settings) -> None:
    """With everything in it, the longest words included."""
    letters(2)
    with Session.begin() as session:
        session.execute(text("UPDATE jobs SET error_code = repeat('e', 64), error_message = repeat('M', 300)"))
    Reporter(db, kind="api").report()
    Sampler(every=EVERY).tick()
    page = open_context(**PHONE, color_scheme=scheme).new_page()
    open_board(page)
    expect(page.locator("#letters-list .row")).to_have_count(2)
    expect(page.locator(".chart canvas")).to_have_count(13)
    a_batch("guest:3", "One", "Two")
    for section in ("jobs", "batches", "cost", "audit"):
        page.locator(f"#{section} > summary").click()
        expect(page.locator(f"#{section}-list .row").first).to_be_visible()

    assert page.evaluate(OVERFLOW) == 0
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert [(fault["id"], node["html"][:120]) for fault in found["violations"] for node in fault["nodes"]] == []
