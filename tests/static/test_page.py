"""The page's own files: what the HTML promises and what the modules are."""

from __future__ import annotations

import pathlib
import re

import pytest

STATIC = pathlib.Path(__file__).resolve().parents[2] / "static"
PAGES = [(STATIC / name).read_text(encoding="utf-8") for name in ("index.html", "keys.html", "docs/index.html")]
MODULES = {"index.html": "main.js", "keys.html": "keys-page.js"}


def needed(module: str) -> set[str]:
    """The modules that this one cannot run without, itself included."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            code = (STATIC / "js" / name).read_text(encoding="utf-8")
            waiting += re.findall(r"^import\b[^;]*?from '\./([^']+)';$", code, flags=re.MULTILINE)
    return found


@pytest.mark.parametrize(("page", "module"), MODULES.items())
def test_every_module_is_asked_for_at_once(page: str, module: str) -> None:
    """A module that is not preloaded costs a round trip of its own, and one that is not needed costs for nothing."""
    preloaded = re.findall(
        r'<link rel="modulepreload" href="/static/js/([^"]+)">', (STATIC / page).read_text(encoding="utf-8")
    )

    assert sorted(preloaded) == sorted(needed(module) - {module})


def test_every_module_is_used() -> None:
    """types.js holds no code and is never loaded."""
    modules = {path.name for path in (STATIC / "js").glob("*.js")}

    assert modules == set().union(*map(needed, MODULES.values())) | {"types.js"}


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
    for path in (STATIC / "js").glob("*.js"):
        code = path.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|DOMParser", code), (
            path.name
        )


def test_a_module_stays_small_enough_to_read_at_one_go() -> None:
    """Two hundred and fifty lines are the house's measure for any file."""
    for path in (STATIC / "js").glob("*.js"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 250, path.name
