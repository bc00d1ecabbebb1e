"""The browser of a test session: one for all that need it, since Playwright starts only once in a process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""The same browser without windows comes first: it costs a third less."""

# The last maps a name to this machine, for the one test that needs a page which is not a secure context.
ARGUMENTS = (
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--host-resolver-rules=MAP parley.test 127.0.0.1",
)


def find_browser() -> str | None:
    """The path of a Chromium: `CHROMIUM` when set, else the first on the path."""
    stated = os.environ.get("CHROMIUM")
    return stated or next((path for path in map(shutil.which, NAMES) if path), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One browser for all tests of a worker; skipped, or failed under REQUIRE_BROWSER=1, when there is none."""
    path = find_browser()
    if path is None:
        complaint = (
            "no Chromium was found. On Debian: apt-get install chromium-headless-shell. Elsewhere install Chrome or "
            "Chromium, and if it is not on the path set CHROMIUM=/path/to/it"
        )
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(f"REQUIRE_BROWSER=1, but {complaint}")
        pytest.skip(complaint)
    arguments = [*ARGUMENTS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()
