"""Accounts: whoever uses the page is known to be themselves, and nothing of theirs is lost or shown to another."""

from __future__ import annotations

import re
import threading
from collections import deque
from typing import cast

import pytest
from playwright.sync_api import Page, Route, expect

from .accounts import PASSWORD
from .conftest import OpenContext
from .documents import a_job, completed
from .script import Drop, Hold, Refuse
from .stand_in import StandIn
from .steps import card, listen_to_announcer, send

MESSAGE = "Your message"

NEXT_LOOK_MS = 15_000
"""A server that asks for nothing is looked at again after 6 s at most (`static/js/schedule.js`)."""


def open_account(page: Page) -> None:
    """Press the button that says who is using the page."""
    page.locator("#account").click()


def fill_sign_in(page: Page, username: str, password: str = PASSWORD) -> None:
    """Fill in the form that is open, and send it."""
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password", exact=True).fill(password)
    page.keyboard.press("Enter")


def sign_in(page: Page, username: str, password: str = PASSWORD) -> None:
    """From the button to the name in it."""
    open_account(page)
    fill_sign_in(page, username, password)
    expect(page.get_by_role("dialog")).to_have_count(0)


def stored(page: Page) -> str:
    """All that this browser keeps where a script can read it."""
    return str(page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"))


def test_a_guest_needs_to_do_nothing(page: Page, stand_in: StandIn) -> None:
    """A first visit asks for a guest's cookie, and for nothing that would be refused; messages go as that guest."""
    page.goto("/jobs")

    sent = send(page, "What is a queue?")

    expect(sent).to_have_attribute("data-state", "completed")
    expect(page.locator("#account")).to_have_text("Guest")
    assert stand_in.accounts.asked == [("POST", "/api/auth/guest")]
    assert set(stand_in.owners.values()) == {"guest-1"}


def test_who_signs_in_takes_the_guest_s_messages_along(page: Page, stand_in: StandIn) -> None:
    """The list, the jobs under way and the draft are the user's from then on, also after a reload."""
    ada = stand_in.accounts.add("ada", "Ada Lovelace")
    stand_in.show(a_job("analyzing"))
    page.goto("/jobs")
    sent = send(page, "Asked as a guest")
    expect(sent).to_have_attribute("data-state", "analyzing")
    page.get_by_label(MESSAGE).fill("Half a thou")

    sign_in(page, "ada")

    expect(page.locator("#account")).to_have_text("Ada Lovelace")
    expect(page.locator("#account")).to_be_focused()
    stand_in.show(completed("Answered to Ada."))
    expect(card(page).locator(".answer")).to_have_text("Answered to Ada.", timeout=NEXT_LOOK_MS)
    page.reload()
    expect(page.locator("#account")).to_have_text("Ada Lovelace")
    expect(card(page).locator(".answer")).to_have_text("Answered to Ada.")
    expect(page.get_by_label(MESSAGE)).to_have_value("Half a thou")
    assert set(stand_in.owners.values()) == {ada.user_id}
    send(page, "Asked as Ada")
    stand_in.wait_until(lambda: len(stand_in.sends()) == 2)
    assert stand_in.sends()[-1].authorization is not None


def test_a_wrong_password_says_so_and_keeps_what_was_typed(page: Page, stand_in: StandIn) -> None:
    """Nothing says whether it was the name or the password; both stay, and the next try may be right."""
    stand_in.accounts.add("ada")
    page.goto("/jobs")
    open_account(page)

    fill_sign_in(page, "ada", "not it")

    expect(page.get_by_role("alert").filter(has_text="wrong")).to_have_text("Username or password is wrong.")
    expect(page.get_by_label("Username")).to_have_value("ada")
    page.get_by_role("button", name="Show password").click()
    expect(page.get_by_label("Password", exact=True)).to_have_attribute("type", "text")
    fill_sign_in(page, "ada")
    expect(page.locator("#account")).to_have_text("ada")


def test_too_many_tries_say_when_the_next_may_be(page: Page, stand_in: StandIn) -> None:
    """A limit is no riddle."""
    stand_in.accounts.replies["/api/auth/login"] = deque([Refuse(429, "too_many_requests", retry_after=40)])
    page.goto("/jobs")
    open_account(page)

    fill_sign_in(page, "ada")

    expect(page.locator("#sign-in")).to_contain_text("That was tried too often. Try again in 40 s.")


def test_what_is_wrong_with_a_registration_is_said_at_its_field(page: Page, stand_in: StandIn) -> None:
    """Each field has its sentence, tied to it for those who cannot see, and the first has the focus."""
    stand_in.accounts.add("ada")
    page.goto("/jobs")
    open_account(page)
    page.get_by_role("button", name="No account yet: register").click()
    page.get_by_role("button", name="Register", exact=True).click()
    expect(page.locator("#register-username-error")).to_have_text("This is needed.")
    assert stand_in.accounts.count("/api/auth/register") == 0

    fill_sign_in(page, "x", "short")

    expect(page.locator("#register-username-error")).to_contain_text("Use 3 to 32 of")
    expect(page.locator("#register-password-error")).to_have_text("At least 10 characters.")
    expect(page.get_by_label("Username")).to_be_focused()
    expect(page.get_by_label("Username")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("Username")).to_have_accessible_description(re.compile("Use 3 to 32 of"))
    fill_sign_in(page, "ada", "long enough to be taken")
    expect(page.locator("#register-username-error")).to_have_text("Somebody has this username already.")
    page.get_by_label("Name to show").fill("Grace")
    fill_sign_in(page, "grace", "long enough to be taken")
    expect(page.locator("#account")).to_have_text("Grace")


def test_an_invitation_is_asked_for_where_it_is_needed(page: Page, stand_in: StandIn) -> None:
    """The field appears when the server says so, and a code that is not good is said at it."""
    stand_in.accounts.registration = "invitation"
    page.goto("/jobs")
    open_account(page)
    page.get_by_role("button", name="No account yet: register").click()
    expect(page.get_by_label("Invitation")).to_be_hidden()
    fill_sign_in(page, "ada")
    expect(page.get_by_label("Invitation")).to_be_focused()

    page.get_by_label("Invitation").fill("guessed")
    page.keyboard.press("Enter")
    expect(page.locator("#register-invitation-error")).to_contain_text("not valid")
    page.get_by_label("Invitation").fill("let-me-in")
    page.keyboard.press("Enter")

    expect(page.locator("#account")).to_have_text("ada")


def test_where_nobody_can_register_the_form_goes(page: Page, stand_in: StandIn) -> None:
    """One is told once, and left with what can be done."""
    stand_in.accounts.registration = "closed"
    page.goto("/jobs")
    open_account(page)
    page.get_by_role("button", name="No account yet: register").click()

    fill_sign_in(page, "ada")

    expect(page.get_by_role("dialog")).to_contain_text("Nobody can register here.")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(page.get_by_role("button", name="No account yet: register")).to_be_hidden()


def test_a_server_without_guests_asks_everyone_to_sign_in(page: Page, stand_in: StandIn) -> None:
    """The form is all there is; after it the page is there, with the box to write in."""
    stand_in.accounts.allow_guests = False
    stand_in.accounts.add("ada")
    page.goto("/jobs")
    expect(page.get_by_text("This server asks everyone to sign in.")).to_be_visible()
    expect(page.get_by_label(MESSAGE)).to_be_hidden()
    expect(page.get_by_role("dialog")).to_have_count(0)

    fill_sign_in(page, "ada")

    expect(page.get_by_label(MESSAGE)).to_be_focused()
    expect(page.locator("#account")).to_have_text("ada")
    expect(send(page, "What is a queue?")).to_have_attribute("data-state", "completed")


def test_a_session_that_ends_while_one_types_loses_nothing(page: Page, stand_in: StandIn) -> None:
    """What was sent waits, what is being typed stays, the page says why; after signing in everything goes on."""
    ada = stand_in.accounts.add("ada", "Ada")
    page.goto("/jobs")
    sign_in(page, "ada")
    heard = listen_to_announcer(page)
    stand_in.accounts.end_sessions()

    sent = send(page, "Sent too late")
    expect(sent).to_contain_text("Not sent yet. It goes out once you have signed in.")
    page.get_by_label(MESSAGE).fill("And half a thou")
    notice = page.locator("#notice")
    expect(notice).to_contain_text("Your session has ended.")
    asked_before = len(stand_in.sends())
    page.evaluate("window.dispatchEvent(new Event('online'))")
    notice.get_by_role("button", name="Sign in again").click()
    expect(page.get_by_label("Username")).to_have_value("ada")
    expect(page.get_by_label("Password", exact=True)).to_be_focused()
    assert len(stand_in.sends()) == asked_before
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")

    expect(sent).to_have_attribute("data-state", "completed")
    expect(page.get_by_label(MESSAGE)).to_have_value("And half a thou")
    expect(page.get_by_label(MESSAGE)).to_be_focused()
    expect(notice).to_be_hidden()
    assert len(stand_in.jobs) == 1
    assert set(stand_in.owners.values()) == {ada.user_id}
    assert any("Your session has ended. Sign in again." in line for line in heard())


def test_an_ended_session_survives_a_reload_with_its_unsent_message(page: Page, stand_in: StandIn) -> None:
    """It is still Ada's page, and what she wrote is not sent as a guest meanwhile."""
    ada = stand_in.accounts.add("ada")
    page.goto("/jobs")
    sign_in(page, "ada")
    stand_in.accounts.end_sessions()
    expect(send(page, "Sent too late")).to_have_attribute("data-state", "waiting")

    page.reload()

    expect(page.locator("#notice")).to_contain_text("Your session has ended.")
    expect(card(page)).to_contain_text("Not sent yet.")
    assert stand_in.jobs == {}
    sign_in(page, "ada")
    expect(card(page)).to_have_attribute("data-state", "completed")
    assert set(stand_in.owners.values()) == {ada.user_id}


def test_another_who_signs_in_meanwhile_sees_and_sends_nothing_of_the_first(page: Page, stand_in: StandIn) -> None:
    """What Ada wrote is neither Bob's to read nor sent as his; it waits for her."""
    ada, bob = stand_in.accounts.add("ada"), stand_in.accounts.add("bob")
    page.goto("/jobs")
    sign_in(page, "ada")
    stand_in.accounts.end_sessions()
    expect(send(page, "A secret of Ada's")).to_have_attribute("data-state", "waiting")
    page.get_by_label(MESSAGE).fill("Another")

    sign_in(page, "bob")

    expect(page.locator(".exchange")).to_have_count(0)
    expect(page.get_by_label(MESSAGE)).to_have_value("")
    send(page, "Bob's own")
    expect(card(page)).to_have_attribute("data-state", "completed")
    assert set(stand_in.owners.values()) == {bob.user_id}
    stand_in.accounts.end_sessions()
    page.reload()
    sign_in(page, "ada")
    expect(page.locator(".asked__text")).to_have_text("A secret of Ada's")
    expect(page.get_by_label(MESSAGE)).to_have_value("Another")
    expect(card(page)).to_have_attribute("data-state", "completed")
    assert list(stand_in.owners.values()) == [bob.user_id, ada.user_id]


def test_five_refused_requests_renew_the_token_once(page: Page, stand_in: StandIn) -> None:
    """A token that has run out is renewed by whoever notices first; the others wait for it, and all are repeated."""
    stand_in.accounts.add("ada")
    stand_in.show(a_job("created"))
    page.goto("/jobs")
    sign_in(page, "ada")
    for number in range(5):
        expect(send(page, f"Question {number}")).to_have_attribute("data-state", "created")
    hold = Hold()
    stand_in.accounts.replies["/api/auth/refresh"] = deque([hold])
    stand_in.accounts.expire_tokens()
    seen = len(stand_in.looks())
    page.evaluate("window.dispatchEvent(new Event('online'))")
    stand_in.wait_until(lambda: len({look.path for look in stand_in.looks()[seen:]}) == 5)
    stand_in.show(completed("Renewed."))

    hold.release.set()

    expect(page.locator(".answer")).to_have_text(["Renewed."] * 5)
    assert stand_in.accounts.count("/api/auth/refresh") == 1


def test_a_lost_answer_to_a_renewal_does_not_end_the_session(page: Page, stand_in: StandIn) -> None:
    """The server takes the same cookie again for a few seconds; the page asks at once, so it is within them."""
    stand_in.accounts.add("ada")
    page.goto("/jobs")
    sign_in(page, "ada")
    stand_in.accounts.expire_tokens()
    stand_in.accounts.replies["/api/auth/refresh"] = deque([Drop()])

    sent = send(page, "What is a queue?")

    expect(sent).to_have_attribute("data-state", "completed")
    expect(page.locator("#notice")).to_be_hidden()


def test_a_server_that_cannot_renew_just_now_ends_no_session(page: Page, stand_in: StandIn) -> None:
    """An outage is no answer to who somebody is: the message waits and goes by itself."""
    stand_in.accounts.add("ada")
    page.goto("/jobs")
    sign_in(page, "ada")
    stand_in.accounts.expire_tokens()
    stand_in.accounts.replies["/api/auth/refresh"] = deque([Refuse(503, "database_unavailable", retry_after=1)] * 2)

    sent = send(page, "What is a queue?")

    expect(sent).to_contain_text("The server is not ready.")
    expect(sent).to_have_attribute("data-state", "completed")


def test_a_look_while_signing_in_buries_no_job(page: Page, stand_in: StandIn) -> None:
    """The job is the user's already, and the page still asks as the guest: not found does not mean gone."""
    stand_in.accounts.add("ada", "Ada Lovelace")
    stand_in.show(a_job("analyzing"))
    page.goto("/jobs")
    expect(send(page, "Asked as a guest")).to_have_attribute("data-state", "analyzing")
    hold = Hold()
    stand_in.accounts.replies["/api/auth/login"] = deque([hold])

    open_account(page)
    fill_sign_in(page, "ada")
    stand_in.wait_until(lambda: stand_in.accounts.count("/api/auth/login") == 1)
    stand_in.gets.append(Refuse(404, "job_not_found"))
    stand_in.wait_until(lambda: not stand_in.gets)
    hold.release.set()

    expect(page.locator("#account")).to_have_text("Ada Lovelace")
    stand_in.show(completed("Answered to Ada."))
    expect(card(page).locator(".answer")).to_have_text("Answered to Ada.", timeout=NEXT_LOOK_MS)


def test_the_token_is_renewed_before_it_expires(page: Page, stand_in: StandIn) -> None:
    """Nobody waits for a renewal in the middle of something: it is made a minute early."""
    stand_in.accounts.add("ada")
    page.clock.install()
    page.goto("/jobs")
    sign_in(page, "ada")

    page.clock.fast_forward(838_000)
    assert stand_in.accounts.count("/api/auth/refresh") == 0
    page.clock.fast_forward(3_000)

    stand_in.wait_until(lambda: stand_in.accounts.count("/api/auth/refresh") == 1)


def test_two_tabs_do_not_renew_at_once(open_context: OpenContext, stand_in: StandIn) -> None:
    """The second waits for the first, or they would use one cookie twice."""
    stand_in.accounts.add("ada")
    context = open_context()
    here, there = context.new_page(), context.new_page()
    here.goto("/jobs")
    sign_in(here, "ada")
    there.goto("/jobs")
    expect(there.locator("#account")).to_have_text("ada")
    stand_in.accounts.expire_tokens()
    before, hold = stand_in.accounts.count("/api/auth/refresh"), Hold()
    stand_in.accounts.replies["/api/auth/refresh"] = deque([hold])

    sent_here = send(here, "From here")
    stand_in.wait_until(lambda: stand_in.accounts.count("/api/auth/refresh") == before + 1)
    sent_there = send(there, "From there")
    stand_in.wait_until(lambda: len(stand_in.sends()) >= 2)
    # It has been refused by now and is in line for the renewal.
    there.evaluate("navigator.locks.query().then(({ pending }) => pending.length)")
    there.wait_for_function("navigator.locks.query().then(({ pending }) => pending.length === 1)")
    assert stand_in.accounts.count("/api/auth/refresh") == before + 1
    hold.release.set()

    for sent in (sent_here, sent_there):
        expect(sent).to_have_attribute("data-state", "completed", timeout=NEXT_LOOK_MS)
    expect(here.locator("#notice")).to_be_hidden()
    expect(there.locator("#notice")).to_be_hidden()


@pytest.mark.parametrize(("role", "links"), [("user", 0), ("operator", 1), ("admin", 1)])
def test_who_may_see_the_dashboard_finds_it_in_their_account(
    page: Page, stand_in: StandIn, role: str, links: int
) -> None:
    """Nobody would guess its address; to others it would show nothing."""
    stand_in.accounts.add("ada", "Ada").role = role
    page.goto("/jobs")
    sign_in(page, "ada")

    open_account(page)

    expect(page.get_by_role("link", name="API keys")).to_be_visible()
    expect(page.get_by_role("link", name="Dashboard")).to_have_count(links)


def test_signing_out_leaves_nothing_behind(page: Page, stand_in: StandIn) -> None:
    """No card, no draft, no list in the browser, not after a reload either; and the next one is a guest."""
    stand_in.accounts.add("ada", "Ada")
    page.goto("/jobs")
    sign_in(page, "ada")
    expect(send(page, "A secret of Ada's")).to_have_attribute("data-state", "completed")
    page.get_by_label(MESSAGE).fill("Half a secret")
    open_account(page)

    page.get_by_role("button", name="Sign out", exact=True).click()

    expect(page.locator("#account")).to_have_text("Guest")
    expect(page.locator("#account")).to_be_focused()
    expect(page.locator(".exchange")).to_have_count(0)
    expect(page.get_by_label(MESSAGE)).to_have_value("")
    assert "secret" not in stored(page)
    assert "Ada" not in stored(page)
    page.reload()
    expect(page.locator("#account")).to_have_text("Guest")
    expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    expect(send(page, "A guest's")).to_have_attribute("data-state", "completed")
    assert list(stand_in.owners.values())[-1].startswith("guest")


def test_signing_out_is_not_claimed_when_it_did_not_happen(page: Page, stand_in: StandIn) -> None:
    """Without an answer the cookie may still be good: the page says so, and Ada is still signed in."""
    stand_in.accounts.add("ada", "Ada")
    page.goto("/jobs")
    sign_in(page, "ada")
    stand_in.accounts.replies["/api/auth/logout"] = deque([Drop()])
    open_account(page)

    page.get_by_role("button", name="Sign out", exact=True).click()

    expect(page.get_by_role("dialog")).to_contain_text("The server cannot be reached. Try again.")
    expect(page.locator("#account")).to_have_text("Ada")


def test_signing_out_asks_first_while_something_is_unsent(page: Page, stand_in: StandIn) -> None:
    """It would be dropped, and it is nowhere else."""
    stand_in.accounts.add("ada", "Ada")
    page.goto("/jobs")
    sign_in(page, "ada")
    stand_in.posts.append(Refuse(503, "not_ready", retry_after=60))
    expect(send(page, "Not there yet")).to_have_attribute("data-state", "waiting")
    open_account(page)

    page.get_by_role("button", name="Sign out", exact=True).click()

    question = page.get_by_role("dialog", name="Sign out now?")
    expect(question).to_contain_text("1 message not sent yet will be dropped.")
    question.get_by_role("button", name="Stay").click()
    expect(page.get_by_role("button", name="Sign out", exact=True)).to_be_focused()
    expect(page.locator(".exchange")).to_have_count(1)


def test_tabs_of_one_browser_sign_in_and_out_together(open_context: OpenContext, stand_in: StandIn) -> None:
    """They share the cookies, so they must be of one mind about whose page this is."""
    stand_in.accounts.add("ada", "Ada")
    context = open_context()
    here, there = context.new_page(), context.new_page()
    here.goto("/jobs")
    there.goto("/jobs")
    expect(there.locator("#account")).to_have_text("Guest")

    sign_in(here, "ada")
    expect(there.locator("#account")).to_have_text("Ada")
    expect(send(there, "From there")).to_have_attribute("data-state", "completed")
    expect(here.locator(".asked__text")).to_have_text("From there")
    open_account(here)
    here.get_by_role("button", name="Sign out", exact=True).click()

    expect(there.locator("#account")).to_have_text("Guest")
    expect(there.locator(".exchange")).to_have_count(0)


def test_no_token_is_kept_where_a_script_could_find_it_later(page: Page, stand_in: StandIn) -> None:
    """Neither storage nor a readable cookie holds one; each request carries it all the same."""
    stand_in.accounts.add("ada")
    page.goto("/jobs")
    sign_in(page, "ada")
    expect(send(page, "What is a queue?")).to_have_attribute("data-state", "completed")

    kept = stored(page)

    assert "access-" not in kept
    assert "refresh-" not in kept
    assert all((seen.authorization or "").startswith("Bearer access-") for seen in stand_in.seen)
    assert PASSWORD not in kept


def test_the_profile_changes_what_is_shown_and_what_signs_in(page: Page, stand_in: StandIn) -> None:
    """A new name is shown at once; a new password needs the present one, and is the one from then on."""
    ada = stand_in.accounts.add("ada", "Ada")
    page.goto("/jobs")
    sign_in(page, "ada")
    open_account(page)
    page.get_by_label("Name to show").fill("Countess")
    page.get_by_role("button", name="Save name").click()
    expect(page.locator("#account")).to_have_text("Countess")
    page.get_by_text("Change password").first.click()
    page.get_by_label("Present password", exact=True).first.fill("not it")
    page.get_by_label("New password", exact=True).fill("an even longer password")
    page.get_by_role("button", name="Change password").click()
    expect(page.locator("#change-password-currentPassword-error")).to_have_text("This is not your present password.")

    page.get_by_label("Present password", exact=True).first.fill(PASSWORD)
    page.get_by_role("button", name="Change password").click()

    expect(page.get_by_role("dialog")).to_contain_text("Your password is changed.")
    assert ada.password == "an even longer password"


def test_the_export_is_a_download(page: Page, stand_in: StandIn) -> None:
    """All the server has of the person, as a file."""
    stand_in.accounts.add("ada")
    page.goto("/jobs")
    sign_in(page, "ada")
    open_account(page)

    with page.expect_download() as download:
        page.get_by_role("button", name="Export my data").click()

    assert download.value.suggested_filename == "parley-ada.json"
    assert '"username": "ada"' in download.value.path().read_text()


def test_an_account_is_deleted_only_by_somebody_who_is_sure(page: Page, stand_in: StandIn) -> None:
    """The password and the username in full; then it is gone, and the browser knows nothing of it any more."""
    stand_in.accounts.add("ada")
    page.goto("/jobs")
    sign_in(page, "ada")
    expect(send(page, "A secret of Ada's")).to_have_attribute("data-state", "completed")
    open_account(page)
    page.get_by_text("Delete account").first.click()
    form = page.locator("#delete-account")
    form.get_by_label("Present password", exact=True).fill(PASSWORD)
    form.get_by_label("Your username, to be sure").fill("adam")
    form.get_by_role("button", name="Delete account for good").click()
    expect(form).to_contain_text("This is not your username.")
    assert "ada" in stand_in.accounts.people

    form.get_by_label("Your username, to be sure").fill("Ada")
    form.get_by_role("button", name="Delete account for good").click()

    expect(page.locator("#account")).to_have_text("Guest")
    expect(page.locator(".exchange")).to_have_count(0)
    assert "secret" not in stored(page)
    assert stand_in.accounts.people == {}


def test_a_start_without_a_network_shows_the_list_and_finds_out_later(page: Page, stand_in: StandIn) -> None:
    """Whose page it is need not be proved to show what this browser has; a message written now goes as that user."""
    ada = stand_in.accounts.add("ada", "Ada")
    page.goto("/jobs")
    sign_in(page, "ada")
    expect(send(page, "A first one")).to_have_attribute("data-state", "completed")
    reachable = threading.Event()

    def answer(route: Route) -> None:
        if reachable.is_set():
            route.continue_()
        else:
            route.abort()

    page.route("**/api/**", answer)
    page.reload()
    expect(page.locator("#account")).to_have_text("Ada")
    expect(page.locator(".answer")).to_have_count(1)
    sent = send(page, "A second one")
    expect(sent).to_contain_text("The server cannot be reached.")

    reachable.set()

    expect(sent).to_have_attribute("data-state", "completed")
    assert set(stand_in.owners.values()) == {ada.user_id}


def test_the_dialog_is_left_as_it_was_entered(page: Page, stand_in: StandIn) -> None:
    """Escape closes it, the keyboard is back at the button, and no password waits in it for the next to come."""
    page.goto("/jobs")
    page.locator("#account").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog", name="Sign in")).to_be_visible()
    expect(page.get_by_label("Username")).to_be_focused()
    page.get_by_label("Password", exact=True).fill("typed by mistake")

    page.keyboard.press("Escape")

    expect(page.locator("#account")).to_be_focused()
    open_account(page)
    expect(page.get_by_label("Password", exact=True)).to_have_value("")


@pytest.mark.parametrize(
    ("form", "expected"),
    [("sign in", ["username", "current-password"]), ("register", ["username", "nickname", "new-password", "off"])],
)
def test_a_password_store_knows_the_fields(page: Page, stand_in: StandIn, form: str, expected: list[str]) -> None:
    """By the tokens of the HTML standard; and one form at a time, so that it need not guess."""
    page.goto("/jobs")
    open_account(page)
    if form == "register":
        page.get_by_role("button", name="No account yet: register").click()

    fields = page.locator("dialog input").evaluate_all("inputs => inputs.map((input) => input.autocomplete)")

    assert cast("list[str]", fields) == expected
