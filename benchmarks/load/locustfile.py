"""What people do, for Locust: jobs and their polls, talk in a group, questions to the AI, looking around.

Everything that Locust needs of the product comes by two variables of the environment, which `benchmarks.load` sets:

    LOAD_PEOPLE   a file with a token and a group for each of those who may come
    LOAD_KIND     `mixed`, or `hasty`: each sends a fixed number of requests as fast as they go, for the limits

Each user waits 1 to 5 s between two things it does. Answers that are none of those that should come are failures.
"""

from __future__ import annotations

import itertools
import json
import os
import pathlib
import time
import uuid
from typing import Any

import gevent
from gevent.pool import Pool
from locust import FastHttpUser, between, constant, events, task

JOB_SECONDS = 60.0
FINISHED = ("completed", "failed", "cancelled")
HASTY_JOBS, HASTY_MESSAGES, HANDS = 50, 25, 3
WRITTEN_SECONDS = 3.0
"""Locust writes its figures down once a second, and not at the very end."""

_people = itertools.cycle(json.loads(pathlib.Path(os.environ["LOAD_PEOPLE"]).read_text()))


class Somebody(FastHttpUser):
    """Signed in, in a group, and in a chat of their own."""

    abstract = True
    ai_mode = "always"
    connection_timeout = network_timeout = 30.0

    def on_start(self) -> None:
        """Be one of those who are there."""
        person = next(_people)
        self.headers = {"Authorization": f"Bearer {person['token']}"}
        self.room = f"/api/chats/{person['chat']}"
        body = {"type": "ai", "aiMode": self.ai_mode}
        while (chat := self.ask("POST", "/api/chats", "/api/chats", good=201, body=body)) is None:
            gevent.sleep(1.0)
        self.own = f"/api/chats/{chat['chatId']}"

    def ask(self, method: str, path: str, name: str, *, good: int, body: object = None) -> Any:
        """One request; its body, or None if the answer was none of the good ones."""
        options: dict[str, Any] = {} if body is None else {"json": body}
        with self.client.request(
            method, path, name=f"{method} {name}", headers=self.headers, catch_response=True, **options
        ) as answer:
            if answer.status_code != good:
                answer.failure(f"status {answer.status_code}")
                return None
            return answer.json()

    def until_finished(self, job_id: str) -> str:
        """Poll as often as the answer says, at least every second; the status."""
        until, status = time.monotonic() + JOB_SECONDS, "unknown"
        while status not in FINISHED and time.monotonic() < until:
            gevent.sleep(1.0)
            job = self.ask("GET", f"/api/jobs/{job_id}", "/api/jobs/{id}", good=200)
            status = status if job is None else str(job["status"])
        return status

    def note(self, name: str, begun_at: float, *, problem: str = "") -> None:
        """A figure of several requests."""
        took = (time.monotonic() - begun_at) * 1000
        exception = RuntimeError(problem) if problem else None
        events.request.fire(
            request_type="ALL", name=name, response_time=took, response_length=0, exception=exception, context={}
        )


if os.environ["LOAD_KIND"] == "mixed":

    class Mixed(Somebody):
        """Does a bit of everything."""

        wait_time = between(1, 5)

        @task(4)
        def hand_in(self) -> None:
            """A job, until it is finished."""
            begun_at = time.monotonic()
            body = {"message": f"[[latency-ms=300]] {uuid.uuid4()}"}
            job = self.ask("POST", "/api/jobs", "/api/jobs", good=201, body=body)
            if job is not None:
                status = self.until_finished(job["jobId"])
                self.note("job, from POST to the poll that saw it done", begun_at, problem=_unless_completed(status))

        @task(3)
        def talk(self) -> None:
            """A message to nine others, and what is new."""
            body = {"content": f"Said {uuid.uuid4()}", "clientMsgId": uuid.uuid4().hex}
            posted = self.ask("POST", f"{self.room}/messages", "/api/chats/{id}/messages", good=201, body=body)
            if posted is not None:
                since = max(0, posted["message"]["changeSeq"] - 20)
                self.ask("GET", f"{self.room}/changes?since={since}", "/api/chats/{id}/changes", good=200)

        @task(2)
        def look(self) -> None:
            """What is unread, and the newest page."""
            self.ask("GET", "/api/chats/unread", "/api/chats/unread", good=200)
            self.ask("GET", f"{self.room}/messages?limit=50", "/api/chats/{id}/messages", good=200)

        @task(1)
        def ask_the_ai(self) -> None:
            """A question, until the answer stands in the chat."""
            begun_at = time.monotonic()
            body = {"content": f"[[latency-ms=300]] {uuid.uuid4()}", "clientMsgId": uuid.uuid4().hex}
            posted = self.ask("POST", f"{self.own}/messages", "/api/chats/{id}/messages (AI)", good=201, body=body)
            if posted is None:
                return
            status, seq = self.until_finished(posted["message"]["jobId"]), posted["message"]["seq"]
            page = self.ask("GET", f"{self.own}/messages?limit=50", "/api/chats/{id}/messages", good=200)
            is_there = page is not None and any(each["replyTo"] == seq for each in page["items"])
            problem = _unless_completed(status) or ("" if is_there else "no answer in the chat")
            self.note("AI, from the question to its answer in the chat", begun_at, problem=problem)

else:

    class Hasty(Somebody):
        """Sends more than it may, as fast as it goes, and is done."""

        wait_time = constant(3600)
        ai_mode = "off"
        done = 0
        """Users of this run that are."""

        @task
        def rush(self) -> None:
            """Jobs and messages, some at once, so that both processes of the api count them."""
            hands = Pool(HANDS)
            for number in range(HASTY_JOBS):
                hands.spawn(self.count, "/api/jobs", "/api/jobs")
                if number < HASTY_MESSAGES:
                    hands.spawn(self.count, f"{self.own}/messages", "/api/chats/{id}/messages")
            hands.join()
            Hasty.done += 1
            if Hasty.done == self.environment.parsed_options.num_users:
                gevent.spawn_later(WRITTEN_SECONDS, self.environment.runner.quit)

        def count(self, path: str, name: str) -> None:
            """One request, under the name of its answer's status."""
            body = {"message": "Go"} if name == "/api/jobs" else {"content": "Go", "clientMsgId": uuid.uuid4().hex}
            with self.client.post(path, json=body, headers=self.headers, catch_response=True) as answer:
                answer.request_meta["name"] = f"POST {name}: {answer.status_code}"
                if answer.status_code in (201, 429):
                    answer.success()


def _unless_completed(status: str) -> str:
    return "" if status == "completed" else f"the job was {status}"
