"""A stand-in for the API: serves the real page, and answers about jobs exactly as a test tells it to.

The real stack cannot be asked to drop the third connection or to fail twice with four seconds in between;
this can. It keeps the contract's forms (`201`, `Location`, `Retry-After`, problem+json, replay by
`Idempotency-Key`) and writes down every request it sees. It speaks HTTP/1.0, one connection a request:
on a reused connection a browser quietly repeats a request whose answer was lost, and a test would count two.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from .accounts import Accounts
from .documents import EXAMPLE_OPENAPI, Job, ago, completed
from .replies import Replies
from .script import Drop, Hold, Refuse, Reply, Seen

PAGES = {"/": "index.html", "/jobs": "jobs.html", "/keys": "keys.html", "/api/docs": "docs/index.html"}
FINAL = {"completed", "failed", "cancelled"}


class StandIn:
    """The server and its script. Everything may be changed while it runs."""

    def __init__(self) -> None:
        self.posts: deque[Reply] = deque()
        """What becomes of the next POSTs, in order; when empty, each makes a job."""
        self.gets: deque[Reply] = deque()
        """What becomes of the next looks at any job; when empty, the job is shown."""
        self.deletes: deque[Reply] = deque()
        """What becomes of the next DELETEs; when empty, each cancels its job if that has not ended."""
        self.retry_after = 1
        self.accounts = Accounts()
        self.jobs: dict[str, Job] = {}
        self.owners: dict[str, str] = {}
        """Whose each job is."""
        self.seen: list[Seen] = []
        self._usual: list[Job] = [completed()]
        self._ways: dict[str, deque[Job]] = {}
        self._keys: dict[tuple[str, str], str] = {}
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
        """The POSTs of jobs, whatever became of them."""
        return [seen for seen in self.seen if seen.method == "POST"]

    def cancels(self) -> list[Seen]:
        """The DELETEs, whatever became of them."""
        return [seen for seen in self.seen if seen.method == "DELETE"]

    def wait_until(self, holds: Callable[[], bool], within: float = 15.0) -> None:
        """Return once it holds, asked anew after every request; an assertion when it does not in time."""
        with self._changed:
            assert self._changed.wait_for(holds, timeout=within), f"still not so after {within} s; saw {self.seen}"

    def _note(self, seen: Seen) -> None:
        with self._changed:
            self.seen.append(seen)
            self._changed.notify_all()

    def adopt(self, guest: str, user_id: str) -> None:
        """What was the guest's is the user's."""
        self.owners = {job: user_id if owner == guest else owner for job, owner in self.owners.items()}
        self._keys = {(user_id if owner == guest else owner, key): job for (owner, key), job in self._keys.items()}

    def _create(self, owner: str, key: str | None, body: Any) -> tuple[str, bool]:
        """The job's id, and whether the key had made it before."""
        with self._changed:
            if key is not None and (owner, key) in self._keys:
                return self._keys[owner, key], True
            job_id = str(uuid.uuid4())
            self._keys[owner, key or job_id] = job_id
            self.owners[job_id] = owner
            self.jobs[job_id] = body
            self._ways[job_id] = deque(self._usual)
            self._changed.notify_all()
            return job_id, False

    def _is_readable(self, job_id: str, owner: str) -> bool:
        its = self.owners.get(job_id, "")
        return its in {owner, ""} or its.startswith("guest")

    def _look(self, job_id: str) -> Job | None:
        with self._changed:
            way = self._ways.get(job_id)
            if way is None or job_id not in self.jobs:
                return None
            return {"jobId": job_id} | (way.popleft() if len(way) > 1 else way[0])

    def _cancel(self, job_id: str) -> Job | None:
        """The job as it is after a DELETE."""
        with self._changed:
            way = self._ways.get(job_id)
            if way is not None and way[0]["status"] not in FINAL:
                self._ways[job_id] = deque([way[0] | {"status": "cancelled", "updatedAt": ago(0), "waitReason": None}])
        return self._look(job_id)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, stand_in: StandIn) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stand_in = stand_in

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away in the middle is no fault of ours."""


class _Handler(Replies, BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/jobs/"):
            self._get_job(path.removeprefix("/api/jobs/"))
        elif path.startswith("/api/me"):
            self._account()
        elif path == "/health":
            self._json(200, {"status": "healthy"})
        elif path == "/api/openapi.json":
            self._json(200, EXAMPLE_OPENAPI)
        else:
            self._file(PAGES.get(path, path.removeprefix("/static/")))

    def do_PATCH(self) -> None:
        self._account()

    def do_POST(self) -> None:
        if self.path != "/api/jobs":
            self._account()
            return
        stand_in, body, key = self.server.stand_in, self._body(), self.headers["Idempotency-Key"]
        stand_in._note(Seen("POST", self.path, key, body, time.monotonic(), self.headers["Authorization"]))
        reply = stand_in.posts.popleft() if stand_in.posts else None
        owner = self._owner()
        if owner is None:
            return
        if self._scripted(reply):
            if isinstance(reply, Drop) and reply.after_doing:
                stand_in._create(owner, key, body)
            return
        job_id, replayed = stand_in._create(owner, key, body)
        document = {"jobId": job_id, "status": "created", "message": "Job created successfully"}
        headers = {"Location": f"/api/jobs/{job_id}", "Retry-After": "1"}
        if replayed:
            self._json(200, document, headers | {"Idempotency-Replayed": "true"})
        else:
            self._json(201, document, headers)

    def _get_job(self, job_id: str) -> None:
        stand_in = self.server.stand_in
        stand_in._note(Seen("GET", self.path, None, None, time.monotonic(), self.headers["Authorization"]))
        reply = stand_in.gets.popleft() if stand_in.gets else None
        owner = self._owner()
        if owner is None:
            return
        readable = stand_in._is_readable(job_id, owner)
        job = stand_in._look(job_id) if readable and (reply is None or isinstance(reply, Hold)) else None
        if self._scripted(reply):
            return
        self._job(job)

    def do_DELETE(self) -> None:
        if self.path.startswith("/api/me"):
            self._account()
            return
        stand_in, job_id = self.server.stand_in, self.path.removeprefix("/api/jobs/")
        stand_in._note(Seen("DELETE", self.path, None, None, time.monotonic()))
        reply = stand_in.deletes.popleft() if stand_in.deletes else None
        if self._scripted(reply):
            if isinstance(reply, Drop) and reply.after_doing:
                stand_in._cancel(job_id)
            return
        job = stand_in._cancel(job_id)
        if job is not None and job["status"] in {"completed", "failed"}:
            self._problem(Refuse(409, "already_finished", "The job has completed or failed."))
        else:
            self._job(job)

    def _owner(self) -> str | None:
        """Whoever asks; None when that was refused."""
        owner = self.server.stand_in.accounts.owner(self.headers["Authorization"], self._cookies())
        if isinstance(owner, Refuse):
            self._problem(owner)
            return None
        return owner

    def _account(self) -> None:
        stand_in, body, cookies = self.server.stand_in, self._body(), self._cookies()
        accounts = stand_in.accounts
        with stand_in._changed:
            accounts.asked.append((self.command, self.path))
            stand_in._changed.notify_all()
        replies = accounts.replies.get(self.path)
        if self._scripted(replies.popleft() if replies else None):
            return
        answer = accounts.answer(self.command, self.path, body, self.headers["Authorization"], cookies)
        if isinstance(answer, Refuse):
            self._problem(answer)
            return
        if answer.cookies.get("parley_guest") == "" and "parley_guest" in cookies:
            stand_in.adopt(cookies["parley_guest"], answer.body["user"]["userId"])
        self._answer(answer)

    def _job(self, job: Job | None) -> None:
        if job is None:
            self._problem(Refuse(404, "job_not_found", "There is no such job."))
            return
        headers = {} if job["status"] in FINAL else {"Retry-After": str(self.server.stand_in.retry_after)}
        self._json(200, job, headers)
