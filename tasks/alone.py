"""Alone: one attempt in a child process, for a job that may be what kills workers.

A worker runs hundreds of jobs; when it dies, nobody knows which of them did it.
A job that lost its worker several times therefore gets a process of its own. If
that child dies while its parent lives, the job is poison and is failed; if the
parent dies too, nothing is proven and the job is tried alone once more.

Parent and child talk through one socket pair: a line of JSON each way. Shutting
it (which is what aborting a `Call` does) or the parent's death is the end of
file that makes the child exit.
"""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import threading
from typing import IO, Any

from models import logs, settings
from tasks.llm import provider_from
from tasks.llm.base import DEADLINE, Call, Kind, Prompt, ProviderError, Reply, Usage

EXIT_SECONDS = 5
AT_ONCE = 2
_PLACES = threading.Semaphore(AT_ONCE)


def in_turn(prompt: Prompt, call: Call) -> Reply:
    """`reply`, as soon as fewer than `AT_ONCE` others are alone.

    Raises:
        ProviderError: as there; or ``no_room_alone`` if the call's time was over first.
    """
    if not _PLACES.acquire(timeout=call.seconds_left()):
        raise ProviderError("No process was free to run this job alone.", kind=Kind.THROTTLED, code="no_room_alone")
    try:
        return reply(prompt, call)
    finally:
        _PLACES.release()


def reply(prompt: Prompt, call: Call) -> Reply:
    """Ask the model from a child process.

    Raises:
        ProviderError: the child's; or ``poison`` if the child died.
    """
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            # Its standard output stays ours: whatever a library prints there must not be taken for the answer.
            # A session of its own: a signal to the worker's group must not look like death by poison.
            child = subprocess.Popen(
                [sys.executable, "-m", "tasks.alone"], stdin=theirs.fileno(), start_new_session=True
            )
        try:
            answer = _converse(ours, prompt, call)
        finally:
            child.kill()
            child.wait(EXIT_SECONDS)
    if answer:
        return _understood(json.loads(answer))
    # Broken off by us, or dead by itself.
    raise call.failure() or ProviderError(
        "The process that ran this job alone died.", kind=Kind.PERMANENT, code="poison"
    )


def _converse(ours: socket.socket, prompt: Prompt, call: Call) -> bytes:
    call.use(ours)
    request = {"prompt": dataclasses.asdict(prompt), "seconds": call.seconds_left()}
    try:
        ours.sendall(json.dumps(request).encode() + b"\n")
        with ours.makefile("rb") as lines:
            return lines.readline()
    except OSError:
        return b""


def _understood(answer: dict[str, dict[str, Any]]) -> Reply:
    values = answer.get("reply") or answer["error"]
    if isinstance(usage := values.get("usage"), dict):
        values["usage"] = Usage(**usage)
    if "reply" in answer:
        return Reply(**values)
    raise ProviderError(str(values.pop("message")), **{**values, "kind": Kind(values["kind"])})


def main() -> None:
    """The child: read a prompt, ask, write what came of it."""
    logs.configure(process="alone", level=settings.current().log_level)
    with socket.socket(fileno=os.dup(0)) as line, line.makefile("rb") as requests:
        request = json.loads(requests.readline())
        call = Call(seconds=request["seconds"])
        threading.Thread(target=_exit_with_parent, args=[requests], daemon=True).start()
        timer = threading.Timer(request["seconds"], call.abort, [DEADLINE])
        timer.daemon = True
        timer.start()
        line.sendall(json.dumps(_answer(Prompt(**request["prompt"]), call)).encode() + b"\n")
        os._exit(0)


def _exit_with_parent(requests: IO[bytes]) -> None:
    requests.read()
    os._exit(1)


def _answer(prompt: Prompt, call: Call) -> dict[str, object]:
    provider = provider_from(settings.current())
    try:
        return {"reply": dataclasses.asdict(provider.reply(prompt, call))}
    except ProviderError as error:
        usage = error.usage and dataclasses.asdict(error.usage)
        return {
            "error": {
                "message": str(error),
                "kind": error.kind,
                "code": error.code,
                "retry_after": error.retry_after,
                "usage": usage,
            }
        }


if __name__ == "__main__":
    main()
