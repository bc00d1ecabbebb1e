"""The vendored files: the bytes that are served are the bytes that were verified."""

from __future__ import annotations

import hashlib
import json
import pathlib

import pytest

VENDOR = pathlib.Path(__file__).resolve().parents[2] / "static" / "vendor"
MANIFEST = json.loads((VENDOR / "vendor.json").read_text(encoding="utf-8"))
FILES = [
    (f"{package['folder']}/{name}", sha256)
    for package in MANIFEST["packages"]
    for name, sha256 in package["files"].items()
]


@pytest.mark.parametrize(("name", "sha256"), FILES)
def test_a_vendored_file_is_what_the_manifest_says(name: str, sha256: str) -> None:
    """A file that differs by one byte, a changed line ending included, is not the one that was verified."""
    assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == sha256


def test_nothing_lies_among_the_vendored_files_unlisted() -> None:
    """A file without a hash could be anything."""
    present = {path.relative_to(VENDOR).as_posix() for path in VENDOR.rglob("*") if path.is_file()}

    assert present == {name for name, _ in FILES} | {"vendor.json"}


def test_every_package_comes_with_its_licence() -> None:
    """The licences ask that their text goes wherever the code goes."""
    for package in MANIFEST["packages"]:
        assert package["licence"]
        assert "LICENSE" in package["files"]
