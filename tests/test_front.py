"""The proxy of the guide before the one of Compose: what of a caller arrives behind both."""

from __future__ import annotations

import contextlib
import http.client
import json
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from werkzeug.serving import make_server

from api.app import proxied
from local import ports
from tests.conftest import ROOT

NGINX = """
daemon off;
master_process off;
pid nginx.pid;
events {{ }}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy;
    fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    {outer}
    {inner}
}}
"""
CALLER, FORGED = "127.0.0.5", "192.0.2.66"


def seen(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """What an application is told of its caller."""
    names = ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST", "HTTP_UPGRADE", "HTTP_CONNECTION")
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([environ.get(name, "") for name in names]).encode()]


@contextlib.contextmanager
def served(trusted: int) -> Iterator[int]:
    """The port of an application that believes so many proxies."""
    server = make_server("127.0.0.1", 0, proxied(seen, trusted))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def listens(port: int) -> bool:
    """Whether somebody does."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def both_proxies(folder: pathlib.Path, *, behind: int) -> Iterator[tuple[int, int, int]]:
    """The ports of the outer one, of HTTP and of HTTPS, and that of Compose's."""
    nginx, openssl = (shutil.which(name) or pytest.skip(f"there is no {name} here") for name in ("nginx", "openssl"))
    plain, tls, inner_port = (ports.free_port() for _ in range(3))
    subject = ("-subj", "/CN=parley.example", "-addext", "subjectAltName=DNS:parley.example")
    files = ("-keyout", "privkey.pem", "-out", "fullchain.pem")
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *subject, *files]
    subprocess.run(command, cwd=folder, capture_output=True, check=True)
    inner = (ROOT / "deploy/nginx.conf").read_text().replace("resolver 127.0.0.11 valid=5s;", "")
    inner = re.sub(r"server \w+:\d+ resolve;", f"server 127.0.0.1:{behind};", inner)
    guide = (ROOT / "docs/how-to/deploy.md").read_text()
    (outer,) = re.findall(r"^```nginx\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    outer = outer.replace("/etc/letsencrypt/live/parley.example", str(folder)).replace(":8000", f":{inner_port}")
    outer = outer.replace("listen 80;", f"listen 127.0.0.1:{plain};").replace("listen 443", f"listen 127.0.0.1:{tls}")
    inner = inner.replace("listen 8080;", f"listen 127.0.0.1:{inner_port};")
    (folder / "nginx.conf").write_text(NGINX.format(outer=outer, inner=inner))
    log = (folder / "nginx.log").open("w")
    process = subprocess.Popen([nginx, "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"], stderr=log)
    try:
        until = time.monotonic() + 10
        while not all(listens(port) for port in (plain, tls, inner_port)):
            assert process.poll() is None, (folder / "nginx.log").read_text()
            assert time.monotonic() < until
            time.sleep(0.05)
        yield plain, tls, inner_port
    finally:
        process.terminate()
        process.wait()
        log.close()


def asked(connection: http.client.HTTPConnection, path: str, **headers: str) -> tuple[int, str, bytes]:
    """Status, place and body of the answer to somebody who lies about where they are."""
    lies = {"X-Forwarded-For": FORGED, "X-Forwarded-Proto": "ftp"}
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Host": "parley.example", **lies, **headers})
        with connection.getresponse() as response:
            return response.status, response.headers.get("Location", ""), response.read()


@pytest.mark.parametrize(
    ("trusted", "found"),
    [(2, [CALLER, "https"]), (1, ["127.0.0.1", "http"]), (3, ["127.0.0.1", "http"])],
    ids=["both", "one-too-few", "one-too-many"],
)
def test_behind_both_proxies_the_caller_is_known_where_both_are_trusted(
    tmp_path: pathlib.Path, trusted: int, found: list[str]
) -> None:
    """Otherwise everybody is one of the proxies. Sockets get through, and nobody stays at plain HTTP."""
    with served(trusted) as behind, both_proxies(tmp_path, behind=behind) as (plain, tls, _):
        known = ssl.create_default_context(cafile=str(tmp_path / "fullchain.pem"))
        known.check_hostname = False  # it is asked by its address

        def over_tls(path: str, **headers: str) -> Any:
            there = http.client.HTTPSConnection("127.0.0.1", tls, context=known, source_address=(CALLER, 0))
            return json.loads(asked(there, path, **headers)[2])

        assert over_tls("/api/jobs") == [*found, "parley.example", "", ""]
        upgraded = over_tls("/ws", Upgrade="websocket", Connection="Upgrade")
        assert upgraded == [*found, "parley.example", "websocket", "upgrade"]

        status, place, _ = asked(http.client.HTTPConnection("127.0.0.1", plain), "/jobs?a=1")
        assert (status, place) == (301, "https://parley.example/jobs?a=1")


@pytest.mark.parametrize("path", ["/api/jobs", "/ws"])
def test_what_a_caller_says_of_its_address_is_not_believed_behind_compose_alone(
    tmp_path: pathlib.Path, path: str
) -> None:
    """Or limits by address were no limits. The host is the page's, or nothing could be changed with a cookie."""
    with served(1) as behind, both_proxies(tmp_path, behind=behind) as (_, _, inner):
        _, _, body = asked(http.client.HTTPConnection("127.0.0.1", inner, source_address=(CALLER, 0)), path)

    address, _, host, *_ = json.loads(body)
    assert (address, host) == (CALLER, "parley.example")


def test_the_guide_changes_the_number_that_compose_has() -> None:
    """A `sed` that finds nothing says nothing."""
    (old, new) = re.findall(r"s/(.*)/(.*)/' deploy/compose.yaml", (ROOT / "docs/how-to/deploy.md").read_text())[0]

    assert (ROOT / "deploy/compose.yaml").read_text().count(old) == 1
    assert new == old.replace("1", "2")
