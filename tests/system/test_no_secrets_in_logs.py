"""No secret and nothing that somebody wrote is in any log, whatever goes well or wrong.

The whole of `make run` with a canary in the place of each secret: one run through
successes and failures, then every log of every process is searched, PostgreSQL's and
Valkey's included.
"""

from __future__ import annotations

import dataclasses
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from typing import Any

import jwt
import psycopg2
import pytest

from local import ports
from tests.conftest import ROOT
from tests.fake_llm import FakeLLM
from tests.system.stack import FINISHED, eventually

pytestmark = [pytest.mark.xdist_group("people"), pytest.mark.timeout(240)]

MESSAGE, PASSWORD, WRONG, NAME = "zeisig-message", "zeisig-Password-9d2!", "zeisig-wrong-Pass-77", "Zeisig Realname"
PHONE, COOKIE, KEY, TEXT = "+4915199887766", "zeisig-cookie-" + "x" * 29, "zeisig-idempotency", "zeisig-answer"
LLM_KEY, ADMIN, BODY = "sk-zeisig-0123456789abcdef", "zeisig-admin-token-0123456789", "zeisig-body"
FORGED = '\r\n{"event": "forged_line", "level": "info"}\x1b[2J'


@dataclasses.dataclass
class Running:
    """The product, and every secret that has come up so far."""

    folder: pathlib.Path
    port: int
    secrets: dict[str, str]
    cookies: dict[str, str] = dataclasses.field(default_factory=dict)

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict[str, Any]]:
        """Status and body; cookies are kept. Bytes are sent as they are. Header names are written with ``_``."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies and "Cookie" not in named:
            named["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        try:
            connection.request(method, path, content, {"Content-Type": "application/json", **named})
            response = connection.getresponse()
            for cookie in response.headers.get_all("Set-Cookie") or []:
                name, _, value = cookie.partition(";")[0].partition("=")
                self.cookies[name] = value
                self.secrets[f"cookie {name} {value[:4]}"] = value
            read = response.read()
            return response.status, json.loads(read) if read else {}
        finally:
            connection.close()

    def finished(self, message: str, **headers: str) -> dict[str, Any]:
        """A job with this message, when it has finished."""
        status, made = self.ask("POST", "/api/jobs", {"message": message}, **headers)
        assert status == 201, made
        authorization = {name: value for name, value in headers.items() if name == "Authorization"}

        def look() -> dict[str, Any] | None:
            job = self.ask("GET", f"/api/jobs/{made['jobId']}", **authorization)[1]
            return job if job.get("status") in FINISHED else None

        found = eventually(look)
        assert found is not None
        return found

    def sql(self, statement: str) -> None:
        """Bend the database."""
        url = dict(line.split("=", 1) for line in (self.folder / "services.env").read_text().splitlines())
        connection = psycopg2.connect(url["DATABASE_URL"].strip("'"))
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
        connection.close()

    def logs(self) -> dict[str, str]:
        """All that any process has written."""
        return {path.name: path.read_text(errors="replace") for path in (self.folder / "logs").iterdir()}


@pytest.fixture(scope="module")
def product() -> Iterator[Running]:
    """`make run`, in a folder of its own."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="parley-canaries-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user where the tests run as root
    data, port = folder / "data", ports.free_port()
    with FakeLLM() as llm, (folder / "terminal").open("wb") as terminal:
        settings = {
            "PORT": str(port),
            "PARLEY_DATA": str(data),
            "ADMIN_TOKEN": ADMIN,
            "LLM_BASE_URL": llm.base_url,
            "LLM_API_KEY": LLM_KEY,
            "LLM_MODEL": "fake-model",
            "LLM_TOTAL_SECONDS": "2",
            "PHONE_KEY": "zeisig-phone-key-0123456789abcdef",
            "MAX_ATTEMPTS": "2",
            "RETRY_BASE_SECONDS": "0.05",
        }
        environment = {"PATH": os.environ["PATH"], **settings}
        process = subprocess.Popen(
            [sys.executable, "run.py"], cwd=ROOT, env=environment, stdout=terminal, stderr=subprocess.STDOUT
        )
        running = Running(data, port, {"LLM key": LLM_KEY, "admin token": ADMIN, "phone key": settings["PHONE_KEY"]})
        try:
            eventually(lambda: "Parley is ready" in (folder / "terminal").read_text() or _is_ready(running), seconds=90)
            for key in (data / "keys").iterdir():
                running.secrets[key.name] = key.read_text().strip()
            yield running
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
            shutil.rmtree(folder, ignore_errors=True)


def _is_ready(running: Running) -> bool:
    try:
        return running.ask("GET", "/health/ready")[1].get("status") == "ready"
    except OSError:
        return False


