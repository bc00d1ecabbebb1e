"""Steps: what a person does on the page, in the words of the tests."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Locator, Page


def send(page: Page, message: str) -> Locator:
    """Write a message and press Send; the card that it becomes."""
    page.get_by_label("Your message").fill(message)
    page.get_by_role("button", name="Send", exact=True).click()
    return card(page)


def card(page: Page, index: int = -1) -> Locator:
    """A message's card; the newest unless told."""
    return page.get_by_role("list").locator(".exchange").nth(index)


def stop_marks(card: Locator) -> list[tuple[str, str]]:
    """The stops of a card's way: what each is called and how it is marked."""
    stops = card.locator(".stop")
    script = "stops => stops.map(stop => [stop.querySelector('.stop__name').textContent, stop.dataset.mark])"
    return [(name, mark) for name, mark in stops.evaluate_all(script)]


def listen_to_announcer(page: Page) -> Callable[[], list[str]]:
    """Note every line that screen readers are given from now on; call it for what was said so far."""
    page.evaluate("""() => {
        window.heard = [];
        new MutationObserver((changes) => {
            const lines = changes.flatMap((change) => [...change.addedNodes]);
            window.heard.push(...lines.map((line) => line.textContent.trim()));
        }).observe(document.getElementById('announcer'), { childList: true });
    }""")
    return lambda: list(page.evaluate("window.heard"))
