"""Static files: kept without asking under the version of all of them, and asked for under any other."""

from __future__ import annotations

import os
import pathlib
import re
import shutil

import pytest
from flask.testing import FlaskClient

from api import assets
from api.assets import KEPT, Assets, WithAssets

STATIC = pathlib.Path(__file__).resolve().parents[2] / "static"
SCRIPT = "js/store.js"


@pytest.fixture
def folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """Two files and a page of one's own, looked at each time."""
    monkeypatch.setattr(assets, "LOOK_SECONDS", 0.0)
    (tmp_path / "js").mkdir()
    (tmp_path / "js" / "one.js").write_text("import './two.js';")
    (tmp_path / "js" / "two.js").write_text("export const two = 2;")
    (tmp_path / "index.html").write_text('<script src="/static/js/one.js"></script><a href="/static">/static/</a>')
    return tmp_path


def client_of(folder: pathlib.Path) -> FlaskClient:
    return WithAssets("assets", folder=folder).test_client()


def cached(client: FlaskClient, path: str) -> tuple[int, str | None, str | None]:
    with client.get(path) as answer:
        return answer.status_code, answer.headers.get("Cache-Control"), answer.headers.get("ETag")


@pytest.mark.parametrize("path", ["/", "/jobs", "/keys", "/dashboard", "/api/docs"])
def test_all_that_a_page_loads_may_be_kept_for_a_year_and_the_page_may_not(client: FlaskClient, path: str) -> None:
    """Under one version, and each file of it is the one on the disk."""
    with client.get(path) as answer:
        assert answer.headers["Cache-Control"] == "no-cache"
        named = re.findall(r'(?:src|href)="/static/([^"]+)"', answer.get_data(as_text=True))

    assert len(named) > 2
    assert len({name.split("/")[0] for name in named}) == 1
    for name in set(named):
        with client.get(f"/static/{name}") as answer:
            assert (answer.status_code, answer.headers["Cache-Control"]) == (200, KEPT), name
            assert answer.data == (STATIC / name.split("/", 1)[1]).read_bytes()


def test_under_no_version_or_another_the_file_is_sent_to_be_asked_for(client: FlaskClient) -> None:
    """As an old page, or one of a newer process, asks for it; the same ETag whatever it is called."""
    version = Assets(STATIC).version()
    status, kept, tag = cached(client, f"/static/{version}/{SCRIPT}")

    assert (status, kept) == (200, KEPT)
    for name in (SCRIPT, f"{'0' * 12}/{SCRIPT}"):
        assert cached(client, f"/static/{name}") == (200, "no-cache", tag)
        with client.get(f"/static/{name}", headers={"If-None-Match": str(tag)}) as again:
            assert (again.status_code, again.headers["Cache-Control"]) == (304, "no-cache")
    for name in (
        f"{version}/nothing.js",
        f"{version}/../wsgi.py",
        f"{version}/",
        version,
        f"{version}/{version}/{SCRIPT}",
    ):
        assert cached(client, f"/static/{name}")[0] == 404, name


def test_hosts_agree_whenever_their_files_were_written(
    folder: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Else each would undo what browsers have kept of the other."""
    other = tmp_path_factory.mktemp("other") / "static"
    shutil.copytree(folder, other)
    for file in other.rglob("*.js"):
        os.utime(file, (1, 1))

    assert Assets(other).version() == Assets(folder).version()
    assert cached(client_of(other), "/static/js/one.js") == cached(client_of(folder), "/static/js/one.js")


def test_a_changed_file_has_another_address_and_is_never_kept_under_the_old_one(folder: pathlib.Path) -> None:
    """Nor is one that is renamed, or new."""
    client, before = client_of(folder), Assets(folder).version()
    assert cached(client, f"/static/{before}/js/two.js")[1] == KEPT

    (folder / "js" / "two.js").write_text("export const two = 3;")
    after = Assets(folder).version()
    (folder / "js" / "three.js").write_text("")
    at_last = Assets(folder).version()

    assert len({before, after, at_last}) == 3
    with client.get("/static/index.html") as page:
        assert (
            page.get_data(as_text=True)
            == f'<script src="/static/{at_last}/js/one.js"></script><a href="/static">/static/</a>'
        )
    for version in (before, after):
        with client.get(f"/static/{version}/js/two.js") as answer:
            assert (answer.get_data(as_text=True), answer.headers["Cache-Control"]) == (
                "export const two = 3;",
                "no-cache",
            )


def test_a_file_that_changes_between_two_looks_is_not_kept(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version is then still that of what it held before."""
    client, before = client_of(folder), Assets(folder).version()
    assert cached(client, f"/static/{before}/js/two.js")[1] == KEPT
    monkeypatch.setattr(assets, "LOOK_SECONDS", 1e9)

    (folder / "js" / "two.js").write_text("export const two = 3;")

    assert cached(client, f"/static/{before}/js/two.js")[1] == "no-cache"
    assert cached(client, f"/static/{before}/js/one.js")[1] == KEPT
