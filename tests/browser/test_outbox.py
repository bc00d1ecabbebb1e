"""The outbox: a message is sent once, whatever happens on the way, and is never lost."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from .conftest import OpenContext
from .documents import a_job
from .script import Drop, Hold, Refuse
from .script import Page as HtmlPage
from .stand_in import StandIn
from .steps import send

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_a_lost_answer_to_a_post_makes_no_second_job(page: Page, stand_in: StandIn) -> None:
    """The server made the job and the answer was lost: the resend carries the same key and finds that job."""
    stand_in.posts.append(Drop(after_doing=True))
    page.goto("/jobs")

    sent = send(page, "What is a queue?")

    expect(sent).to_have_attribute("data-state", "completed")
    first, second = stand_in.sends()
    assert first.key == second.key
    assert first.key is not None
    assert first.body == second.body
    assert len(stand_in.jobs) == 1


def test_a_reload_in_the_middle_of_a_post_makes_no_second_job(page: Page, stand_in: StandIn) -> None:
    """The page went away before the answer came; the next one sends again, with the key that was stored first."""
    hold = Hold()
    stand_in.posts.append(hold)
    page.goto("/jobs")
    send(page, "What is a queue?")
    stand_in.wait_until(lambda: len(stand_in.sends()) == 1)

    page.reload()
    stand_in.wait_until(lambda: len(stand_in.sends()) == 2)
    hold.release.set()

    expect(page.locator(".exchange")).to_have_count(1)
    expect(page.locator(".exchange")).to_have_attribute("data-state", "completed")
    first, second = stand_in.sends()
    assert first.key == second.key
    assert len(stand_in.jobs) == 1


@pytest.mark.parametrize(
    ("stumble", "said"),
    [
        (Drop(), "The server cannot be reached."),
        (Refuse(500, "internal"), "The server had a problem (500)."),
        (Refuse(503, "not_ready"), "The server is not ready."),
        (Refuse(429, "too_many_requests"), "Too many requests at once."),
        (HtmlPage(502), "The server had a problem (502)."),
    ],
)
def test_a_message_that_could_not_be_sent_says_so_and_is_sent_by_itself(
    page: Page, stand_in: StandIn, stumble: Drop | Refuse | HtmlPage, said: str
) -> None:
    """One sees that it is not sent yet and why, and needs to do nothing."""
    stand_in.posts.extend([stumble] * 2)
    page.goto("/jobs")

    sent = send(page, "What is a queue?")

    expect(sent).to_contain_text(f"Not sent yet. {said}")
    expect(sent).to_have_attribute("data-state", "completed")
    assert len({seen.key for seen in stand_in.sends()}) == 1


def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(page: Page, stand_in: StandIn) -> None:
    """`Retry-After` is counted down to; Send now is there for a person who knows better."""
    stand_in.posts.append(Refuse(503, "not_ready", retry_after=120))
    page.goto("/jobs")
    sent = send(page, "What is a queue?")
    expect(sent).to_contain_text("Trying again in 2 min")
    page.evaluate("window.dispatchEvent(new Event('online'))")

    sent.get_by_role("button", name="Send now").click()

    expect(sent).to_have_attribute("data-state", "completed")
    assert len(stand_in.sends()) == 2


def test_a_message_written_offline_is_sent_when_the_network_is_back(page: Page, stand_in: StandIn) -> None:
    """It waits, says that the browser is offline, and goes at once when it can."""
    page.goto("/jobs")
    page.context.set_offline(True)
    sent = send(page, "What is a queue?")
    expect(sent).to_contain_text("You are offline.")

    page.context.set_offline(False)

    expect(sent).to_have_attribute("data-state", "completed")
    assert len(stand_in.jobs) == 1


def test_an_unsent_message_can_be_discarded(page: Page, stand_in: StandIn) -> None:
    """It leaves the list, and it is not sent after all."""
    stand_in.posts.append(Refuse(503, "not_ready", retry_after=5))
    page.clock.install()
    page.goto("/jobs")
    sent = send(page, "Better not")

    sent.get_by_role("button", name="Discard").click()

    expect(page.locator(".exchange")).to_have_count(0)
    expect(page.get_by_label("Your message")).to_be_focused()
    page.clock.fast_forward(60_000)
    expect(send(page, "Rather this")).to_have_attribute("data-state", "completed")
    assert [seen.body["message"] for seen in stand_in.sends()] == ["Better not", "Rather this"]


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (
            Refuse(422, "invalid", errors=({"pointer": "/message", "message": "At most 32,000 characters."},)),
            "At most 32,000 characters.",
        ),
        (Refuse(413, "payload_too_large", "The body is too large."), "The message is too large for the server."),
        (Refuse(400, "bad_request", "That cannot be read."), "That cannot be read."),
    ],
)
def test_a_refused_message_says_why_and_goes_back_into_the_box(
    page: Page, stand_in: StandIn, refusal: Refuse, said: str
) -> None:
    """A refusal is not repeated: its reasons and its code are shown, and the text can be changed and sent anew."""
    stand_in.posts.append(refusal)
    page.goto("/jobs")
    sent = send(page, "Too bold")
    expect(sent.locator(".problem")).to_contain_text(said)
    expect(sent.locator(".problem")).to_contain_text(refusal.code)

    sent.get_by_role("button", name="Edit").click()

    expect(page.get_by_label("Your message")).to_have_value("Too bold")
    expect(page.get_by_label("Your message")).to_be_focused()
    expect(page.locator(".exchange")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page.locator(".exchange")).to_have_attribute("data-state", "completed")
    first, second = stand_in.sends()
    assert first.key != second.key


def test_a_draft_survives_a_reload(page: Page) -> None:
    """What was being written, and for what, is still in the box."""
    page.goto("/jobs")
    page.get_by_label("Your message").fill("Half a thou")
    page.get_by_role("radio", name="Summarize").check()

    page.reload()

    expect(page.get_by_label("Your message")).to_have_value("Half a thou")
    expect(page.get_by_role("radio", name="Summarize")).to_be_checked()


def test_a_sent_message_leaves_no_draft(page: Page, stand_in: StandIn) -> None:
    """After a reload the box is empty, or the same message would be sent twice by an honest mistake."""
    page.goto("/jobs")
    send(page, "What is a queue?")
    stand_in.wait_until(lambda: len(stand_in.sends()) == 1)

    page.reload()

    expect(page.locator(".exchange")).to_have_count(1)
    expect(page.get_by_label("Your message")).to_have_value("")


def test_the_page_works_without_a_secure_context(open_context: OpenContext, stand_in: StandIn) -> None:
    """Over plain http on a local network there is no `crypto.randomUUID` and no clipboard API."""
    page = open_context().new_page()
    page.goto(f"http://parley.test:{stand_in.port}/jobs")
    assert page.evaluate("window.isSecureContext") is False

    sent = send(page, "What is a queue?")
    sent.get_by_role("button", name="Copy answer").click()

    expect(sent.get_by_role("button", name="Copied")).to_be_visible()
    [post] = stand_in.sends()
    assert UUID4.fullmatch(post.key or "")


def test_the_page_works_without_local_storage(open_context: OpenContext, stand_in: StandIn) -> None:
    """Where the browser refuses it, messages are sent all the same, and the page says that it will forget."""
    context = open_context()
    context.add_init_script("delete Object.getPrototypeOf(window).localStorage; delete window.localStorage;")
    page = context.new_page()
    page.goto("/jobs")

    sent = send(page, "What is a queue?")

    expect(sent).to_have_attribute("data-state", "completed")
    expect(page.locator("#notice")).to_contain_text("a reload will forget the list")


def test_a_full_local_storage_loses_no_message(page: Page, stand_in: StandIn) -> None:
    """Answers that can be fetched again make room for a message that exists nowhere else yet."""
    page.goto("/jobs")
    expect(send(page, "A first one")).to_have_attribute("data-state", "completed")
    # About a hundred characters are left: too few for a second entry, unless the first gives up its answer.
    page.evaluate("""() => {
        for (let size = 1 << 20; size >= 1; size >>= 1) {
            try { for (;;) localStorage.setItem(`filler-${Math.random()}`, 'x'.repeat(size)); } catch {}
        }
        const last = Object.keys(localStorage).find((key) => localStorage[key].length === 64);
        localStorage.removeItem(last);
    }""")
    stand_in.posts.append(Refuse(503, "not_ready", retry_after=60))

    second = send(page, "A second one")
    expect(second).to_have_attribute("data-state", "waiting")
    page.reload()

    expect(page.locator(".asked__text")).to_have_text(["A first one", "A second one"])
    expect(page.locator(".exchange").first).to_have_attribute("data-state", "completed")
    expect(page.locator(".exchange").last).to_have_attribute("data-state", "completed")


def test_only_the_newest_fifty_are_kept(page: Page, stand_in: StandIn) -> None:
    """The list has an end: the oldest finished entry leaves, and one that is not sent yet never does."""
    stand_in.show(a_job("created"))
    page.goto("/jobs")
    page.evaluate("""() => {
        const job = { jobId: '', status: 'completed', result: 'x', attempts: [], createdAt: '', updatedAt: '' };
        const entries = Array.from({ length: 50 }, (_, i) => ({
            id: `e${i}`, key: `k${i}`, message: `Message ${i}`, type: 'chat', addedAt: Date.now() + i - 50,
            jobId: i === 0 ? null : `j${i}`, job: i === 0 ? null : { ...job, jobId: `j${i}` },
            refusal: null, gone: false,
        }));
        for (const entry of entries) localStorage.setItem(`parley.job.v1/${entry.id}`, JSON.stringify(entry));
    }""")
    page.reload()
    expect(page.locator(".exchange")).to_have_count(50)

    send(page, "Message 50")

    expect(page.locator(".exchange")).to_have_count(50)
    expect(page.locator(".asked__text").first).to_have_text("Message 0")
    expect(page.locator(".asked__text").nth(1)).to_have_text("Message 2")
    expect(page.locator(".asked__text").last).to_have_text("Message 50")


def test_a_cleared_list_is_forgotten_by_this_browser(page: Page, stand_in: StandIn) -> None:
    """After a confirmation nothing is left, not after a reload either, and nothing more is asked of the server."""
    stand_in.show(a_job("created"))
    page.goto("/jobs")
    send(page, "What is a queue?")
    page.get_by_role("button", name="Clear list").click()
    page.get_by_role("button", name="Keep it").click()
    expect(page.locator(".exchange")).to_have_count(1)

    page.get_by_role("button", name="Clear list").click()
    page.get_by_role("dialog").get_by_role("button", name="Clear list").click()

    expect(page.locator(".exchange")).to_have_count(0)
    expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    assert page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('parley.job'))") == []
