"""People at the chat page of the running product."""

from __future__ import annotations

import contextlib
import pathlib
import re
import sys
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.hostile import HOSTILE
from tests.fake_llm import FakeLLM
from tests.system.chat_people import PATIENT_MS, Person, arrive, leave
from tests.system.stack import OPERATOR, Stack, eventually

pytestmark = [
    pytest.mark.xdist_group("people"),
    # Playwright's event loop stays open between tests of a session.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]
SETTINGS = {"REGISTRATION": "open", "LLM_TOTAL_SECONDS": "30"}
ALSO = ("gateway",)
AXE = pathlib.Path(__file__).resolve().parents[1] / "vendor" / "axe-core" / "axe.min.js"
SHIFT = """() => new Promise((resolve) => {
  let sum = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) sum += entry.value;
  }).observe({ type: 'layout-shift', buffered: true });
  setTimeout(() => resolve(sum), 300);
})"""

Arrive = Callable[..., Person]


@pytest.fixture
def arriving(browser: Browser, stack: Stack) -> Iterator[Arrive]:
    """People who come to the page, and leave it when the test is over."""
    people: list[Person] = []

    def come(name: str, **options: Any) -> Person:
        people.append(arrive(browser, stack, name, **options))
        return people[-1]

    yield come
    for person in people:
        leave(person)


def faults_of(page: Page) -> list[tuple[str, str]]:
    """What axe-core finds wrong with what is shown."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [(fault["id"], node["html"][:120]) for fault in found["violations"] for node in fault["nodes"]]


@contextlib.contextmanager
def held(stack: Stack, statement: str) -> Iterator[None]:
    """What a statement locks."""
    connection = psycopg2.connect(stack.servers.environment["DATABASE_URL"])
    try:
        connection.cursor().execute(statement)
        yield
    finally:
        connection.close()


def cut_off(person: Person) -> None:
    """Let there be no socket for a page: what it does, it does by HTTP."""
    person.page.route_web_socket(re.compile("^ws"), lambda socket: socket.close())
    person.page.reload()
    expect(person.page.locator("html")).to_have_attribute("data-loaded", "true")


def test_two_people_talk(stack: Stack, arriving: Arrive) -> None:
    """Shown at once with a clock, then a tick, then two; an unread badge; refused, and retried; offline in between."""
    anna, ben = arriving("Anna"), arriving("Ben", viewport={"width": 1280, "height": 500})
    anna.new_chat("With a person", Username=ben.username)
    expect(anna.page.locator("#chat-title")).to_have_text("Ben")

    cut_off(anna)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    anna.page.route("**/messages", hold)
    anna.say("Are you there?")
    expect(anna.tick("Are you there?")).to_have_attribute("aria-label", "Sending")
    eventually(lambda: anna.page.evaluate("0") == 0 and held)
    held[0].continue_()
    expect(anna.tick("Are you there?")).to_have_attribute("aria-label", "Sent")
    anna.page.unroute("**/messages")
    item = ben.page.locator("#chats .chat", has_text="Anna")
    expect(item.locator(".badge")).to_contain_text("1", timeout=PATIENT_MS)
    assert ben.page.title().startswith("(1) ")

    ben.open("Anna")
    expect(ben.bubble("Are you there?")).to_be_visible()
    expect(item.locator(".badge")).to_have_count(0)
    expect(anna.tick("Are you there?")).to_have_attribute("aria-label", "Seen by Ben", timeout=PATIENT_MS)

    anna.page.route("**/messages", lambda route: route.fulfill(status=422, json={"detail": "Not like that."}))
    refused = anna.say("Too rude")
    expect(refused).to_contain_text("Not like that.", timeout=PATIENT_MS)
    expect(anna.tick("Too rude")).to_have_attribute("aria-label", "Not sent")
    anna.page.unroute("**/messages")
    refused.get_by_role("button", name="Retry").click()
    expect(ben.bubble("Too rude")).to_be_visible(timeout=PATIENT_MS)

    anna.context.set_offline(True)
    anna.say("Written on the train")
    expect(anna.page.locator("#banner")).to_contain_text("You are offline. 1 message is kept")
    expect(anna.tick("Written on the train")).to_have_attribute("aria-label", "Sending")
    anna.context.set_offline(False)
    expect(ben.bubble("Written on the train")).to_be_visible(timeout=PATIENT_MS)
    expect(anna.page.locator("#banner")).to_be_hidden(timeout=PATIENT_MS)
    for person in (anna, ben):
        texts = person.page.locator("#messages .msg__text").all_inner_texts()
        assert texts == ["Are you there?", "Too rude", "Written on the train"]


def test_what_was_said_is_edited_answered_deleted_and_summed_up(stack: Stack, arriving: Arrive) -> None:
    """Each by the menu of a message, and seen by the other; and whoever was away may ask what was said."""
    anna, ben = arriving("Anna"), arriving("Ben")
    anna.new_chat("With a person", Username=ben.username)
    anna.say("Are you there?")
    expect(ben.page.locator("#chats .badge")).to_contain_text("1", timeout=PATIENT_MS)
    ben.open("Anna")
    mine = ben.say("I am heer")
    mine.hover()
    mine.get_by_label("Message actions").click()
    assert faults_of(ben.page) == []
    ben.page.get_by_role("menuitem", name="Edit").click()
    ben.box.fill("I am here")
    ben.box.press("Enter")
    expect(anna.bubble("I am here")).to_contain_text("edited", timeout=PATIENT_MS)
    expect(anna.messages.filter(has_text="heer")).to_have_count(0)
    theirs = anna.bubble("I am here")
    theirs.hover()
    theirs.get_by_label("Message actions").click()
    anna.page.get_by_role("menuitem", name="Reply").click()
    anna.say("Good")
    expect(ben.bubble("Good").locator(".msg__quote")).to_contain_text("I am here", timeout=PATIENT_MS)
    anna.bubble("Good").hover()
    anna.bubble("Good").get_by_label("Message actions").click()
    anna.page.get_by_role("menuitem", name="Delete").click()
    anna.page.get_by_role("button", name="Delete", exact=True).click()
    expect(ben.messages.filter(has_text="This message was deleted.")).to_have_count(1, timeout=PATIENT_MS)

    ben.page.get_by_role("button", name="What did I miss?").click()
    expect(ben.page.locator("dialog[open]")).to_contain_text("This chat has no summary yet")
    assert faults_of(ben.page) == []
    ben.page.get_by_role("button", name="Sum up the new message").click()
    for person in (anna, ben):
        expect(person.page.locator(".msg--ai")).to_have_count(1, timeout=PATIENT_MS)
    for person in (anna, ben):
        texts = person.page.locator("#messages :not(.msg--ai) > .msg__box > .msg__text").all_inner_texts()
        assert texts == ["Are you there?", "I am here", "@AI summarize last 1"]


def test_the_ai_speaks_is_stopped_and_answers_anew(stack: Stack, llm: FakeLLM, arriving: Arrive) -> None:
    """An empty box becomes a chat by its first message; the answer is seen growing, stopped, made anew; C3 holds."""
    anna = arriving("Anna")
    expect(anna.page.get_by_text("What would you like to know?")).to_be_visible()
    words = " ".join(f"word{number}" for number in range(60))
    llm.script({"text": words, "chunks": 60, "chunk_ms": 150})

    anna.say("Count for me")
    speaking = anna.page.locator("[data-state=speaking]")
    expect(speaking).to_contain_text("word3", timeout=PATIENT_MS)
    expect(anna.tick("Count for me")).to_have_attribute("aria-label", "Read by the AI")
    assert "word59" not in speaking.inner_text()
    anna.page.locator("#stop").click()
    stopped = anna.messages.filter(has_text="stopped")
    expect(stopped).to_contain_text("word3", timeout=PATIENT_MS)
    expect(speaking).to_have_count(0)

    llm.script({"text": "# Anew\n\n```python\nprint(1)\n```\n\n[site](https://example.org/a)"})
    stopped.hover()
    stopped.get_by_label("Message actions").click()
    anna.page.get_by_role("menuitem", name="Answer anew").click()
    answer = anna.messages.filter(has_text="Anew")
    expect(answer).to_contain_text("site (example.org)", timeout=PATIENT_MS)
    expect(answer.get_by_role("button", name="Copy code")).to_be_visible()
    expect(anna.messages).to_have_count(2)

    anna.page.get_by_role("button", name="Rename this chat").click()
    anna.page.get_by_label("Title of this chat").fill("Counting")
    anna.page.get_by_label("Title of this chat").press("Enter")
    expect(anna.page.locator("#chats")).to_contain_text("Counting")
    eventually(lambda: anna.ask_api("GET", "/chat/titles")["active_chat_id"] != -1)
    with anna.page.expect_response(
        "**/chat/data"
    ):  # else the page says as it closes which chat was open, after the erasing
        anna.page.reload()
    expect(anna.messages).to_have_count(2, timeout=PATIENT_MS)

    anna.page.get_by_role("button", name="New chat").click()
    assert faults_of(anna.page) == []
    anna.page.get_by_role("button", name="With the AI").click()
    expect(anna.messages).to_have_count(0)
    anna.box.fill("A draft")
    anna.open("Counting")
    expect(anna.box).to_have_value("")
    stack.servers.erase_redis()
    anna.page.reload()
    expect(anna.box).to_have_value("A draft", timeout=PATIENT_MS)
    expect(anna.page.locator("#chat-title")).to_have_text("New chat")
    llm.reset()


def test_what_a_model_was_talked_into_does_nothing(stack: Stack, llm: FakeLLM, arriving: Arrive) -> None:
    """The corpus as one answer of the AI, on the real page, under its policy: nothing runs, nothing is asked for."""
    anna = arriving("Anna")
    llm.script({"text": "\n\n".join(text[:400].replace("\0", "") for text in HOSTILE) + "\n\nThe end."})

    anna.say("Say something")
    expect(anna.messages.filter(has_text="The end.")).to_be_visible(timeout=PATIENT_MS)

    assert anna.page.evaluate("window.pwned ?? null") is None
    assert anna.page.locator("#messages :is(script, img, iframe, form, style, svg[onload])").count() == 0
    expect(anna.box).to_be_visible()
    llm.reset()


def test_a_long_chat_is_read_by_pages(stack: Stack, arriving: Arrive) -> None:
    """The newest first; what is being read stays in place while older ones come; 5,000 never stand there at once."""
    anna = arriving("Anna")
    chat = anna.ask_api("POST", "/api/chats", {"type": "ai", "title": "Long", "aiMode": "off"})["chatId"]
    me = anna.ask_api("GET", "/api/me")["userId"]
    stack.sql(
        """INSERT INTO messages (chat_id, seq, sender_id, client_msg_id, content, change_seq)
        SELECT %s, n, %s, 'm' || n, 'Message number ' || n, n FROM generate_series(1, 5000) AS n RETURNING 1""",
        chat,
        me,
    )
    stack.sql("UPDATE chats SET last_seq = 5000, last_change_seq = 5000 WHERE id = %s RETURNING 1", chat)
    anna.page.reload()
    anna.open("Long")
    expect(anna.bubble("Message number 5000")).to_be_in_viewport(timeout=PATIENT_MS)
    expect(anna.messages).to_have_count(50)

    for held in (100, 150, 200, 250, 300, 300, 300):
        anna.page.locator("#thread").evaluate("thread => { thread.scrollTop = 0; }")
        key = anna.messages.first.get_attribute("data-key")
        # Asked in one step each, for a message may be drawn anew between two.
        where = f"document.querySelector('#messages [data-key=\"{key}\"]').getBoundingClientRect().top"
        before = anna.page.evaluate(where)
        anna.page.get_by_role("button", name="Load more messages").click()
        expect(anna.messages.first).not_to_have_attribute("data-key", str(key), timeout=PATIENT_MS)
        expect(anna.messages).to_have_count(held)
        assert abs(anna.page.evaluate(where) - before) <= 2
    anna.page.get_by_role("button", name="Go to the newest").click()
    expect(anna.bubble("Message number 5000")).to_be_in_viewport(timeout=PATIENT_MS)

    anna.page.get_by_label("Search chats and messages").fill('"number 1234"')
    anna.page.locator("#found").get_by_text("Message number 1234").click()
    expect(anna.bubble("Message number 1234")).to_be_in_viewport(timeout=PATIENT_MS)


def test_a_page_that_closes_sends_what_is_written(stack: Stack, arriving: Arrive) -> None:
    """What waits in the outbox goes out behind the back of a closing page, or from its database at the next visit."""
    anna = arriving("Anna")
    anna.new_chat("With a group", Name_of_the_group="Notes", Who_is_in_it=anna.username)
    chat = anna.ask_api("GET", "/api/chats")["items"][0]["chatId"]
    eventually(lambda: anna.ask_api("GET", "/chat/titles")["active_chat_id"] == chat)
    cut_off(anna)
    expect(anna.page.locator("#chat-title")).to_have_text("Notes")
    anna.page.route("**/messages", lambda route: route.abort())
    for text in ("One", "Two", "Three"):
        anna.say(text)
    expect(anna.bubble("One")).to_contain_text("Not sent yet", timeout=PATIENT_MS)
    anna.page.unroute("**/messages")

    anna.page.goto("about:blank")

    def stored() -> list[str]:
        items = anna.ask_api("GET", f"/api/chats/{chat}/messages")["items"]
        return sorted(item["content"] for item in items)

    assert eventually(lambda: len(stored()) == 3, seconds=10)
    anna.page.goto("/")
    expect(anna.messages).to_have_count(3, timeout=PATIENT_MS)
    assert stored() == ["One", "Three", "Two"]


@pytest.mark.parametrize("look", ["phone", "desktop"])
def test_it_is_quick_steady_and_for_everybody(stack: Stack, arriving: Arrive, look: str) -> None:
    """No layout shift on load, nothing sideways, axe-core finds nothing, in light and dark, dialogs included."""
    size = {"width": 360, "height": 740} if look == "phone" else {"width": 1440, "height": 900}
    anna = arriving("Anna", viewport=size, color_scheme="dark" if look == "phone" else "light")
    anna.say("Hello there")
    expect(anna.bubble("Echo: Hello there").locator("time")).to_be_visible(timeout=PATIENT_MS)
    anna.ask_api("POST", "/api/chats", {"type": "group", "title": "W" * 120, "members": []})
    eventually(lambda: anna.ask_api("GET", "/chat/titles")["active_chat_id"] != -1)
    anna.context.new_cdp_session(anna.page).send("Network.setCacheDisabled", {"cacheDisabled": True})

    anna.page.reload()
    expect(anna.messages).to_have_count(2, timeout=PATIENT_MS)
    shift = anna.page.evaluate(SHIFT)
    facts = anna.page.evaluate(
        """() => ({
          bytes: performance.getEntriesByType('resource').reduce((sum, entry) => sum + entry.decodedBodySize, 0),
          sent: performance.getEntriesByType('resource').reduce((sum, entry) => sum + entry.encodedBodySize, 0),
          paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime })"""
    )
    size_of = f"{facts['bytes']} bytes, {facts['sent']} on the wire"
    sys.stdout.write(f"{look}: shift {shift:.4f}, {size_of}, first paint after {facts['paint']:.0f} ms\n")

    assert round(shift, 3) == 0
    assert facts["bytes"] < 400_000
    assert facts["sent"] < 160_000
    for _ in range(2):
        assert faults_of(anna.page) == []
        assert anna.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        is_over = look == "phone" and anna.page.locator("#side").evaluate("side => !side.inert")
        anna.page.locator("#side-close" if is_over else "#side-toggle").click()
    for opener in ("About this chat", "Account of Anna", "New chat"):
        if look == "phone" and opener == "Account of Anna":
            anna.page.locator("#side-toggle").click()
        anna.page.get_by_role("button", name=opener).click()
        assert faults_of(anna.page) == []
        if opener != "New chat":
            anna.page.keyboard.press("Escape")
    anna.page.get_by_role("button", name="With a group").click()
    anna.page.get_by_role("button", name="Make group").click()
    assert faults_of(anna.page) == []
    anna.page.keyboard.press("Escape")
    if look == "desktop":
        anna.page.get_by_role("button", name="Account of Anna").click()
        anna.page.get_by_role("button", name="Sign out", exact=True).click()
        expect(anna.page.get_by_role("heading", name="Sign in")).to_be_visible()
        expect(anna.page.get_by_role("link", name="ask the AI single questions")).to_be_visible()
        assert faults_of(anna.page) == []
        kept = anna.page.evaluate("indexedDB.databases().then((all) => all.length)")
        assert (kept, anna.page.evaluate("Object.keys(localStorage).join()")) == (0, "parley.side.v1")


@pytest.mark.outage
def test_what_is_live_and_what_is_left_without_a_gateway(stack: Stack, arriving: Arrive) -> None:
    """Who is there, who writes, what another tab sends; a killed gateway costs seconds and no message."""
    anna, ben = arriving("Anna"), arriving("Ben")
    anna.new_chat("With a person", Username=ben.username)
    subtitle = anna.page.locator("#chat-subtitle")
    expect(subtitle).to_have_text("online", timeout=PATIENT_MS)
    expect(anna.page.locator("#chats .chat", has_text="Ben").locator(".face__dot")).to_be_visible(timeout=PATIENT_MS)
    ben.open("Anna")
    ben.box.press_sequentially("Hel", delay=50)
    expect(subtitle).to_have_text("Ben is typing…", timeout=PATIENT_MS)
    ben.box.press("Enter")
    expect(anna.bubble("Hel")).to_be_visible(timeout=PATIENT_MS)
    expect(subtitle).to_have_text("online")
    # The page says which chat it shows once somebody stays there.
    eventually(lambda: anna.ask_api("GET", "/chat/titles")["active_chat_id"] != -1)
    second = anna.context.new_page()
    second.goto("/")
    expect(second.locator("#messages article")).to_have_count(1, timeout=PATIENT_MS)
    expect(second.locator("#link-label")).to_have_text("Live", timeout=PATIENT_MS)
    with held(stack, "SELECT 1 FROM chats FOR UPDATE"):
        anna.say("On its way")
        echo = second.locator("#messages article", has_text="On its way").locator(".tick")
        expect(echo).to_have_attribute("aria-label", "Sending", timeout=PATIENT_MS)
    for tick in (anna.tick("On its way"), echo):
        expect(tick).to_have_attribute("aria-label", "Seen by Ben", timeout=PATIENT_MS)

    stack.kill("gateway")
    for person in (anna, ben):
        expect(person.page.locator("#banner")).to_contain_text("Live updates are interrupted", timeout=PATIENT_MS)
    anna.say("Can you read me?")
    expect(ben.bubble("Can you read me?")).to_be_visible(timeout=PATIENT_MS)
    expect(subtitle).to_have_text("")
    stack.start("gateway")
    for person in (anna, ben):
        # The wait between two tries may have grown to half a minute; the browser's word ends it.
        person.page.evaluate("window.dispatchEvent(new Event('online'))")
        expect(person.page.locator("#link-label")).to_have_text("Live", timeout=60_000)
        expect(person.page.locator("#banner")).to_be_hidden(timeout=PATIENT_MS)
    ben.say("Loud and clear")
    for page in (anna.page, second):
        expect(page.locator("#messages article")).to_have_count(4, timeout=PATIENT_MS)


def test_without_a_network_it_opens_and_reads_and_takes_what_is_written(stack: Stack, arriving: Arrive) -> None:
    """A page that is loaded anew without a network shows what was read before, and sends what was written, later."""
    anna = arriving("Anna", service_workers="allow")
    anna.new_chat("With a group", Name_of_the_group="First", Who_is_in_it=anna.username)
    anna.say("In the first")
    expect(anna.tick("In the first")).to_have_attribute("aria-label", "Sent", timeout=PATIENT_MS)
    anna.new_chat("With a group", Name_of_the_group="Second", Who_is_in_it=anna.username)
    anna.say("In the second")
    expect(anna.tick("In the second")).to_have_attribute("aria-label", "Sent", timeout=PATIENT_MS)
    anna.page.evaluate("navigator.serviceWorker.ready.then(() => true)")

    anna.context.set_offline(True)
    anna.page.reload()
    expect(anna.bubble("In the second")).to_be_visible(timeout=PATIENT_MS)
    anna.open("First")
    expect(anna.bubble("In the first")).to_be_visible()
    anna.say("From the tunnel")
    expect(anna.page.locator("#banner")).to_contain_text("You are offline")
    anna.page.reload()
    expect(anna.tick("From the tunnel")).to_have_attribute("aria-label", "Sending", timeout=PATIENT_MS)
    anna.context.set_offline(False)
    expect(anna.tick("From the tunnel")).to_have_attribute("aria-label", "Sent", timeout=PATIENT_MS)


def files_asked_for(stack: Stack) -> int:
    """How many requests for static files the api has answered, with a 304 or in full."""
    asked = urllib.request.Request(
        f"http://127.0.0.1:{stack.port}/metrics", headers={"Authorization": f"Bearer {OPERATOR}"}
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:
        text = answer.read().decode()
    counted = re.findall(r'^parley_http_requests_total\{.*route="/static/.*\} (\S+)$', text, re.MULTILINE)
    return int(sum(map(float, counted)))


@pytest.mark.parametrize("service_workers", ["block", "allow"])
def test_a_page_that_is_loaded_again_asks_for_no_file(stack: Stack, arriving: Arrive, service_workers: str) -> None:
    """It has them all, under an address that would change with them; with the service worker between, and without."""
    anna = arriving("Anna", service_workers=service_workers)
    if service_workers == "allow":
        anna.page.evaluate("navigator.serviceWorker.ready.then(() => true)")
        anna.page.reload()
        expect(anna.page.locator("html")).to_have_attribute("data-loaded", "true")
    before = files_asked_for(stack)

    anna.page.reload()
    expect(anna.page.locator("html")).to_have_attribute("data-loaded", "true")

    assert files_asked_for(stack) - before == 0
