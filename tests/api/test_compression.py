"""What goes out as gzip, what never does, and that caches stay right."""

from __future__ import annotations

import gzip
import pathlib

import pytest
from flask import Flask
from flask.testing import FlaskClient

from api import compression
from api.assets import Assets
from tests.factories import a_user, signed_in

STATIC = pathlib.Path(__file__).resolve().parents[2] / "static"
GZIP = {"Accept-Encoding": "gzip, deflate, br"}
SCRIPT = "/static/js/store.js"


@pytest.mark.parametrize(
    ("path", "name"),
    [("/", "index.html"), ("/jobs", "jobs.html"), ("/sw.js", "sw.js"), (SCRIPT, "js/store.js"), ("/api/docs", None)],
)
def test_a_file_goes_out_as_gzip_and_is_the_same_file(client: FlaskClient, path: str, name: str | None) -> None:
    """The second time it comes from memory."""
    name = name or "docs/index.html"
    file = Assets(STATIC).page(name).encode() if name.endswith(".html") else (STATIC / name).read_bytes()

    for _ in range(2):
        with client.get(path, headers=GZIP) as answer:
            assert answer.headers.get("Content-Encoding") == ("gzip" if len(file) >= 1024 else None)
            assert (gzip.decompress(answer.data) if answer.content_encoding else answer.data) == file
            assert answer.content_length == len(answer.data) <= len(file)
            assert "Accept-Encoding" in answer.vary


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "gzip;q=0, *"])
def test_who_does_not_ask_for_it_gets_the_file_as_it_is(client: FlaskClient, accepted: str) -> None:
    """And a cache is told that others get something else."""
    with client.get(SCRIPT, headers={"Accept-Encoding": accepted}) as answer:
        assert answer.data == (STATIC / "js" / "store.js").read_bytes()
        assert "Content-Encoding" not in answer.headers
        assert "Accept-Encoding" in answer.vary


def test_an_etag_is_good_for_both_forms_and_names_no_bytes(client: FlaskClient) -> None:
    """304 for whoever has either; a part of the file is a part of what is on the disk."""
    with client.get(SCRIPT, headers=GZIP) as packed, client.get(SCRIPT) as plain:
        tag = packed.headers["ETag"]
        assert (plain.headers["ETag"], tag[:2]) == (tag, "W/")
    for headers in (GZIP, {}):
        with client.get(SCRIPT, headers={**headers, "If-None-Match": tag}) as again:
            assert (again.status_code, again.data, again.headers["ETag"]) == (304, b"", tag)
            assert "Accept-Encoding" in again.vary
    with client.get(SCRIPT, headers={**GZIP, "Range": "bytes=0-1999"}) as part:
        assert (part.status_code, part.headers.get("Content-Encoding")) == (206, None)
        assert part.data == (STATIC / "js" / "store.js").read_bytes()[:2000]
    with client.head(SCRIPT, headers=GZIP) as head, client.get(SCRIPT, headers=GZIP) as packed:
        assert (head.data, head.content_length) == (b"", len(packed.data))


def test_one_conversation_is_compressed_and_several_are_not(client: FlaskClient) -> None:
    """A list of chats shows what different people said side by side; its length would tell one about another."""
    headers = {**GZIP, **signed_in(a_user(username="anna"))}
    chat = client.post("/api/chats", json={"type": "ai", "aiMode": "off"}, headers=headers).get_json()["chatId"]
    client.post(f"/api/chats/{chat}/messages", json={"content": "so " * 500, "clientMsgId": "1"}, headers=headers)
    for path in (f"/api/chats/{chat}/messages", f"/api/chats/{chat}/changes?since=0", f"/chats/{chat}"):
        answer = client.get(path, headers=headers)
        assert (answer.content_encoding, "Accept-Encoding" in answer.vary) == ("gzip", True), path
        assert b"so so" in gzip.decompress(answer.data)
        assert answer.headers["Cache-Control"] == "no-store"
    for path in ("/api/chats", "/api/chats/search?q=so", "/api/me/export", f"/api/chats/{chat}"):
        answer = client.get(path, headers=headers)
        assert "Content-Encoding" not in answer.headers, path
        assert "Accept-Encoding" not in answer.vary, path


def test_nothing_that_holds_a_secret_or_streams_is_named(app: Flask) -> None:
    """Each name is a view, all of them only read, and none is of accounts, keys, lists or streams."""
    named = compression.OF_EVERYBODY | compression.OF_ONE_CONVERSATION
    rules = [rule for rule in app.url_map.iter_rules() if rule.endpoint in named]

    assert {rule.endpoint for rule in rules} == named
    for rule in rules:
        assert rule.methods <= {"GET", "HEAD", "OPTIONS"}, rule  # type: ignore[operator]
        assert not {"auth", "me", "keys", "invitations", "events", "live", "search"} & {*rule.rule.split("/")[2:]}, rule
