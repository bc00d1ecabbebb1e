"""The way of a job, from the message to its end, as the page shows it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from .documents import a_job, ago, an_attempt, completed
from .script import Refuse
from .stand_in import StandIn
from .steps import card, send, stop_marks

STOPS = ["created", "processing", "analyzing", "completed"]


def test_the_whole_way_is_drawn_as_it_happens(page: Page, stand_in: StandIn) -> None:
    """Each stop is marked when the job stands there, and the answer appears with who gave it and what it took."""
    stand_in.show(a_job("created"))
    page.goto("/jobs")

    sent = send(page, "What is a queue?")
    for index, status in enumerate(STOPS[:3]):
        stand_in.show(
            a_job(status, attempts=[an_attempt(started=2.0, asked=1.9 if status == "analyzing" else None)][:index])
        )
        expect(sent).to_have_attribute("data-state", status)
        expect(sent.locator('[aria-current="step"] .stop__name')).to_have_text(status)
        marks = ["done"] * index + ["here"] + ["ahead"] * (3 - index)
        assert stop_marks(sent) == list(zip(STOPS, marks, strict=True))
    stand_in.show(completed("A promise about order."))

    expect(sent.locator(".answer")).to_have_text("A promise about order.")
    assert [mark for _, mark in stop_marks(sent)] == ["done"] * 4
    expect(sent.locator(".stop__time")).to_have_text(["200 ms", "50 ms", "2.5 s", ""])
    expect(sent).to_contain_text("Answered in 2.8 s.")
    expect(sent).to_contain_text("test-model-1")
    expect(sent).to_contain_text("42 tokens")


def seconds_left(sent: Locator) -> int:
    """Until the next try, as the note says it."""
    (seconds,) = re.findall(r"Next try in (\d+) s", sent.locator(".note").inner_text())
    return int(seconds)


def test_a_retrying_job_counts_down_to_its_next_attempt(page: Page, stand_in: StandIn) -> None:
    """One sees what failed, how many failures are left, and when the next try comes; then the try itself."""
    first = an_attempt(started=4, asked=3.9, finished=1.42, error_code="provider_unavailable")
    stand_in.show(a_job("retrying", attempt=1, failures=1, nextAttemptAt=ago(-30), attempts=[first]))
    page.goto("/jobs")

    sent = send(page, "What is a queue?")

    expect(sent.locator(".attempt")).to_have_text("Attempt 1provider_unavailable2.6 s")
    expect(sent.locator(".note")).to_have_text(re.compile(r"failure 1 of at most 5\. Next try in \d+ s\."))
    shown = seconds_left(sent)
    assert shown <= 30
    expect(sent.locator(".note")).not_to_contain_text(f"in {shown} s")
    assert seconds_left(sent) < shown
    assert stop_marks(sent)[:2] == [("created", "done"), ("retrying", "again")]

    second = an_attempt(started=2, asked=1.9, finished=0.5)
    stand_in.show(completed("There.", failures=1, attempt=2, attempts=[first, second]))
    expect(sent).to_contain_text("at the 2nd try")
    expect(sent.locator(".attempt")).to_have_count(2)


def test_a_failed_job_says_why_and_can_be_tried_again_as_a_new_job(page: Page, stand_in: StandIn) -> None:
    """The message and the code of the error are shown, and Try again posts the same text under a new key."""
    failed = an_attempt(started=3, asked=2.9, finished=1, error_code="content_filter")
    error = {"code": "content_filter", "message": "The model refused this message."}
    stand_in.show(a_job("failed", attempt=1, failures=1, error=error, attempts=[failed]))
    page.goto("/jobs")
    first = send(page, "Say something")
    expect(first.locator(".problem")).to_contain_text("The model refused this message.")
    expect(first.locator(".problem")).to_contain_text("content_filter")
    assert stop_marks(first)[-1] == ("failed", "ended")
    stand_in.show(completed("Something."))

    first.get_by_role("button", name="Try again").click()

    expect(page.locator(".exchange")).to_have_count(2)
    expect(card(page).locator(".answer")).to_have_text("Something.")
    expect(card(page).locator("article")).to_be_focused()
    before, after = stand_in.sends()
    assert before.body == after.body == {"message": "Say something", "type": "chat"}
    assert before.key != after.key


def test_a_cancelled_job_is_shown_as_cancelled(page: Page, stand_in: StandIn) -> None:
    """It is an end like any other: no more looks, and no answer promised."""
    stand_in.show(a_job("cancelled"))
    page.goto("/jobs")

    sent = send(page, "Never mind")

    expect(sent).to_contain_text("Cancelled. There will be no answer.")
    assert stop_marks(sent) == [
        ("created", "done"),
        ("processing", "skipped"),
        ("analyzing", "skipped"),
        ("cancelled", "cancelled"),
    ]


def test_what_a_model_writes_is_text_and_nothing_runs(page: Page, stand_in: StandIn) -> None:
    """Markup in an answer, in an error or in a question is read, never parsed."""
    hostile = "<img src=x onerror=\"window.ran=1\"><script>window.ran=1</script>\n\n<a href='javascript:1'>x</a>"
    stand_in.show(completed(hostile, model="<b>model</b>"))
    page.goto("/jobs")

    sent = send(page, "<svg onload=window.ran=1> & <i>so on</i>")

    expect(sent.locator(".answer p").first).to_have_text(hostile.partition("\n")[0])
    expect(sent.locator(".asked__text")).to_have_text("<svg onload=window.ran=1> & <i>so on</i>")
    expect(sent).to_contain_text("<b>model</b>")
    expect(sent.locator("img, script, svg[onload], .answer a, i, b")).to_have_count(0)
    assert page.evaluate("window.ran") is None


def test_paragraphs_line_breaks_and_code_of_an_answer_are_kept(page: Page, stand_in: StandIn) -> None:
    """A list stays a list of lines, and fenced code stands apart without its fence."""
    stand_in.show(completed("One:\n- a\n- b\n\nTwo.\n```python\nif x:\n\n    y()\n```\nThree."))
    page.goto("/jobs")

    sent = send(page, "Show me")

    expect(sent.locator(".answer p")).to_have_count(3)
    assert sent.locator(".answer p").first.inner_text() == "One:\n- a\n- b"
    assert sent.locator(".answer pre").inner_text() == "if x:\n\n    y()"


@pytest.mark.parametrize("refusal", [Refuse(404, "job_not_found"), Refuse(410, "job_gone")])
def test_a_job_is_gone_whether_it_never_was_or_was_swept_away(page: Page, stand_in: StandIn, refusal: Refuse) -> None:
    """Either answer ends the looking."""
    stand_in.show(a_job("created"))
    stand_in.gets.append(refusal)
    page.clock.install()
    page.goto("/jobs")

    sent = send(page, "What is a queue?")

    expect(sent).to_contain_text("This job is gone")
    page.clock.fast_forward(60_000)
    expect(send(page, "Another")).to_have_attribute("data-state", "created")
    first = stand_in.looks()[0].path
    assert [seen.path for seen in stand_in.looks()].count(first) == 1


def test_a_job_the_server_no_longer_knows_is_shown_as_gone(page: Page, stand_in: StandIn) -> None:
    """It is said once, nothing more is asked, and the message itself is still there to be sent anew."""
    stand_in.show(a_job("created"))
    page.goto("/jobs")
    sent = send(page, "What is a queue?")
    expect(sent).to_have_attribute("data-state", "created")

    stand_in.jobs.clear()

    expect(sent).to_contain_text("This job is gone")
    looks = len(stand_in.looks())
    sent.get_by_role("button", name="Try again").click()
    stand_in.wait_until(lambda: len(stand_in.sends()) == 2)
    page.get_by_text("created").first.wait_for()
    gone_id = stand_in.looks()[0].path
    assert len([seen for seen in stand_in.looks() if seen.path == gone_id]) == looks


def test_the_details_hold_what_a_developer_asks_for(page: Page, stand_in: StandIn) -> None:
    """The id, the counts and the attempts are there when opened, and the id can be copied."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/jobs")
    sent = send(page, "What is a queue?")
    expect(sent).to_have_attribute("data-state", "completed")

    sent.get_by_text("Technical details").click()

    [job_id] = stand_in.jobs
    expect(sent.locator(".facts")).to_contain_text(job_id)
    expect(sent.locator(".facts")).to_contain_text("0 of at most 5")
    expect(sent.locator(".facts")).to_contain_text("42: 12 in the prompt, 30 in the answer")
    expect(sent.locator(".attempt-table tbody td")).to_have_text(["completed", "50 ms", "2.5 s"])
    sent.get_by_role("button", name="Copy id").click()
    expect(sent.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == job_id


def test_the_details_tell_times_and_batch_only_where_there_are_any(page: Page, stand_in: StandIn) -> None:
    """A deadline has every job; what nobody asked for takes no line."""
    stand_in.show(completed(deadlineAt="2030-01-31T08:00:00.000000Z"))
    page.goto("/jobs")
    plain = send(page, "What is a queue?")
    plain.get_by_text("Technical details").click()
    expect(plain.locator(".facts")).to_contain_text("Deadline31 Jan 2030")
    for name in ("Not before", "Priority", "Batch"):
        expect(plain.locator(".facts")).not_to_contain_text(name)
    stand_in.show(
        completed(runAt="2029-12-24T08:00:00.000000Z", priority=0, batchId="5c1d5b51-94d4-4d2a-9f9e-07a9e0a0b1aa")
    )

    sent = send(page, "And in a batch?")
    sent.get_by_text("Technical details").click()

    expect(sent.locator(".facts")).to_contain_text("Not before24 Dec 2029")
    expect(sent.locator(".facts")).to_contain_text("Priority0 of 9")
    expect(sent.locator(".facts")).to_contain_text("Batch5c1d5b51-94d4-4d2a-9f9e-07a9e0a0b1aa")
