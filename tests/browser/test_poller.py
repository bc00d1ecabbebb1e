"""The poller: it asks no more than it may, and no failure ends it."""

from __future__ import annotations

import itertools

import pytest
from playwright.sync_api import Page, expect

from .conftest import OpenContext
from .documents import a_job, completed
from .script import Drop, Hold, Refuse
from .script import Page as HtmlPage
from .stand_in import StandIn
from .steps import send


def test_a_quick_job_is_answered_within_a_second(page: Page, stand_in: StandIn) -> None:
    """The first look comes sooner than the second that a header can ask for: done at once feels done at once."""
    page.goto("/jobs")

    sent = send(page, "What is a queue?")

    expect(sent).to_have_attribute("data-state", "completed")
    [post], [look] = stand_in.sends(), stand_in.looks()
    assert look.at - post.at < 1


def test_retry_after_is_honoured(page: Page, stand_in: StandIn) -> None:
    """After a look that was answered with `Retry-After: 2`, two seconds pass before the next, and not many more."""
    stand_in.retry_after = 2
    stand_in.show(a_job("created"))
    page.goto("/jobs")

    send(page, "What is a queue?")

    stand_in.wait_until(lambda: len(stand_in.looks()) == 4)
    gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(stand_in.looks())]
    assert all(1.95 <= gap <= 6 for gap in gaps), gaps


def test_the_quick_looks_are_few(page: Page, stand_in: StandIn) -> None:
    """Four looks in the first second, then one a second, as `Retry-After: 1` asks."""
    stand_in.show(a_job("created"))
    page.goto("/jobs")

    send(page, "What is a queue?")

    stand_in.wait_until(lambda: len(stand_in.looks()) == 7)
    gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(stand_in.looks())]
    assert all(gap >= 0.95 for gap in gaps[3:]), gaps


@pytest.mark.parametrize(
    "stumble", [Drop(), Refuse(500, "internal"), Refuse(503, "not_ready", retry_after=1), HtmlPage(404)]
)
def test_no_failed_look_ends_the_polling(page: Page, stand_in: StandIn, stumble: Drop | Refuse | HtmlPage) -> None:
    """Dropped connections, faults of the server and a proxy's own pages are all survived, three in a row."""
    stand_in.show(a_job("created"), a_job("processing"), completed("Here."))
    stand_in.gets.extend([stumble] * 3)
    page.goto("/jobs")

    sent = send(page, "What is a queue?")

    expect(sent.locator(".answer")).to_have_text("Here.", timeout=15_000)


def test_failed_looks_come_further_and_further_apart(page: Page, stand_in: StandIn) -> None:
    """A server that cannot answer is not beaten while it is down: half the ceiling is never jittered away."""
    stand_in.show(a_job("created"))
    stand_in.gets.extend([Drop()] * 5)
    page.goto("/jobs")

    send(page, "What is a queue?")

    stand_in.wait_until(lambda: len(stand_in.looks()) == 5)
    gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(stand_in.looks())]
    for gap, least in zip(gaps, [0.25, 0.5, 1.0, 2.0], strict=True):
        assert least - 0.02 <= gap <= 2 * least + 3, gaps


def test_the_page_says_so_while_the_server_is_not_ready(page: Page, stand_in: StandIn) -> None:
    """A line counts down to the next look, a press of its button looks at once, and it goes when all is well."""
    stand_in.show(a_job("created"))
    stand_in.gets.append(Refuse(503, "not_ready", retry_after=60))
    page.goto("/jobs")
    send(page, "What is a queue?")
    notice = page.locator("#notice")
    expect(notice).to_contain_text("The server is not ready (not_ready).")
    expect(notice).to_contain_text("Looking again in 1 min")
    stand_in.show(completed())

    notice.get_by_role("button", name="Look now").click()

    expect(page.locator(".answer")).to_be_visible()
    expect(notice).to_be_hidden()


def test_a_wake_up_does_not_override_a_refusing_server(page: Page, stand_in: StandIn) -> None:
    """A server that said when to come back is left alone until then, however often the network returns."""
    stand_in.show(a_job("created"))
    stand_in.gets.append(Refuse(503, "not_ready", retry_after=60))
    page.clock.install()
    page.goto("/jobs")
    send(page, "What is a queue?")
    expect(page.locator("#notice")).to_be_visible()
    page.clock.fast_forward(5_000)

    page.evaluate("for (let i = 0; i < 5; i += 1) window.dispatchEvent(new Event('online'))")

    send(page, "And a second one?")
    stand_in.wait_until(lambda: len(stand_in.looks()) == 2)
    assert len({seen.path for seen in stand_in.looks()}) == 2


def test_the_page_looks_at_once_when_the_network_is_back(page: Page, stand_in: StandIn) -> None:
    """Nobody waits out a back-off of many seconds whose reason has gone."""
    stand_in.retry_after = 60
    stand_in.show(a_job("created"))
    page.clock.install()
    page.goto("/jobs")
    sent = send(page, "What is a queue?")
    stand_in.wait_until(lambda: len(stand_in.looks()) == 1)
    expect(sent).to_have_attribute("data-state", "created")
    stand_in.show(completed("Back."))
    page.clock.fast_forward(3_000)
    assert len(stand_in.looks()) == 1

    page.context.set_offline(True)
    page.context.set_offline(False)

    expect(sent.locator(".answer")).to_have_text("Back.", timeout=3_000)


