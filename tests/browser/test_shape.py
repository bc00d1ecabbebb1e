"""The page's shape: narrow and wide, light and dark, by keyboard alone and by ear."""

from __future__ import annotations

import uuid

import pytest
from playwright.sync_api import Page, expect

from .conftest import OpenContext
from .documents import a_job, ago, an_attempt, completed
from .script import Refuse
from .stand_in import StandIn
from .steps import card, listen_to_announcer, send

PHONE = {"viewport": {"width": 360, "height": 780}, "has_touch": True, "is_mobile": True}
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

# Every text with its contrast against the nearest ground that is not transparent (WCAG 2, relative luminance).
CONTRAST = """() => {
  const parse = (color) => (color.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const weak = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let count = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    count += 1;
    if (ratio < 4.5) weak.push(`${ratio.toFixed(2)} ${walker.currentNode.textContent.trim().slice(0, 40)}`);
  }
  return { count, weak };
}"""


def fill_with_everything(page: Page, stand_in: StandIn) -> None:
    """One card of each kind, long words and long code included."""
    page.goto("/jobs")
    stand_in.show(completed("W" * 400 + "\n\n```\n" + "code " * 80 + "\n```", model="m" * 120, degraded=True))
    expect(send(page, "A" * 500)).to_have_attribute("data-state", "completed")
    stumbled = an_attempt(started=3, asked=2.9, finished=1, error_code="provider_unavailable")
    error = {"code": "e" * 90, "message": "M" * 300}
    stand_in.show(a_job("failed", failures=5, attempt=5, error=error, attempts=[stumbled] * 5))
    expect(send(page, "Line\n" * 40)).to_have_attribute("data-state", "failed")
    stand_in.show(a_job("retrying", failures=1, attempt=1, nextAttemptAt=ago(-90), attempts=[stumbled]))
    expect(send(page, "What is a queue?")).to_have_attribute("data-state", "retrying")
    stand_in.deletes.append(Refuse(503, "database_unavailable"))
    stand_in.show(a_job("created", waitReason="breaker_open", batchId=str(uuid.uuid4()), priority=9, runAt=ago(9)))
    sent = send(page, "Will it be long?")
    sent.get_by_role("button", name="Cancel").click()
    expect(sent).to_contain_text("Not cancelled yet.")
    for summary in page.get_by_text("Technical details").all():
        summary.click()


