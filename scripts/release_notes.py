#!/usr/bin/env python3
"""Release notes: what the changelog says of one version.

  python3 scripts/release_notes.py v1.2.0
  python3 scripts/release_notes.py v1.2.0 --links https://git.example/parley/blob/v1.2.0

The heading of a version is `## 1.2.0`, and may go on with its date. A version that the changelog does not know, or of
which it says nothing, is not to be released: then the exit code is 1. It needs Python 3.11 and nothing else.
"""

from __future__ import annotations

import argparse
import pathlib
import re
import sys

CHANGELOG = pathlib.Path(__file__).resolve().parent.parent / "CHANGELOG.md"


def notes(changelog: str, version: str, *, links: str = "") -> str:
    """What stands under the heading of a version, without it; empty if there is nothing.

    Args:
        version: with or without the ``v`` of its tag.
        links: where the repository's files are to be read; what links lead to is looked for there.
    """
    wanted = re.compile(rf"{re.escape(version.removeprefix('v'))}(?![\w.-])")
    _, *parts = re.split(r"^## (.+)\n", changelog, flags=re.MULTILINE)
    found = [text for heading, text in zip(parts[::2], parts[1::2], strict=True) if wanted.match(heading)]
    text = found[0].strip() if found else ""
    return re.sub(r"\]\((?!\w+:|#)", f"]({links}/", text) if links else text


def main(arguments: list[str]) -> int:
    """Print them."""
    parser = argparse.ArgumentParser(description="Print what CHANGELOG.md says of a version.")
    parser.add_argument("version")
    parser.add_argument("--links", default="", help="where the files of the repository are to be read")
    asked = parser.parse_args(arguments)
    text = notes(CHANGELOG.read_text(encoding="utf-8"), asked.version, links=asked.links)
    if not text:
        print(f"CHANGELOG.md says nothing of {asked.version}.", file=sys.stderr)
        return 1
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
