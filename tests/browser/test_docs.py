"""The API docs: Swagger UI from our own files, under our own policy."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from .conftest import OpenContext


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_api_docs_render_from_our_own_files_alone(open_context: OpenContext, scheme: str) -> None:
    """An OpenAPI 3.1 document is drawn and can be opened; the policy is kept and no request leaves this server."""
    page = open_context(color_scheme=scheme).new_page()

    page.goto("/api/docs")

    expect(page.get_by_role("heading", name="Parley")).to_be_visible()
    expect(page.locator(".opblock")).to_have_count(2)
    page.locator(".opblock-post .opblock-summary-control").click()
    expect(page.locator(".opblock-post textarea")).to_be_visible()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(ground) < 60) == (scheme == "dark")


def test_a_request_can_be_tried_from_the_api_docs(open_context: OpenContext) -> None:
    """Pressing Execute asks this server and shows what it says."""
    page = open_context().new_page()
    page.goto("/api/docs")
    page.locator(".opblock-get .opblock-summary-control").click()
    page.get_by_placeholder("job_id").fill("6b0f0c52-3c0e-4b43-9a4f-6d1d1d8f0000")

    page.get_by_role("button", name="Execute").click()

    expect(page.locator(".live-responses-table")).to_contain_text("404")
