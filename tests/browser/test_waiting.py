"""What the page says of a job that waits: why, where, and that nobody needs to do anything."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .conftest import OpenContext
from .documents import a_job, an_attempt, completed
from .stand_in import StandIn
from .steps import send


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"queuePosition": 1, "etaSeconds": 1}, "Next in the queue, about 1 s until its turn."),
        ({"queuePosition": 3, "etaSeconds": 12}, "3rd in the queue, about 12 s until its turn."),
        ({"queuePosition": 112, "etaSeconds": 205}, "112th in the queue, about 3 min until its turn."),
        ({"queuePosition": 999, "etaSeconds": 9000}, "999th in the queue, about 3 h until its turn."),
        ({"queuePosition": 22, "etaSeconds": None}, "22nd in the queue."),
        ({"queuePosition": None, "etaSeconds": None}, "Waiting for a worker."),
        ({"waitReason": None}, "Waiting for a worker."),
        (
            {"waitReason": "owner_limit", "queuePosition": 4, "etaSeconds": 9},
            "Waiting for one of your other jobs to finish, because other people wait too.",
        ),
        ({"waitReason": "breaker_open"}, "The model's server is down; it will be asked again by itself."),
        ({"waitReason": "budget"}, "What may be spent today is spent; it goes on tomorrow."),
        ({"waitReason": "a_reason_of_tomorrow"}, "Waiting for a worker."),
    ],
)
def test_a_waiting_job_says_why_and_where(page: Page, stand_in: StandIn, fields: dict[str, Any], said: str) -> None:
    """One plain sentence, and no guess where the server makes none."""
    stand_in.show(a_job("created", **fields))
    page.goto("/jobs")

    sent = send(page, "What is a queue?")

    expect(sent.locator(".note")).to_have_text(said)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"waitReason": "backoff", "nextAttemptAt": "2100-01-01T00:00:00.000000Z"},
            r"^That did not work: failure 1 of at most 5\. Next try in \d+ h \d+ min\.$",
        ),
        (
            {"waitReason": "behind", "queuePosition": 2, "etaSeconds": 5},
            r"^2nd in the queue, about 5 s until its turn\.$",
        ),
        ({"waitReason": "breaker_open"}, r"^The model's server is down; it will be asked again by itself\.$"),
        ({"waitReason": "behind"}, r"failure 1 of at most 5\. Next try any moment\."),
    ],
)
def test_a_job_that_waits_for_another_attempt_says_what_for(
    page: Page, stand_in: StandIn, fields: dict[str, Any], said: str
) -> None:
    """The back-off is counted down; after it there is a place in the queue like any other."""
    stumbled = an_attempt(started=3, asked=2.9, finished=1, error_code="provider_unavailable")
    stand_in.show(a_job("retrying", attempt=1, failures=1, attempts=[stumbled], **fields))
    page.goto("/jobs")

    sent = send(page, "What is a queue?")

    expect(sent.locator(".note")).to_have_text(re.compile(said))


def test_a_scheduled_job_names_its_time_as_the_clock_on_the_wall_shows_it(
    open_context: OpenContext, stand_in: StandIn
) -> None:
    """The API speaks of UTC; a person in Kolkata reads five and a half hours more."""
    page = open_context(timezone_id="Asia/Kolkata").new_page()
    day = dt.datetime.now(dt.UTC) + dt.timedelta(days=3)
    stand_in.show(a_job("created", waitReason="scheduled", runAt=day.strftime("%Y-%m-%dT08:30:00.000000Z")))
    page.goto("/jobs")

    sent = send(page, "Good morning")

    expect(sent.locator(".note")).to_have_text(re.compile(rf"^Scheduled for {day.day} \w+, 14:00\.$"))


def test_a_place_that_moves_disturbs_nobody(open_context: OpenContext, stand_in: StandIn) -> None:
    """It changes every second. The focus within the details stays, and so does what the reader looks at."""
    page = open_context(viewport={"width": 360, "height": 600}).new_page()
    job = a_job("created", queuePosition=9, etaSeconds=30)
    stand_in.show(job)
    page.goto("/jobs")
    sent = send(page, "What is a queue?")
    expect(sent.locator(".note")).to_contain_text("9th in the queue")
    sent.get_by_text("Technical details").click()
    sent.get_by_role("button", name="Copy id").focus()
    page.evaluate("window.scrollTo(0, document.documentElement.scrollHeight)")
    looked_at = page.evaluate("window.scrollY")

    stand_in.show(job | {"queuePosition": 8, "etaSeconds": 27})

    expect(sent.locator(".note")).to_contain_text("8th in the queue")
    expect(sent.get_by_role("button", name="Copy id")).to_be_focused()
    assert page.evaluate("window.scrollY") == looked_at > 0


def test_a_silent_model_is_said_to_be_silent(page: Page, stand_in: StandIn) -> None:
    """As long as the server says so, and no longer."""
    attempts = [an_attempt(started=6, asked=5.9)]
    stand_in.show(a_job("analyzing", note="still_working", attempts=attempts))
    page.goto("/jobs")
    sent = send(page, "What is a queue?")
    expect(sent.locator(".note")).to_have_text("The model has not said anything for a while; still waiting.")

    stand_in.show(a_job("analyzing", attempts=attempts))

    expect(sent.locator(".note")).to_have_text("The model is on it.")


def test_an_answer_of_a_second_choice_says_so(page: Page, stand_in: StandIn) -> None:
    """Under the answer stands who gave it and why, once; an answer of the first choice says nothing of the kind."""
    stand_in.show(completed("Here.", degraded=True, model="offline-1"))
    page.goto("/jobs")
    second_choice = send(page, "What is a queue?")
    remark = "Answered by offline-1, because the first choice was not available."
    expect(second_choice.locator(".answer + .plain-note")).to_have_text(remark)
    expect(second_choice.locator(".actions")).not_to_contain_text("offline-1")
    stand_in.show(completed("Here."))

    first_choice = send(page, "And now?")

    expect(first_choice.locator(".answer")).to_have_text("Here.")
    expect(first_choice.locator(".plain-note")).to_have_count(0)
