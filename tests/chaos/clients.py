"""The clients: hand in jobs as the documentation tells them to, and look at what becomes of each.

A POST carries a key of its own. After a broken connection, a 503 or a 429 it is
sent again, with the same key, until an answer says that the job is stored.
"""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from dataclasses import dataclass

from tests.chaos.history import History
from tests.system.stack import FINISHED, Stack

AT_ONCE = 8
PATIENCE_SECONDS = 120.0
"""After so long without an answer a client gives up, and the run has failed."""
REQUEST_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 2.0
POLL_SECONDS = 0.04
LATENCIES_MS = (100, 2500)
FAILING = 0.1
"""Share of the prompts at which the model fails once before it answers."""


@dataclass(frozen=True, kw_only=True)
class Order:
    """One job that is to be handed in."""

    key: str
    message: str
    """Unique in the part that the model echoes, so that an answer shows whose it is."""
    fails: int
    """Failures the model will make of it."""
    not_before: float
    """Seconds after the start."""


def orders(chance: random.Random, *, seed: int, jobs: int, seconds: float) -> list[Order]:
    """What is to be handed in, spread over so many seconds."""
    made = []
    for number in range(jobs):
        fails = int(chance.random() < FAILING)
        name = f"{seed}-{number}"
        latency = f"[[latency-ms={chance.randint(*LATENCIES_MS)}]]"
        message = f"{name} {latency}" + (f" [[fail={fails}]]" if fails else "")
        made.append(Order(key=f"chaos-{name}", message=message, fails=fails, not_before=seconds * number / jobs))
    return made


class Clients:
    """Threads that post, and one that polls."""

    def __init__(self, stack: Stack, history: History, work: list[Order]) -> None:
        self._stack, self._history = stack, history
        self._work = list(reversed(work))
        self._unfinished: list[str] = []
        self._lock = threading.Lock()
        self._begun_at = time.monotonic()
        self._over = threading.Event()
        self._posters = [threading.Thread(target=self._post_all, name=f"client {n}") for n in range(AT_ONCE)]
        self._reader = threading.Thread(target=self._read_all, name="reader")

    def start(self) -> None:
        """Begin to post."""
        for thread in (*self._posters, self._reader):
            thread.start()

    def have_posted(self) -> bool:
        """Whether every job was handed in, or given up."""
        return not any(thread.is_alive() for thread in self._posters)

    def have_read(self) -> bool:
        """Whether every accepted job was seen finished."""
        with self._lock:
            return self.have_posted() and not self._unfinished

    def stop(self) -> None:
        """Look no further."""
        self._over.set()
        for thread in (*self._posters, self._reader):
            thread.join()

    def _post_all(self) -> None:
        while not self._over.is_set():
            with self._lock:
                if not self._work:
                    return
                order = self._work.pop()
            self._over.wait(max(0.0, self._begun_at + order.not_before - time.monotonic()))
            self._post(order)

    def _post(self, order: Order) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        tries = 0
        while time.monotonic() < until and not self._over.is_set():
            tries += 1
            self._history.add("invoke", "post", key=order.key, message=order.message, tries=tries)
            status, body, pause = self._ask("POST", "/api/jobs", key=order.key, message=order.message)
            if status in (200, 201):
                self._history.add("ok", "post", key=order.key, job=body["jobId"], status=status)
                with self._lock:
                    self._unfinished.append(body["jobId"])
                return
            self._history.add("info", "post", key=order.key, status=status, code=body.get("code"))
            if status not in (0, 429, 503):
                break
            self._over.wait(min(pause, LONGEST_PAUSE_SECONDS))
        self._history.add("fail", "post", key=order.key, tries=tries)

    def _read_all(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            with self._lock:
                job_id = self._unfinished.pop(0) if self._unfinished else None
            if job_id is None:
                continue
            status, body, _ = self._ask("GET", f"/api/jobs/{job_id}")
            if status == 200 and body["status"] in FINISHED:
                self._history.add("ok", "read", job=job_id, status=body["status"], result=body["result"])
                continue
            if status not in (0, 200, 503):
                self._history.add("fail", "read", job=job_id, status=status)
            with self._lock:
                self._unfinished.append(job_id)

    def _ask(self, method: str, path: str, *, key: str = "", message: str = "") -> tuple[int, dict[str, str], float]:
        """Status (0: none came), body, and the seconds to wait before asking again."""
        connection = http.client.HTTPConnection("127.0.0.1", self._stack.port, timeout=REQUEST_SECONDS)
        headers = {"Content-Type": "application/json", "Idempotency-Key": key} if key else {}
        try:
            connection.request(method, path, json.dumps({"message": message}) if key else None, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read()), float(response.headers.get("Retry-After", 1))
        except (OSError, http.client.HTTPException, ValueError) as error:
            return 0, {"code": type(error).__name__}, 0.2
        finally:
            connection.close()
