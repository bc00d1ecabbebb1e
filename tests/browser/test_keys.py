"""The page of API keys: made, shown once, revoked, and nobody's but one's own."""

from __future__ import annotations

from collections import deque

import pytest
from playwright.sync_api import Page, expect

from .accounts import PASSWORD
from .conftest import OpenContext
from .script import Refuse
from .stand_in import StandIn
from .test_account import fill_sign_in, open_account, sign_in, stored
from .test_shape import CONTRAST, OVERFLOW, PHONE

KEY = ".once__key"


def open_keys(page: Page, stand_in: StandIn, **fields: str) -> None:
    """The page, as Ada."""
    stand_in.accounts.add("ada", "Ada", **fields)
    page.goto("/jobs")
    sign_in(page, "ada")
    page.goto("/keys")
    expect(page.get_by_text("You have no keys yet.")).to_be_visible()


def make_key(page: Page, name: str) -> None:
    """Fill in the form and send it."""
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Make key").click()


def test_a_key_is_shown_once(page: Page, stand_in: StandIn) -> None:
    """In full, with a button that copies it, and a word of warning; after a reload only its beginning is there."""
    open_keys(page, stand_in)
    page.get_by_label("Send and cancel jobs").uncheck()
    page.get_by_label("Good for").select_option("30 days")

    make_key(page, "nightly")

    expect(page.get_by_role("region", name="Copy the key")).to_be_focused()
    [key] = stand_in.accounts.people["ada"].keys
    text = page.locator(KEY).inner_text()
    assert text.startswith(key["prefix"])
    assert len(text) == 50
    assert key["scopes"] == ["jobs:read"]
    assert key["expiresAt"] is not None
    expect(page.get_by_role("region", name="Copy the key")).to_contain_text("It is shown this once")
    expect(page.get_by_role("button", name="Copy key")).to_be_visible()
    expect(page.locator(".key")).to_contain_text(f"nightly{key['prefix']}…jobs:read")
    assert text not in stored(page)
    page.reload()
    expect(page.locator(".key")).to_have_count(1)
    assert text not in page.content()


def test_who_has_the_key_puts_it_away(page: Page, stand_in: StandIn) -> None:
    """It leaves the page at once, and another can be made."""
    open_keys(page, stand_in)
    make_key(page, "first")

    page.get_by_role("button", name="I have it").click()

    expect(page.locator(KEY)).to_have_count(0)
    expect(page.get_by_label("Name", exact=True)).to_be_focused()
    make_key(page, "second")
    expect(page.locator(".key h3")).to_have_text(["second", "first"])


def test_a_key_is_revoked_after_a_question(page: Page, stand_in: StandIn) -> None:
    """A slip of the finger revokes nothing."""
    open_keys(page, stand_in)
    for name in ("first", "second"):
        make_key(page, name)
        page.get_by_role("button", name="I have it").click()
    page.get_by_role("button", name="Revoke second").click()
    page.get_by_role("dialog", name="Revoke “second”?").get_by_role("button", name="Keep it").click()
    expect(page.get_by_role("button", name="Revoke second")).to_be_focused()

    page.get_by_role("button", name="Revoke second").click()
    page.get_by_role("dialog", name="Revoke “second”?").get_by_role("button", name="Revoke").click()

    expect(page.locator(".key h3")).to_have_text(["first"])
    expect(page.get_by_role("button", name="Revoke first")).to_be_focused()
    assert [key["name"] for key in stand_in.accounts.people["ada"].keys] == ["first"]


def test_a_refused_key_says_why(page: Page, stand_in: StandIn) -> None:
    """At its field, or above the button."""
    open_keys(page, stand_in)
    page.get_by_role("button", name="Make key").click()
    expect(page.locator("#make-key-name-error")).to_have_text("This is needed.")
    stand_in.accounts.replies["/api/me/keys"] = deque([Refuse(409, "too_many_keys", "You have 50.")])

    make_key(page, "one too many")

    expect(page.locator("#make-key")).to_contain_text("You have as many API keys as you may. Revoke one first.")
    expect(page.locator(KEY)).to_have_count(0)