def bearer(token: str) -> str:
    return f"Bearer {token}"


def go_through_accounts(product: Running) -> None:
    """Register, sign in rightly and wrongly, renew, reuse, make and use a key, sign out."""
    username = "zeisig-" + uuid.uuid4().hex[:8]
    account = {"username": username, "password": PASSWORD, "displayName": NAME, "phoneNumber": PHONE}
    status, session = product.ask("POST", "/api/auth/register", account)
    assert status == 201, session
    token = session["accessToken"]
    product.secrets["access token"] = token
    first_cookie = dict(product.cookies)

    assert product.ask("POST", "/api/auth/register", account)[0] == 409
    assert (
        product.ask("POST", "/api/auth/register", {**account, "username": username + "2", "password": "password12"})[0]
        == 422
    )
    assert product.ask("POST", "/api/auth/login", {"username": username, "password": WRONG})[0] == 401
    assert product.ask("POST", "/api/auth/login", {"username": "nobody-at-all", "password": WRONG})[0] == 401
    status, again = product.ask("POST", "/api/auth/login", {"username": username, "password": PASSWORD})
    assert status == 200
    product.secrets["second access token"] = again["accessToken"]
    assert product.ask("POST", "/api/auth/refresh")[0] == 200
    product.cookies = first_cookie
    assert product.ask("POST", "/api/auth/refresh")[0] == 200
    product.cookies = {"parley_refresh": COOKIE}
    assert product.ask("POST", "/api/auth/refresh")[0] == 401

    status, made = product.ask(
        "POST", "/api/me/keys", {"name": NAME, "scopes": ["jobs:read", "jobs:write"]}, Authorization=bearer(token)
    )
    if status != 404:
        assert status == 201, made
        product.secrets["API key"] = made["key"]
        assert product.finished(MESSAGE, Authorization=bearer(made["key"]))["status"] == "completed"
        assert product.ask("GET", "/api/audit", Authorization=bearer(made["key"]))[0] == 403
        assert product.ask("GET", "/api/audit", Authorization=bearer(made["key"][:-1] + "x"))[0] == 401
    assert product.finished(MESSAGE, Authorization=bearer(token))["status"] == "completed"
    key = (product.folder / "keys" / "token-key").read_text().strip()
    head, claims = jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})
    expired = jwt.encode({**claims, "exp": time.time() - 100}, key, "HS256", headers=head)
    product.secrets["expired token"] = expired
    assert product.ask("GET", "/api/me", Authorization=bearer(expired))[0] == 401
    assert product.ask("GET", "/api/me", Authorization=bearer(token[:-4] + "AAAA"))[0] == 401
    assert product.ask("POST", "/api/auth/logout-all", Authorization=bearer(token))[0] == 204
    assert product.ask("GET", "/api/me", Authorization=bearer(token))[0] in (200, 401)  # the other process may remember


def go_through_requests(product: Running) -> None:
    """Good and bad ones, as a guest and as the operator."""
    product.cookies = {"parley_guest": COOKIE}
    assert product.finished(MESSAGE, Idempotency_Key=KEY)["status"] == "completed"
    assert product.ask("POST", "/api/jobs", {"message": MESSAGE + "!"}, Idempotency_Key=KEY)[0] == 422
    for raw in (b'{"message": "zeisig-body', b"\xff zeisig-body", b'{"zeisig-body": 1}', b"[" * 9000):
        assert product.ask("POST", "/api/jobs", raw)[0] in (400, 422)
    assert product.ask("POST", "/api/jobs", BODY.encode() * 30_000)[0] == 413
    assert product.ask("POST", "/api/batches", {"prompts": [MESSAGE, {"zeisig-body": 1}]})[0] == 422
    assert product.ask("POST", "/api/batches", {"prompts": [MESSAGE] * 3})[0] == 201
    assert product.ask("GET", f"/api/audit?actor={BODY}&access_token={ADMIN}", Authorization=bearer(ADMIN))[0] == 422
    assert product.ask("GET", f"/api/audit?actor={BODY}", Authorization=bearer(ADMIN))[0] == 200
    assert product.ask("GET", "/api/audit", Authorization=bearer(ADMIN + "x"))[0] == 401
    assert product.ask("GET", "/api/audit", Authorization="Basic " + ADMIN)[0] == 401


def go_through_providers(product: Running) -> None:
    """What echoes the key, or the prompt, in every kind of failure."""
    echo = f"Incorrect API key provided: {LLM_KEY}"
    for directive in (
        f"[[status=401]] [[body={echo}]]",
        "[[status=400]]",
        "[[status=500]]",
        f"[[status=503]] [[body={echo}]]",
        "[[error-event=server_error]]",
        "[[cut=rst]]",
        "[[raw=data: zeisig-body]]",
        "[[finish=content_filter]]",
        "[[hang=before]]",
    ):
        assert product.finished(f"{directive} {MESSAGE}")["status"] in ("failed", "completed")
    assert product.finished(f"[[text={TEXT}]] {MESSAGE}")["result"] == TEXT


