"""The page's own files: what the HTML promises and what the modules are."""

from __future__ import annotations

import pathlib
import posixpath
import re

import pytest

from models.api_keys import Scope

STATIC = pathlib.Path(__file__).resolve().parents[2] / "static"
NAMES = ("index.html", "jobs.html", "keys.html", "dashboard.html", "docs/index.html")
PAGES = [(STATIC / name).read_text(encoding="utf-8") for name in NAMES]
MODULES = {
    "index.html": "js/chat/main.js",
    "jobs.html": "js/main.js",
    "keys.html": "js/keys-page.js",
    "dashboard.html": "js/dashboard/main.js",
}
OURS = sorted((STATIC / "js").rglob("*.js"))


def needed(module: str) -> set[str]:
    """The modules that this one cannot run without, itself included."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            code = (STATIC / name).read_text(encoding="utf-8")
            others = re.findall(r"^import (?:[^;]*?from )?'(\.[^']+)';$", code, flags=re.MULTILINE)
            waiting += [posixpath.normpath(posixpath.join(posixpath.dirname(name), other)) for other in others]
    return found


@pytest.mark.parametrize(("page", "module"), MODULES.items())
def test_every_module_is_asked_for_at_once(page: str, module: str) -> None:
    """A module that is not preloaded costs a round trip of its own, and one that is not needed costs for nothing."""
    preloaded = re.findall(
        r'<link rel="modulepreload" href="/static/([^"]+)">', (STATIC / page).read_text(encoding="utf-8")
    )

    assert sorted(preloaded) == sorted(needed(module) - {module})


def test_every_module_is_used() -> None:
    """types.js holds no code and is never loaded."""
    modules = {path.relative_to(STATIC).as_posix() for path in OURS}
    loaded = {name for module in MODULES.values() for name in needed(module) if name.startswith("js/")}

    assert modules == loaded | {"js/types.js", "js/chat/types.js"}


def test_every_file_a_page_names_is_there() -> None:
    """A wrong name is a silent 404 in somebody's console."""
    for page in PAGES:
        for name in re.findall(r'(?:src|href)="/static/([^"]+)"', page):
            assert (STATIC / name).is_file(), name


def test_no_page_holds_a_script_or_a_style_of_its_own() -> None:
    """The content security policy refuses both, and a refusal in the browser is easily overlooked."""
    for page in PAGES:
        assert not re.search(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son\w+=", page)


def test_no_module_parses_text_as_markup() -> None:
    """What a model or a person writes goes through text nodes only."""
    for path in OURS:
        code = path.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|DOMParser", code), (
            path.name
        )


def test_a_module_stays_small_enough_to_read_at_one_go() -> None:
    """Two hundred and fifty lines are the house's measure for any file."""
    for path in OURS:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 250, path.name


def test_a_key_can_be_made_for_every_scope_there_is() -> None:
    """A scope that the page does not offer is one that only scripts can have."""
    offered = re.findall(
        r"\['([a-z]+(?::[a-z]+)?)', '[A-Z]", (STATIC / "js" / "key-maker.js").read_text(encoding="utf-8")
    )

    assert sorted(offered) == sorted(Scope)