@pytest.mark.parametrize("width", [320, 360, 768, 1440])
def test_nothing_scrolls_sideways(open_context: OpenContext, stand_in: StandIn, width: int) -> None:
    """Long words wrap, long code scrolls in a box of its own, at any width."""
    page = open_context(viewport={"width": width, "height": 780}).new_page()
    page.goto("/jobs")
    assert page.evaluate(OVERFLOW) == 0

    fill_with_everything(page, stand_in)

    assert page.evaluate(OVERFLOW) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(open_context: OpenContext, stand_in: StandIn, scheme: str) -> None:
    """The contrast is at least 4.5:1 in both colour schemes, and the dark one is dark."""
    page = open_context(color_scheme=scheme, reduced_motion="reduce").new_page()
    page.goto("/jobs")
    empty = page.evaluate(CONTRAST)
    fill_with_everything(page, stand_in)

    full = page.evaluate(CONTRAST)

    assert empty["weak"] == []
    assert full["weak"] == []
    assert full["count"] > 60
    ground = page.evaluate("getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(ground) < 60) == (scheme == "dark")


def test_what_a_finger_presses_is_large_enough(open_context: OpenContext, stand_in: StandIn) -> None:
    """Every control is at least 44 px high and wide, and typing makes no phone zoom in."""
    page = open_context(**PHONE).new_page()
    fill_with_everything(page, stand_in)

    small = page.locator("button:visible, summary:visible, nav a:visible, label.kind:visible").evaluate_all(
        """elements => elements.map((element) => [element.textContent.trim(), element.getBoundingClientRect()])
            .filter(([, box]) => box.height < 44 || box.width < 44).map(([name, box]) => `${name}: ${box.height}`)"""
    )

    assert small == []
    assert page.get_by_label("Your message").evaluate("box => parseFloat(getComputedStyle(box).fontSize)") >= 16


def test_enter_starts_a_new_line_where_there_is_no_keyboard(open_context: OpenContext, stand_in: StandIn) -> None:
    """On a phone there is no Shift to hold, so only the button sends."""
    page = open_context(**PHONE).new_page()
    page.goto("/jobs")
    box = page.get_by_label("Your message")
    box.tap()
    page.keyboard.type("One")
    page.keyboard.press("Enter")
    page.keyboard.type("Two")
    expect(box).to_have_value("One\nTwo")

    page.get_by_role("button", name="Send", exact=True).tap()

    expect(card(page)).to_have_attribute("data-state", "completed")
    assert stand_in.sends()[0].body["message"] == "One\nTwo"


def test_everything_is_done_by_keyboard_alone(page: Page, stand_in: StandIn) -> None:
    """Skip to the box, write two lines, choose, send, and reach the answer's buttons: no pointer anywhere."""
    page.goto("/jobs")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the message box")).to_be_focused()
    expect(page.get_by_role("link", name="Skip to the message box")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Your message")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("radio", name="Summarize")).to_be_checked()
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("One")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("Two")

    page.keyboard.press("Enter")

    expect(card(page)).to_have_attribute("data-state", "completed")
    expect(page.get_by_label("Your message")).to_be_focused()
    assert stand_in.sends()[0].body == {"message": "One\nTwo", "type": "summarize"}
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_text("Technical details")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("details")).to_have_attribute("open", "")
    page.keyboard.press("Shift+Tab")
    expect(page.get_by_role("button", name="Copy answer")).to_be_focused()
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_an_input_method_may_use_enter(page: Page, stand_in: StandIn) -> None:
    """While a word is being composed, Enter picks it and sends nothing."""
    page.goto("/jobs")
    page.get_by_label("Your message").fill("こんに")

    page.get_by_label("Your message").evaluate(
        "box => box.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, cancelable: true}))"
    )

    expect(page.get_by_label("Your message")).to_have_value("こんに")
    assert stand_in.sends() == []


def test_a_status_is_announced_once(page: Page, stand_in: StandIn) -> None:
    """Looks that find nothing new say nothing: one announcement for each change of status."""
    stand_in.show(a_job("created"))
    page.goto("/jobs")
    heard = listen_to_announcer(page)
    sent = send(page, "What is a queue?")
    expect(sent).to_have_attribute("data-state", "created")
    stand_in.wait_until(lambda: len(stand_in.looks()) >= 4)
    stand_in.show(a_job("analyzing", attempts=[an_attempt(started=1, asked=0.9)]))
    expect(sent).to_have_attribute("data-state", "analyzing")
    stand_in.show(completed())
    expect(sent).to_have_attribute("data-state", "completed")

    expect(page.locator("#announcer")).to_contain_text("completed")
    assert heard() == [
        "What is a queue?: created",
        "What is a queue?: analyzing",
        "What is a queue?: completed, the answer is there",
    ]


def test_the_box_holds_what_the_server_takes_and_no_more(page: Page, stand_in: StandIn) -> None:
    """A counter appears near the limit, counts as the server does, and what is too long or empty is not sent."""
    page.goto("/jobs")
    box, count = page.get_by_label("Your message"), page.locator("#composer-count")
    box.fill("😀" * 29_999)
    expect(count).to_be_hidden()
    box.fill("😀" * 31_990)
    expect(count).to_have_text("10 left")
    box.fill("x" * 32_005)
    expect(count).to_have_text("5 too many")
    box.press("Enter")
    expect(page.locator("#composer-error")).to_contain_text("this one is 5 too long")
    expect(box).to_have_attribute("aria-invalid", "true")
    box.fill(" \n ")
    box.press("Enter")
    expect(page.locator("#composer-error")).to_have_text("Write a message first.")
    assert stand_in.sends() == []

    box.fill("x" * 32_000)
    box.press("Enter")

    expect(card(page)).to_have_attribute("data-state", "completed")
    assert len(stand_in.sends()[0].body["message"]) == 32_000


def test_the_box_grows_with_its_text(page: Page) -> None:
    """Up to a point; then it scrolls."""
    page.goto("/jobs")
    box = page.get_by_label("Your message")
    heights = []
    for lines in (1, 4, 100):
        box.fill("\n".join(["line"] * lines))
        heights.append(box.evaluate("box => box.offsetHeight"))

    assert heights[0] < heights[1] < heights[2] < 400


def test_an_example_fills_the_box(page: Page, stand_in: StandIn) -> None:
    """It is put there to be read or changed, and is sent only by the one who asked."""
    page.goto("/jobs")

    page.get_by_role("button", name="A paragraph on why the tide").click()

    expect(page.get_by_label("Your message")).to_be_focused()
    expect(page.get_by_role("radio", name="Summarize")).to_be_checked()
    page.keyboard.press("Enter")
    expect(card(page)).to_have_attribute("data-state", "completed")
    expect(page.get_by_role("heading", name="What would you like to know?")).to_be_hidden()
    assert stand_in.sends()[0].body["message"].startswith("The tide is the slow rise")


def test_a_countdown_is_right_on_a_clock_that_is_wrong(open_context: OpenContext, stand_in: StandIn) -> None:
    """The server's own clock is read off its answers, so a computer an hour ahead still counts down."""
    context = open_context()
    context.add_init_script("""
        const now = Date.now.bind(Date);
        Date.now = () => now() + 3_600_000;
    """)
    page = context.new_page()
    stumbled = an_attempt(started=3, asked=2.9, finished=1, error_code="provider_unavailable")
    stand_in.show(a_job("retrying", failures=1, attempt=1, nextAttemptAt=ago(-40), attempts=[stumbled]))
    page.goto("/jobs")

    sent = send(page, "What is a queue?")

    expect(sent.locator(".note")).to_contain_text("Next try in 3")


def test_a_page_without_scripts_says_what_it_needs(open_context: OpenContext) -> None:
    """Instead of a box that does nothing there is a sentence, and the way to the API."""
    page = open_context(java_script_enabled=False).new_page()

    page.goto("/jobs")

    # Playwright stops scripts without telling the style sheet, so the sentence is read rather than seen.
    assert "This page needs JavaScript" in page.locator("noscript").inner_html()
    expect(page.get_by_label("Your message")).to_be_hidden()