def go_through_crashes(product: Running) -> None:
    """A bug in the api and one in the worker; the database's own words quote the row."""
    product.sql("ALTER TABLE jobs ADD CONSTRAINT crash CHECK (message NOT LIKE '%crash%') NOT VALID")
    for path, body in (
        ("/api/jobs", {"message": MESSAGE + " crash"}),
        ("/api/batches", {"prompts": [MESSAGE + " crash"]}),
    ):
        assert product.ask("POST", path, body)[0] == 500
    product.sql("ALTER TABLE jobs DROP CONSTRAINT crash; ALTER TABLE jobs RENAME COLUMN message TO was_message")
    assert product.ask("POST", "/api/jobs", {"message": MESSAGE})[0] == 500
    product.sql("ALTER TABLE jobs RENAME COLUMN was_message TO message")
    product.sql("ALTER TABLE jobs ADD CONSTRAINT crash CHECK (result NOT LIKE '%zeisig%') NOT VALID")
    assert product.ask("POST", "/api/jobs", {"message": f"[[text={TEXT}]] {MESSAGE}"})[0] == 201
    eventually(lambda: "recording_failed" in product.logs()["worker.log"])
    product.sql("ALTER TABLE jobs DROP CONSTRAINT crash")


def go_through_forgeries(product: Running) -> None:
    """What would start a line of its own, in every place that a line of ours might repeat."""
    escaped = FORGED.replace("\r", "%0d").replace("\n", "%0a").replace("\x1b", "%1b").replace(" ", "%20")
    for path in ("/api/jobs/", "/static/", "/api/audit?actor=", "/"):
        assert product.ask("GET", path + escaped)[0] in (401, 404, 422)
    odd = FORGED.replace("\r\n", "").replace("\x1b", "\x1b\x9b\x85")
    for name in (
        "X_Request_Id",
        "User_Agent",
        "Idempotency_Key",
        "Authorization",
        "Cookie",
        "X_Forwarded_For",
        "Origin",
    ):
        assert product.ask("POST", "/api/jobs", {"message": FORGED}, **{name: odd})[0] in (201, 400, 401, 403)


def test_no_log_of_any_process_holds_a_secret_or_what_somebody_wrote(product: Running) -> None:
    """And no value starts a line of its own."""
    go_through_accounts(product)
    go_through_requests(product)
    go_through_providers(product)
    go_through_crashes(product)
    go_through_forgeries(product)

    logs = {**product.logs(), "terminal": (product.folder.parent / "terminal").read_text()}
    secrets = {
        **product.secrets,
        "message": MESSAGE,
        "password": PASSWORD,
        "wrong": WRONG,
        "name": NAME,
        "phone": PHONE,
    }
    secrets |= {"phone digits": PHONE[1:], "cookie": COOKIE, "body": BODY, "answer": TEXT, "idempotency key": KEY}
    found = [
        f"{name} in {log}" for log, text in logs.items() for name, value in secrets.items() if value and value in text
    ]
    assert found == []
    # The search is worth something: what should be there is.
    assert {"api.log", "dispatcher.log", "worker.log", "postgres.log"} <= logs.keys()
    for event, log in (
        ("request_failed", "api"),
        ("job_created", "api"),
        ("provider_failed", "worker"),
        ("recording_failed", "worker"),
    ):
        assert f'"{event}"' in logs[f"{log}.log"]
    lines = [json.loads(line) for text in logs.values() for line in text.splitlines() if line.startswith("{")]
    assert "forged_line" not in {line["event"] for line in lines}
    assert not any(character in text for text in logs.values() for character in "\r\x1b\x9b\x85")


def test_a_line_says_what_happened_to_what_in_which_request(product: Running) -> None:
    """The record of the reference: time, level, event, ids, the length of the message."""
    given = "my-request." + uuid.uuid4().hex[:8]
    status, made = product.ask("POST", "/api/jobs", {"message": "12345"}, X_Request_Id=given)
    assert status == 201

    (line,) = eventually(
        lambda: [json.loads(line) for line in product.logs()["api.log"].splitlines() if given in line], seconds=10
    )

    assert (line["event"], line["level"], line["process"]) == ("job_created", "info", "api")
    assert (line["request_id"], line["job_id"], line["message_length"]) == (given, made["jobId"], 5)
    assert line["timestamp"].endswith("Z")
