"""Assets: the files of ``static/``, at an address that changes when they do.

Pages name ``/static/<version>/js/…``, where the version is a digest over all files; modules name each other relatively
and so stay below it. What is asked for under the present version may be kept for a year without asking. Under another
one, that of a page from before or of a newer process beside this one, the file is sent as it is here and now, to be
asked for each time: never would a wrong file be kept. ``/static/js/…`` without a version is the same.

Digests are of what files hold, not of when they were written, so that all hosts agree. A file that changes while this
process runs is noticed.
"""

from __future__ import annotations

import hashlib
import pathlib
import re
import time

from flask import Flask, Response, request, send_from_directory
from werkzeug.exceptions import NotFound
from werkzeug.security import safe_join

LENGTH = 12
LOOK_SECONDS = 1.0
"""To look at all files takes a millisecond or two."""
KEPT = "public, max-age=31536000, immutable"
_VERSIONED = re.compile(rf"([0-9a-f]{{{LENGTH}}})/(.+)")


class Assets:
    """What lies in a folder, by what it holds."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._known: dict[str, tuple[tuple[int, int], str]] = {}
        self._version, self._tags, self._looked_at = "", dict[str, str](), -LOOK_SECONDS

    def version(self) -> str:
        """The digest of all files."""
        if time.monotonic() - self._looked_at >= LOOK_SECONDS:
            self._looked_at = time.monotonic()
            files = sorted(path for path in self._folder.rglob("*") if path.is_file())
            names = [path.relative_to(self._folder).as_posix() for path in files]
            self._tags = {name: self._tag(name) for name in names}
            self._version = _digest("\n".join(f"{tag} {name}" for name, tag in self._tags.items()).encode())
        return self._version

    def page(self, name: str) -> str:
        """A page, naming the present version of what it loads."""
        text = (self._folder / name).read_text(encoding="utf-8")
        return text.replace('="/static/', f'="/static/{self.version()}/')

    def send(self, filename: str) -> Response:
        """The file, a version before its name or none.

        Raises:
            NotFound: there is no such file.
        """
        versioned = _VERSIONED.fullmatch(filename)
        asked, name = versioned.groups() if versioned else ("", filename)
        path = safe_join(str(self._folder), name)
        if path is None or not pathlib.Path(path).is_file():
            raise NotFound
        if name.endswith(".html"):
            return self._sent_page(name)
        tag = self._tag(name)
        response = send_from_directory(self._folder, name, etag=tag)
        if asked == self.version() and self._tags.get(name) == tag:
            response.headers["Cache-Control"] = KEPT
        return response

    def _sent_page(self, name: str) -> Response:
        text = self.page(name)
        response = Response(text, mimetype="text/html", headers={"Cache-Control": "no-cache"})
        response.set_etag(_digest(text.encode()))
        response.make_conditional(request)
        return response

    def _tag(self, name: str) -> str:
        path = self._folder / name
        found = path.stat()
        stamp = (found.st_mtime_ns, found.st_size)
        known = self._known.get(name)
        if known is None or known[0] != stamp:
            known = self._known[name] = (stamp, _digest(path.read_bytes()))
        return known[1]


class WithAssets(Flask):
    """Flask, with its static files sent by `Assets`."""

    def __init__(self, name: str, *, folder: pathlib.Path) -> None:
        super().__init__(name, static_folder=folder, static_url_path="/static")
        self.assets = Assets(folder)

    def send_static_file(self, filename: str) -> Response:
        """Also what pages and the route of static files are sent by."""
        return self.assets.send(filename)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:LENGTH]
