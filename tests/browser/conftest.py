"""A browser, a stand-in server, and pages that are watched: a test fails for what its page did wrong unseen."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from .stand_in import StandIn

LISTEN = """
window.violations = [];
document.addEventListener('securitypolicyviolation', (event) => {
  window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`);
});
"""


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """A server of the test's own, on a port of its own."""
    with StandIn() as server:
        yield server


@dataclass
class Watch:
    """What went wrong in the pages of one context, noted as it happened."""

    own: tuple[str, ...]
    faults: list[str] = field(default_factory=list)

    def follow(self, page: Page) -> None:
        """Note what this page does wrong from now on."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"uncaught: {error}"))
        page.on("request", self._request)

    def _console(self, message: ConsoleMessage) -> None:
        # The browser itself writes a line for every failed request, and here requests to the API fail on purpose.
        # An icon that was still to be fetched when a test took the network away is no fault either.
        failed = message.text.startswith("Failed to load resource")
        on_purpose = failed and ("/api/" in message.location["url"] or "ERR_INTERNET_DISCONNECTED" in message.text)
        if message.type in {"error", "warning"} and not on_purpose:
            self.faults.append(f"console {message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((*self.own, "data:", "blob:")):
            self.faults.append(f"a request left for {request.url}")


OpenContext = Callable[..., BrowserContext]


@contextlib.contextmanager
def watched(browser: Browser, url: str, *own: str) -> Iterator[OpenContext]:
    """Makes browser contexts on a server, whose pages are watched.

    Args:
        own: other names that the server has.
    """
    contexts: list[BrowserContext] = []
    watch = Watch(own=(url, *own))

    def make(**options: Any) -> BrowserContext:
        options = {"viewport": {"width": 1440, "height": 900}, "base_url": url, "locale": "en-GB"} | options
        context = browser.new_context(**options)
        context.add_init_script(LISTEN)
        context.on("page", watch.follow)
        context.set_default_timeout(10_000)
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        for page in context.pages:
            watch.faults += [f"CSP: {violation}" for violation in page.evaluate("window.violations ?? []")]
        context.close()
    assert watch.faults == []


@pytest.fixture
def open_context(browser: Browser, stand_in: StandIn) -> Iterator[OpenContext]:
    """Make a browser context whose pages are watched; takes what `Browser.new_context` takes."""
    with watched(browser, stand_in.url, f"http://parley.test:{stand_in.port}") as make:
        yield make


@pytest.fixture
def page(open_context: OpenContext) -> Page:
    """A page in a wide window, not opened yet."""
    return open_context().new_page()
