"""Cancelling: one press, and the card says what became of it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from .conftest import OpenContext
from .documents import a_job, an_attempt, completed
from .script import Drop, Hold, Refuse
from .script import Page as HtmlPage
from .stand_in import StandIn
from .steps import listen_to_announcer, send

UNFINISHED = ["created", "retrying", "processing", "analyzing"]
ENDED = ["completed", "failed", "cancelled"]


@pytest.mark.parametrize("status", UNFINISHED)
def test_an_unfinished_job_is_cancelled_by_one_press(page: Page, stand_in: StandIn, status: str) -> None:
    """No dialog; the card shows the end, offers what any such card does, and keeps the focus of the keyboard."""
    stand_in.show(a_job(status, attempts=[an_attempt(started=1)]))
    page.goto("/jobs")
    sent = send(page, "Never mind")

    sent.get_by_role("button", name="Cancel").press("Enter")

    expect(sent).to_have_attribute("data-state", "cancelled")
    expect(sent).to_contain_text("Cancelled. There will be no answer.")
    expect(sent.get_by_role("button")).to_have_text(["Try again", "Remove"])
    expect(sent.locator("article")).to_be_focused()
    [delete], [job_id] = stand_in.cancels(), stand_in.jobs
    assert delete.path == f"/api/jobs/{job_id}"


@pytest.mark.parametrize("status", ENDED)
def test_a_job_that_has_ended_cannot_be_cancelled(page: Page, stand_in: StandIn, status: str) -> None:
    """There is nothing left to stop."""
    stand_in.show(a_job(status, result="Here."))
    page.goto("/jobs")

    sent = send(page, "Too late")

    expect(sent).to_have_attribute("data-state", status)
    expect(sent.get_by_role("button", name="Cancel")).to_have_count(0)


def test_a_cancelled_job_is_announced_once(page: Page, stand_in: StandIn) -> None:
    """The look and the answer to the DELETE may both bring the news; it is said one time."""
    stand_in.show(a_job("created"))
    page.goto("/jobs")
    heard = listen_to_announcer(page)
    sent = send(page, "Never mind")
    expect(page.locator("#announcer")).to_contain_text("created")

    sent.get_by_role("button", name="Cancel").click()

    expect(page.locator("#announcer")).to_contain_text("cancelled")
    assert heard() == ["Never mind: created", "Never mind: cancelled"]


def test_a_second_press_while_the_first_is_under_way_asks_nothing(page: Page, stand_in: StandIn) -> None:
    """The card says that it is being cancelled, and one DELETE is enough."""
    hold = Hold()
    stand_in.deletes.append(hold)
    stand_in.show(a_job("analyzing"))
    page.goto("/jobs")
    sent = send(page, "Never mind")

    sent.get_by_role("button", name="Cancel").click()
    expect(sent.locator(".cancelling")).to_have_text("Cancelling…")
    sent.get_by_role("button", name="Cancel").click()
    hold.release.set()

    expect(sent).to_have_attribute("data-state", "cancelled")
    expect(sent.locator(".cancelling")).to_have_text("")
    assert len(stand_in.cancels()) == 1


@pytest.mark.parametrize(
    ("stumble", "said"),
    [
        (Drop(), "The server cannot be reached."),
        (Refuse(503, "database_unavailable", retry_after=2), "The server is not ready."),
        (Refuse(409, "conflict"), "The server had a problem (409)."),
        (HtmlPage(404), "Something other than Parley answered."),
    ],
)
def test_a_cancel_that_did_not_get_through_says_so_and_can_be_pressed_again(
    page: Page, stand_in: StandIn, stumble: Drop | Refuse | HtmlPage, said: str
) -> None:
    """It is not repeated by itself; the button stays, with the focus on it, and it is said aloud."""
    stand_in.deletes.append(stumble)
    stand_in.show(a_job("analyzing"))
    page.goto("/jobs")
    heard = listen_to_announcer(page)
    sent = send(page, "Never mind")
    button = sent.get_by_role("button", name="Cancel")

    button.press("Enter")

    expect(sent.locator(".cancelling")).to_have_text(f"Not cancelled yet. {said}")
    expect(button).to_be_focused()
    expect(page.locator("#announcer")).to_contain_text("not cancelled yet")
    assert f"Never mind: not cancelled yet. {said}" in " ".join(heard())
    button.press("Enter")
    expect(sent).to_have_attribute("data-state", "cancelled")
    expect(sent.locator(".cancelling")).to_have_text("")
    assert len(stand_in.cancels()) == 2


def test_a_cancel_whose_answer_was_lost_is_seen_by_the_next_look(page: Page, stand_in: StandIn) -> None:
    """The job was cancelled all the same: nobody needs to press again."""
    stand_in.deletes.append(Drop(after_doing=True))
    stand_in.show(a_job("analyzing"))
    page.goto("/jobs")
    sent = send(page, "Never mind")

    sent.get_by_role("button", name="Cancel").click()

    expect(sent).to_have_attribute("data-state", "cancelled")
    expect(sent.locator(".cancelling")).to_have_text("")
    assert len(stand_in.cancels()) == 1


def test_a_cancel_that_comes_too_late_shows_the_answer_at_once(page: Page, stand_in: StandIn) -> None:
    """The server says `already_finished`: the page looks again, however far away its next look was."""
    stand_in.retry_after = 60
    stand_in.show(a_job("analyzing"))
    page.goto("/jobs")
    sent = send(page, "Never mind")
    expect(sent).to_have_attribute("data-state", "analyzing")
    stand_in.show(completed("Here, all the same."))

    sent.get_by_role("button", name="Cancel").press("Enter")

    expect(sent.locator(".answer")).to_have_text("Here, all the same.")
    expect(sent.locator(".cancelling")).to_have_text("")
    expect(sent.locator("article")).to_be_focused()


@pytest.mark.parametrize("refusal", [Refuse(404, "job_not_found"), Refuse(410, "job_gone")])
def test_cancelling_a_job_that_is_gone_shows_it_as_gone(page: Page, stand_in: StandIn, refusal: Refuse) -> None:
    """There is nothing to cancel, and nothing more is asked."""
    stand_in.deletes.append(refusal)
    stand_in.show(a_job("created"))
    page.clock.install()
    page.goto("/jobs")
    sent = send(page, "Never mind")

    sent.get_by_role("button", name="Cancel").click()

    expect(sent).to_contain_text("This job is gone")
    gone = stand_in.cancels()[0].path.rpartition("/")[2]
    expect(send(page, "Another")).to_have_attribute("data-state", "created")
    looks = len(stand_in.looks(gone))  # one may have been under way when the answer came
    page.clock.fast_forward(60_000)
    expect(send(page, "A third")).to_have_attribute("data-state", "created")
    assert len(stand_in.looks(gone)) == looks


def test_an_older_look_does_not_undo_a_cancel(page: Page, stand_in: StandIn) -> None:
    """A look that left before the press and is answered after it is not listened to, and it was the last."""
    hold = Hold()
    stand_in.show(a_job("created"))
    stand_in.gets.append(hold)
    page.clock.install()
    page.goto("/jobs")
    sent = send(page, "Never mind")
    stand_in.wait_until(lambda: len(stand_in.looks()) == 1)

    sent.get_by_role("button", name="Cancel").click()
    expect(sent).to_have_attribute("data-state", "cancelled")
    hold.release.set()

    page.clock.fast_forward(60_000)
    stand_in.show(completed())
    expect(send(page, "Another")).to_have_attribute("data-state", "completed")
    expect(page.locator(".exchange").first).to_have_attribute("data-state", "cancelled")
    assert len(stand_in.looks(stand_in.cancels()[0].path.rpartition("/")[2])) == 1


def test_a_look_of_another_tab_does_not_undo_a_cancel(open_context: OpenContext, stand_in: StandIn) -> None:
    """The list is shared, so an older answer there would bring the job back to life in both."""
    context = open_context()
    here, there = context.new_page(), context.new_page()
    stand_in.retry_after = 60
    stand_in.show(a_job("created"))
    here.goto("/jobs")
    sent = send(here, "Never mind")
    stand_in.wait_until(lambda: len(stand_in.looks()) == 1)
    hold = Hold()
    stand_in.gets.append(hold)
    there.goto("/jobs")
    stand_in.wait_until(lambda: len(stand_in.looks()) == 2)
    there.evaluate("""() => {
        window.states = [];
        const card = document.querySelector('.exchange');
        const note = () => window.states.push(card.dataset.state);
        new MutationObserver(note).observe(card, { attributeFilter: ['data-state'] });
    }""")
    sent.get_by_role("button", name="Cancel").click()
    expect(there.locator(".exchange")).to_have_attribute("data-state", "cancelled")

    with there.expect_event("requestfinished"):
        hold.release.set()
    there.evaluate("fetch('/health').then((response) => response.text())")

    assert set(there.evaluate("window.states")) == {"cancelled"}
    expect(sent).to_have_attribute("data-state", "cancelled")


def test_the_focus_on_cancel_outlives_a_change_of_status(page: Page, stand_in: StandIn) -> None:
    """Whoever has reached the button may press it: it is the same one from the first status to the last."""
    stand_in.show(a_job("created"))
    page.goto("/jobs")
    sent = send(page, "What is a queue?")
    button = sent.get_by_role("button", name="Cancel")
    button.focus()

    for status in ("processing", "retrying", "analyzing"):
        stand_in.show(a_job(status, error={"code": "provider_unavailable", "message": "Down."}))
        expect(sent).to_have_attribute("data-state", status)

    expect(button).to_be_focused()
