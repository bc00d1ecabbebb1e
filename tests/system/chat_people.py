"""People at the chat page: a browser each, watched for what must never happen in it."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.browser.conftest import LISTEN
from tests.system.stack import Stack

PASSWORD = "correct horse battery staple"
PATIENT_MS = 20_000
ON_PURPOSE = ("Failed to load", "WebSocket connection", "Service Worker registration blocked")


@dataclass
class Person:
    """Somebody with an account, and a page that is open."""

    stack: Stack
    context: BrowserContext
    page: Page
    username: str
    name: str
    faults: list[str] = field(default_factory=list)

    @property
    def box(self) -> Locator:
        """Where messages are written."""
        return self.page.get_by_label("Your message")

    @property
    def messages(self) -> Locator:
        """All that is shown of the open chat."""
        return self.page.locator("#messages article")

    def say(self, text: str) -> Locator:
        """Write and send; the bubble that it becomes."""
        self.box.fill(text)
        self.box.press("Enter")
        return self.bubble(text)

    def bubble(self, text: str) -> Locator:
        """The message that holds this text."""
        return self.messages.filter(has_text=text).last

    def tick(self, text: str) -> Locator:
        """The mark of an own message."""
        return self.bubble(text).locator(".tick")

    def open(self, title: str) -> None:
        """Choose a chat from the list."""
        self.page.locator("#chats").get_by_text(title, exact=True).click()
        expect(self.page.locator("#chat-title")).to_have_text(title)

    def new_chat(self, kind: str, **fields: str) -> None:
        """By the dialog."""
        self.page.get_by_role("button", name="New chat").click()
        self.page.get_by_role("button", name=re.compile(kind)).click()
        for label, value in fields.items():
            self.page.locator("dialog[open]").get_by_label(label.replace("_", " ")).fill(value)
        if fields:
            self.page.locator("dialog[open] button[type=submit]").click()
        expect(self.page.locator("dialog[open]")).to_have_count(0)

    def ask_api(self, method: str, path: str, body: object = None) -> Any:
        """By HTTP, as this person."""
        signed_in = {"username": self.username, "password": PASSWORD}
        token = self.stack.request("POST", "/api/auth/login", signed_in)[1]["accessToken"]
        return self.stack.request(method, path, body, Authorization=f"Bearer {token}")[1]


def arrive(browser: Browser, stack: Stack, name: str, **options: Any) -> Person:
    """Register at the page."""
    username = f"{name.lower()}-{time.monotonic_ns() % 10**9}"
    context = browser.new_context(
        base_url=f"http://127.0.0.1:{stack.port}",
        locale="en-GB",
        # What is half faded in has too little contrast; and requests that a worker answers cannot be tampered with.
        **{
            "viewport": {"width": 1280, "height": 800},
            "reduced_motion": "reduce",
            "service_workers": "block",
            **options,
        },
    )
    context.set_default_timeout(PATIENT_MS)
    context.add_init_script(LISTEN)
    page = context.new_page()
    person = Person(stack, context, page, username, name)
    watch(person, page)
    page.goto("/")
    page.get_by_role("button", name="No account yet: register").click()
    page.get_by_label("Username").fill(username)
    page.get_by_label("Name to show").fill(name)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Register", exact=True).click()
    expect(page.get_by_label("Your message")).to_be_focused(timeout=PATIENT_MS)
    return person


def watch(person: Person, page: Page) -> None:
    """Note what a page does wrong: errors, complaints, requests to elsewhere."""
    own = (f"http://127.0.0.1:{person.stack.port}/", "ws://127.0.0.1:", "data:", "blob:")
    page.on("pageerror", lambda error: person.faults.append(f"uncaught: {error}"))
    page.on("request", lambda asked: None if asked.url.startswith(own) else person.faults.append(f"left: {asked.url}"))

    def complain(kind: str, text: str) -> None:
        # The browser itself writes a line for each request that fails, and here some do on purpose.
        if kind in {"error", "warning"} and not text.startswith(ON_PURPOSE):
            person.faults.append(f"console: {text}")

    page.on("console", lambda message: complain(message.type, message.text))


def leave(person: Person) -> None:
    """Close the browser; nothing may have gone wrong in it."""
    for page in person.context.pages:
        person.faults += page.evaluate("window.violations ?? []")
    person.context.close()
    assert person.faults == []