def test_the_page_looks_at_once_when_the_machine_has_slept(page: Page, stand_in: StandIn) -> None:
    """A lid that is opened over a visible page fires no event; the page notices that time has jumped."""
    stand_in.retry_after = 120
    stand_in.show(a_job("created"))
    page.clock.install()
    page.goto("/jobs")
    sent = send(page, "What is a queue?")
    stand_in.wait_until(lambda: len(stand_in.looks()) == 1)
    expect(sent).to_have_attribute("data-state", "created")
    stand_in.show(completed("Good morning."))

    page.clock.fast_forward(60_000)

    expect(sent.locator(".answer")).to_have_text("Good morning.", timeout=5_000)


def test_a_look_cut_off_by_sleep_is_made_again(page: Page, stand_in: StandIn) -> None:
    """A connection that died while the machine slept never answers; waking up gives it up."""
    hold = Hold()
    stand_in.show(completed("Good morning."))
    stand_in.gets.append(hold)
    page.clock.install(time=0)
    page.goto("/jobs")
    page.clock.pause_at(10)
    sent = send(page, "What is a queue?")
    expect(sent).to_have_attribute("data-state", "created")
    page.clock.run_for(1)
    page.clock.run_for(200)
    stand_in.wait_until(lambda: len(stand_in.looks()) == 1)

    # Nine seconds in all: the look's own limit of ten is not what ends it.
    page.clock.fast_forward(8_000)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.clock.run_for(1)
    page.clock.run_for(1_000)

    expect(sent.locator(".answer")).to_have_text("Good morning.")
    hold.release.set()


def test_one_job_never_has_two_looks_under_way(page: Page, stand_in: StandIn) -> None:
    """A slow answer is waited for, even while events say that now would be a good moment to look."""
    hold = Hold()
    stand_in.show(a_job("created"), completed())
    stand_in.gets.append(hold)
    # Counted in the browser: its cache lets a second request for the same address wait for the first.
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/api/jobs/" in request.url else None)
    page.clock.install()
    page.goto("/jobs")
    sent = send(page, "What is a queue?")
    stand_in.wait_until(lambda: len(stand_in.looks()) == 1)

    for _ in range(3):
        page.evaluate("window.dispatchEvent(new Event('online'))")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.clock.fast_forward(1_000)
    asked_meanwhile = len(asked)
    hold.release.set()

    expect(sent).to_have_attribute("data-state", "completed")
    assert asked_meanwhile == 1


def test_a_look_without_an_answer_is_given_up_and_made_again(page: Page, stand_in: StandIn) -> None:
    """A server that takes the question and says nothing holds the page for ten seconds, not for ever."""
    hold = Hold()
    stand_in.show(completed("At last."))
    stand_in.gets.append(hold)
    page.clock.install()
    page.goto("/jobs")
    sent = send(page, "What is a queue?")
    stand_in.wait_until(lambda: len(stand_in.looks()) == 1)

    page.clock.fast_forward(9_000)
    assert len(stand_in.looks()) == 1
    page.clock.fast_forward(1_000)

    expect(sent.locator(".answer")).to_have_text("At last.")
    hold.release.set()


def test_unfinished_jobs_are_taken_up_after_a_reload(page: Page, stand_in: StandIn) -> None:
    """A reload shows every message at once and goes on with those that are not finished, asking about no other."""
    page.goto("/jobs")
    done = send(page, "A first one")
    expect(done).to_have_attribute("data-state", "completed")
    stand_in.show(a_job("analyzing"))
    working = send(page, "A second one")
    expect(working).to_have_attribute("data-state", "analyzing")
    looks_before = len(stand_in.looks())

    page.reload()

    expect(page.locator(".exchange")).to_have_count(2)
    expect(page.locator(".asked__text")).to_have_text(["A first one", "A second one"])
    expect(page.locator(".answer")).to_have_text("It is done.")
    stand_in.show(completed("Second answer."))
    expect(working.locator(".answer")).to_have_text("Second answer.")
    assert len({seen.path for seen in stand_in.looks()[looks_before:]}) == 1
    assert len(stand_in.sends()) == 2


def test_two_tabs_show_the_same_list(open_context: OpenContext, stand_in: StandIn) -> None:
    """What one tab sends appears in the other, and neither forgets what the other has added."""
    context = open_context()
    here, there = context.new_page(), context.new_page()
    here.goto("/jobs")
    there.goto("/jobs")

    send(here, "From here")
    expect(there.locator(".asked__text")).to_have_text("From here")
    send(there, "From there")

    for tab in (here, there):
        expect(tab.locator(".asked__text")).to_have_text(["From here", "From there"])
        expect(tab.locator(".answer")).to_have_count(2)
    assert len(stand_in.jobs) == 2
