"""A stand-in for the API: serves the real page, and answers about jobs exactly as a test tells it to.

The real stack cannot be asked to drop the third connection or to fail twice with four seconds in between;
this can. It keeps the contract's forms (`201`, `Location`, `Retry-After`, problem+json, replay by
`Idempotency-Key`) and writes down every request it sees. It speaks HTTP/1.0, one connection a request:
on a reused connection a browser quietly repeats a request whose answer was lost, and a test would count two.
"""

from __future__ import annotations

import datetime as dt
import json
import mimetypes
import pathlib
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

STATIC = pathlib.Path(__file__).resolve().parents[2] / "static"

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

Job = dict[str, Any]


@dataclass(frozen=True)
class Seen:
    """One request to the API, as it arrived; `at` is monotonic."""

    method: str
    path: str
    key: str | None
    body: Any
    at: float


@dataclass(frozen=True)
class Drop:
    """Close the connection without an answer; `after_doing` does what was asked first."""

    after_doing: bool = False


@dataclass(frozen=True)
class Refuse:
    """Answer with a problem."""

    status: int
    code: str
    detail: str = "Scripted."
    retry_after: int | None = None
    errors: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True)
class Page:
    """Answer with somebody's HTML, as a proxy in front of a stopped server does."""

    status: int


@dataclass(frozen=True)
class Hold:
    """Answer as usual, but only once `release` is set."""

    release: threading.Event = field(default_factory=threading.Event)


Reply = Drop | Refuse | Page | Hold


def ago(seconds: float) -> str:
    """The time so many seconds ago, as the API writes times; negative for the future."""
    moment = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def an_attempt(
    *, started: float, asked: float | None = None, finished: float | None = None, error_code: str | None = None
) -> dict[str, str | None]:
    """One row of `attempts`; every time is given as seconds ago."""
    outcome = None if finished is None else "failed" if error_code else "completed"
    return {
        "startedAt": ago(started),
        "askedAt": None if asked is None else ago(asked),
        "finishedAt": None if finished is None else ago(finished),
        "outcome": outcome,
        "errorCode": error_code,
    }


def a_job(status: str, **fields: Any) -> Job:
    """A job's document as `GET /api/jobs/<id>` answers it, without its id."""
    usual: Job = {
        "status": status,
        "type": "chat",
        "createdAt": ago(0.5),
        "updatedAt": ago(0),
        "result": None,
        "error": None,
        "attempt": 0,
        "failures": 0,
        "maxAttempts": 5,
        "nextAttemptAt": None,
        "model": None,
        "truncated": False,
        "usage": None,
        "attempts": [],
    }
    return usual | fields


def completed(result: str = "It is done.", **fields: Any) -> Job:
    """A job answered at its first attempt."""
    return a_job(
        "completed",
        result=result,
        createdAt=ago(2.9),
        attempt=1,
        model="test-model-1",
        usage={"promptTokens": 12, "completionTokens": 30, "totalTokens": 42},
        attempts=[an_attempt(started=2.7, asked=2.65, finished=0.1)],
    ) | (fields)