@pytest.mark.parametrize(("role", "count"), [("user", 4), ("operator", 5)])
def test_only_an_operator_is_offered_what_an_operator_may(page: Page, stand_in: StandIn, role: str, count: int) -> None:
    """A box that could only be refused is not there."""
    open_keys(page, stand_in, role=role)

    expect(page.get_by_role("checkbox")).to_have_count(count)


def test_a_guest_is_asked_to_sign_in_and_an_account_that_leaves_takes_its_keys_along(
    page: Page, stand_in: StandIn
) -> None:
    """Keys belong to accounts: without one there is a button, and after signing out nothing of before is left."""
    stand_in.accounts.add("ada", "Ada")
    page.goto("/keys")
    expect(page.get_by_text("API keys belong to an account.")).to_be_visible()
    expect(page.get_by_role("button", name="Make key")).to_be_hidden()
    page.locator("#keys-sign-in").click()
    fill_sign_in(page, "ada", PASSWORD)
    make_key(page, "nightly")
    text = page.locator(KEY).inner_text()
    open_account(page)

    page.get_by_role("button", name="Sign out", exact=True).click()

    expect(page.get_by_text("API keys belong to an account.")).to_be_visible()
    assert text not in page.content()
    expect(page.get_by_text("nightly")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_accounts_and_keys_can_be_read(open_context: OpenContext, stand_in: StandIn, scheme: str) -> None:
    """Contrast of at least 4.5:1 on the page of keys, in the profile and in a form full of complaints."""
    page = open_context(color_scheme=scheme, reduced_motion="reduce").new_page()
    page.goto("/jobs")
    open_account(page)
    page.get_by_role("button", name="Sign in", exact=True).click()
    complaints = page.evaluate(CONTRAST)
    page.keyboard.press("Escape")
    open_keys(page, stand_in, role="operator")
    make_key(page, "nightly")
    keys = page.evaluate(CONTRAST)
    open_account(page)
    for summary in page.locator("dialog summary").all():
        summary.click()

    profile = page.evaluate(CONTRAST)

    assert complaints["weak"] == keys["weak"] == profile["weak"] == []


@pytest.mark.parametrize("width", [320, 360, 1440])
def test_no_long_name_scrolls_sideways(open_context: OpenContext, stand_in: StandIn, width: int) -> None:
    """Names are people's own; the page holds whatever they are."""
    page = open_context(viewport={"width": width, "height": 780}).new_page()
    stand_in.accounts.add("ada", "W" * 64, role="operator")
    page.goto("/jobs")
    sign_in(page, "ada")
    assert page.evaluate(OVERFLOW) == 0
    page.goto("/keys")
    make_key(page, "K" * 64)
    expect(page.locator(KEY)).to_be_visible()

    assert page.evaluate(OVERFLOW) == 0
    open_account(page)
    dialog = page.get_by_role("dialog")
    assert dialog.evaluate("box => box.scrollWidth - box.clientWidth") == 0


def test_what_a_finger_presses_about_an_account_is_large_enough(open_context: OpenContext, stand_in: StandIn) -> None:
    """At least 44 px, as everywhere on the page."""
    page = open_context(**PHONE).new_page()
    open_keys(page, stand_in)
    make_key(page, "nightly")
    expect(page.locator(KEY)).to_be_visible()
    open_account(page)
    for summary in page.locator("dialog summary").all():
        summary.click()

    small = page.locator(
        "button:visible, summary:visible, nav a:visible, label.scope:visible, dialog a:visible, .field input:visible"
    ).evaluate_all(
        """elements => elements.map((element) => [element.outerHTML.slice(0, 80), element.getBoundingClientRect()])
            .filter(([, box]) => box.height < 44 || box.width < 44).map(([name, box]) => `${name}: ${box.height}`)"""
    )

    assert small == []
