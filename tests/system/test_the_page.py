"""A person at the page of the running product."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.steps import send
from tests.system.stack import Stack

pytestmark = [
    pytest.mark.xdist_group("people"),
    # Playwright's event loop stays open between tests of a session.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.mark.parametrize("width", [360, 1440])
def test_a_message_is_answered_on_the_page_and_kept_over_a_reload(stack: Stack, browser: Browser, width: int) -> None:
    """Typed, sent, drawn, answered; after a reload it is still there; nothing was blocked or complained about."""
    page = browser.new_page(viewport={"width": width, "height": 800})
    complaints: list[str] = []
    page.on(
        "console", lambda message: complaints.append(message.text) if message.type in ("error", "warning") else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"http://127.0.0.1:{stack.port}/jobs")

    sent = send(page, "[[latency-ms=300]] Hello")
    expect(sent).to_have_attribute("data-state", "completed", timeout=20_000)
    expect(sent.locator(".answer")).to_contain_text("Echo:")
    page.reload()

    expect(page.get_by_role("list").locator(".exchange").last.locator(".answer")).to_contain_text(
        "Echo:", timeout=20_000
    )
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert complaints == []
    page.close()


def test_the_api_reference_renders_under_the_policy(stack: Stack, browser: Browser) -> None:
    """Swagger UI from vendored files; nothing is asked of another host."""
    page = browser.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: asked.append(request.url))

    page.goto(f"http://127.0.0.1:{stack.port}/api/docs")
    expect(page.get_by_text("/api/jobs/{job_id}").first).to_be_visible(timeout=20_000)

    assert complaints == []
    assert all(url.startswith((f"http://127.0.0.1:{stack.port}/", "data:")) for url in asked)
    page.close()