class StandIn:
    """The server and its script. Everything may be changed while it runs."""

    def __init__(self) -> None:
        self.posts: deque[Reply] = deque()
        """What becomes of the next POSTs, in order; when empty, each makes a job."""
        self.gets: deque[Reply] = deque()
        """What becomes of the next looks at any job; when empty, the job is shown."""
        self.retry_after = 1
        self.jobs: dict[str, Job] = {}
        self.seen: list[Seen] = []
        self._usual: list[Job] = [completed()]
        self._ways: dict[str, deque[Job]] = {}
        self._keys: dict[str, str] = {}
        self._changed = threading.Condition()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def port(self) -> int:
        """Any that was free."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Where the page is, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def show(self, *way: Job) -> None:
        """What every job looks like from now on: each look moves one step along, and stays at the last."""
        with self._changed:
            self._usual = list(way)
            for job_id in self.jobs:
                self._ways[job_id] = deque(way)

    def looks(self, job_id: str | None = None) -> list[Seen]:
        """The looks at one job, or at any."""
        path = "/api/jobs/" + (job_id or "")
        return [seen for seen in self.seen if seen.method == "GET" and seen.path.startswith(path)]

    def sends(self) -> list[Seen]:
        """The POSTs, whatever became of them."""
        return [seen for seen in self.seen if seen.method == "POST"]

    def wait_until(self, holds: Callable[[], bool], within: float = 15.0) -> None:
        """Return once it holds, asked anew after every request; an assertion when it does not in time."""
        with self._changed:
            assert self._changed.wait_for(holds, timeout=within), f"still not so after {within} s; saw {self.seen}"

    def _note(self, seen: Seen) -> None:
        with self._changed:
            self.seen.append(seen)
            self._changed.notify_all()

    def _create(self, key: str | None, body: Any) -> tuple[str, bool]:
        """The job's id, and whether the key had made it before."""
        with self._changed:
            if key is not None and key in self._keys:
                return self._keys[key], True
            job_id = str(uuid.uuid4())
            self._keys[key or job_id] = job_id
            self.jobs[job_id] = body
            self._ways[job_id] = deque(self._usual)
            self._changed.notify_all()
            return job_id, False

    def _look(self, job_id: str) -> Job | None:
        with self._changed:
            way = self._ways.get(job_id)
            if way is None or job_id not in self.jobs:
                return None
            return {"jobId": job_id} | (way.popleft() if len(way) > 1 else way[0])


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, stand_in: StandIn) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stand_in = stand_in

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle is no fault of ours."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Tests read `seen`, not a log."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/jobs/"):
            self._get_job(path.removeprefix("/api/jobs/"))
        elif path == "/health":
            self._json(200, {"status": "healthy"})
        elif path == "/api/openapi.json":
            self._json(200, EXAMPLE_OPENAPI)
        else:
            self._file({"/": "index.html", "/api/docs": "docs/index.html"}.get(path, path.removeprefix("/static/")))

    def do_POST(self) -> None:
        stand_in = self.server.stand_in
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers["Idempotency-Key"]
        stand_in._note(Seen("POST", self.path, key, body, time.monotonic()))
        reply = stand_in.posts.popleft() if stand_in.posts else None
        if self._scripted(reply):
            if isinstance(reply, Drop) and reply.after_doing:
                stand_in._create(key, body)
            return
        job_id, replayed = stand_in._create(key, body)
        document = {"jobId": job_id, "status": "created", "message": "Job created successfully"}
        headers = {"Location": f"/api/jobs/{job_id}", "Retry-After": "1"}
        if replayed:
            self._json(200, document, headers | {"Idempotency-Replayed": "true"})
        else:
            self._json(201, document, headers)

    def _get_job(self, job_id: str) -> None:
        stand_in = self.server.stand_in
        stand_in._note(Seen("GET", self.path, None, None, time.monotonic()))
        if self._scripted(stand_in.gets.popleft() if stand_in.gets else None):
            return
        job = stand_in._look(job_id)
        if job is None:
            self._problem(Refuse(404, "not_found", "There is no such job."))
            return
        final = job["status"] in {"completed", "failed", "cancelled"}
        self._json(200, job, {} if final else {"Retry-After": str(stand_in.retry_after)})

    def _scripted(self, reply: Reply | None) -> bool:
        """Answer as scripted; false when the usual answer is still to be given."""
        if isinstance(reply, Hold):
            reply.release.wait(30)
        elif isinstance(reply, Refuse):
            self._problem(reply)
        elif isinstance(reply, Page):
            self._send(reply.status, "text/html", b"<h1>Bad gateway</h1>", {})
        return isinstance(reply, Drop | Refuse | Page)

    def _problem(self, refusal: Refuse) -> None:
        document = {
            "type": "about:blank",
            "title": "Refused",
            "status": refusal.status,
            "detail": refusal.detail,
            "code": refusal.code,
            "requestId": "req-1",
            "errors": list(refusal.errors),
        }
        headers = {} if refusal.retry_after is None else {"Retry-After": str(refusal.retry_after)}
        self._send(refusal.status, "application/problem+json", json.dumps(document).encode(), headers)

    def _json(self, status: int, document: Any, headers: dict[str, str] | None = None) -> None:
        self._send(status, "application/json", json.dumps(document).encode(), headers or {})

    def _file(self, name: str) -> None:
        path = (STATIC / name).resolve()
        if not path.is_relative_to(STATIC) or not path.is_file():
            self._problem(Refuse(404, "not_found"))
            return
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        self._send(200, kind, path.read_bytes(), {"Content-Security-Policy": CSP, "X-Content-Type-Options": "nosniff"})

    def _send(self, status: int, kind: str, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


EXAMPLE_OPENAPI: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Parley", "version": "1.0.0", "description": "A queue between people and models."},
    "paths": {
        "/api/jobs": {
            "post": {
                "tags": ["jobs"],
                "summary": "Accept a job.",
                "requestBody": {
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/NewJob"}}},
                    "required": True,
                },
                "responses": {"201": {"description": "The job is stored."}},
            }
        },
        "/api/jobs/{job_id}": {
            "get": {
                "tags": ["jobs"],
                "summary": "Look at a job.",
                "parameters": [
                    {"name": "job_id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}
                ],
                "responses": {"200": {"description": "The job as it stands."}},
            }
        },
    },
    "components": {
        "schemas": {
            "NewJob": {
                "type": "object",
                "required": ["message"],
                "properties": {
                    "message": {"type": "string", "maxLength": 32000, "examples": ["Hello"]},
                    "type": {"enum": ["chat", "summarize"], "default": "chat"},
                },
            }
        }
    },
}
