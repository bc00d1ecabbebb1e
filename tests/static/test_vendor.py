"""The vendored files: the bytes that are served are the bytes that were verified."""

from __future__ import annotations

import hashlib
import json
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = (ROOT / "static" / "vendor", ROOT / "tests" / "vendor")
"""What pages load, and what only tests do."""
MANIFESTS = {folder: json.loads((folder / "vendor.json").read_text(encoding="utf-8")) for folder in FOLDERS}
FILES = [
    (folder / package["folder"] / name, sha256)
    for folder, manifest in MANIFESTS.items()
    for package in manifest["packages"]
    for name, sha256 in package["files"].items()
]


@pytest.mark.parametrize(("path", "sha256"), [pytest.param(*file, id=file[0].name) for file in FILES])
def test_a_vendored_file_is_what_the_manifest_says(path: pathlib.Path, sha256: str) -> None:
    """A file that differs by one byte, a changed line ending included, is not the one that was verified."""
    assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def test_nothing_lies_among_the_vendored_files_unlisted() -> None:
    """A file without a hash could be anything."""
    present = {path for folder in FOLDERS for path in folder.rglob("*") if path.is_file()}

    assert present == {path for path, _ in FILES} | {folder / "vendor.json" for folder in FOLDERS}


def test_every_package_comes_with_its_licence() -> None:
    """The licences ask that their text goes wherever the code goes."""
    for package in (package for manifest in MANIFESTS.values() for package in manifest["packages"]):
        assert package["licence"]
        assert "LICENSE" in package["files"]
