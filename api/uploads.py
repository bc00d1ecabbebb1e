"""Uploads: the prompts of a batch, read and checked one by one within bounds of memory and time.

A batch comes as one JSON object, or, when it is long, as one prompt a line
(NDJSON), of which never more than a line is held before it has been checked. A
line that is too long is skipped, not held. Every prompt at fault is named, up
to a hundred of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import marshmallow as ma
from flask import Request
from werkzeug.exceptions import (
    BadRequest,
    RequestEntityTooLarge,
    ServiceUnavailable,
    UnprocessableEntity,
    UnsupportedMediaType,
)

from api.batch_schemas import NewBatchSchema, PromptSchema
from api.errors import flattened
from api.openapi import Noun, arriving_within, parsed
from models.batches import MOST_PROMPTS, Prompt
from models.jobs import JobType

JSON, NDJSON = "application/json", "application/x-ndjson"
MOST_BYTES = {JSON: 8 * 1024 * 1024, NDJSON: 64 * 1024 * 1024}
"""JSON is parsed as a whole, and nothing else can be done meanwhile."""
LINE_BYTES = 512 * 1024
"""The longest message, every character of it escaped as two surrogates, and what stands around it."""
UPLOAD_SECONDS = 60.0
SHOWN_ERRORS = 100
SMALL_BYTES = 1024 * 1024
LARGE_AT_ONCE = 4
"""Uploads above that size in one process: each may cost several times `MOST_BYTES` of memory."""
ROOM_SECONDS = 10.0
CHUNK = 64 * 1024
TURN_SECONDS = 0.01

_large = threading.BoundedSemaphore(LARGE_AT_ONCE)
_head, _prompt = NewBatchSchema(), PromptSchema()


@contextlib.contextmanager
def room(req: Request) -> Iterator[None]:
    """Hold a place among the large uploads, if this is one.

    Raises:
        ServiceUnavailable: others took too long.
    """
    if req.content_length is not None and req.content_length <= SMALL_BYTES:
        yield
        return
    if not _large.acquire(timeout=ROOM_SECONDS):
        raise ServiceUnavailable("Too many large batches are being sent. Send it again later.", retry_after=5)
    try:
        yield
    finally:
        _large.release()


class Turns:
    """Lets other requests have theirs: ten thousand prompts take half a second."""

    def __init__(self) -> None:
        self._ends = time.monotonic() + TURN_SECONDS

    def take(self) -> None:
        """Wait, if this one has lasted long enough."""
        if time.monotonic() > self._ends:
            time.sleep(0.0001)  # after 0 gevent would come back before it has looked whose socket is ready
            self._ends = time.monotonic() + TURN_SECONDS


class Line(NamedTuple):
    """One line of a body."""

    number: int
    """From 1."""
    content: bytes | None
    """None: longer than `LINE_BYTES`."""
    is_whole: bool
    """A line's end followed."""


def lines(req: Request) -> Iterator[Line]:
    """The lines of a body, as they arrive.

    Raises:
        RequestEntityTooLarge: there are too many bytes.
        ConnectionError: there are too few.
    """
    # werkzeug would end a chunked body at the limit without a word.
    source = req.stream if req.content_length is not None else req.environ["wsgi.input"]
    turns, number, size, rest, skipping = Turns(), 1, 0, b"", False
    while chunk := source.read(CHUNK):
        size += len(chunk)
        if size > MOST_BYTES[NDJSON]:
            raise RequestEntityTooLarge
        *ended, rest = (rest + chunk).split(b"\n")
        for content in ended:
            yield Line(number, None if skipping or len(content) > LINE_BYTES else content, is_whole=True)
            number, skipping = number + 1, False
            turns.take()
        turns.take()
        if len(rest) > LINE_BYTES:
            rest, skipping = b"", True
    if size < (req.content_length or 0):
        raise ConnectionError("the body is shorter than its header says")  # gunicorn ends it without a word
    if rest or skipping:
        yield Line(number, None if skipping else rest, is_whole=False)


class Prompts:
    """Prompts that were read, and what is wrong with the others.

    Args:
        make: how a validated prompt becomes a job to be.
    """

    def __init__(self, make: Callable[[dict[str, Any]], Prompt]) -> None:
        self._make = make
        self.accepted: list[Prompt] = []
        self.faults: list[dict[str, Any]] = []
        self._seen = self._wrong = 0
        self._named: set[str] = set()
        self._hash = hashlib.sha256()

    @property
    def request_hash(self) -> bytes:
        """Of what was validated, for the idempotency key."""
        return self._hash.digest()

    def fault(self, messages: Any, *, pointer: str, line: int | None = None) -> None:
        """Note what is wrong, and where: ``code: Sentence``, or marshmallow's messages."""
        for row in flattened(messages, pointer):
            self._wrong += 1
            if len(self.faults) < SHOWN_ERRORS:
                self.faults.append(row if line is None else {"line": line, **row})

    def check(self, given: object, *, pointer: str, line: int | None = None, common: Mapping[str, Any]) -> None:
        """Validate one prompt, which is a message or an object."""
        if self.is_over():
            return
        self._seen += 1
        if self._seen > MOST_PROMPTS:
            self.fault(f"too_many_prompts: At most {MOST_PROMPTS}.", pointer=pointer, line=line)
            return
        try:
            loaded = _prompt.load({"message": given} if isinstance(given, str) else given)  # type: ignore[arg-type]
        except ma.ValidationError as error:
            self.fault(error.messages, pointer=pointer, line=line)
            return
        name = loaded.get("custom_id")
        if name in self._named:
            self.fault("duplicate_custom_id: Another prompt has it.", pointer=f"{pointer}/customId", line=line)
        elif name is not None:
            self._named.add(name)
        self._accept({"type": JobType.CHAT, **common, **loaded})

    def _accept(self, said: dict[str, Any]) -> None:
        self._hash.update(json.dumps(said, sort_keys=True, default=str).encode() + b"\n")
        if not self._wrong:
            self.accepted.append(self._make(said))

    def is_over(self) -> bool:
        """Whether nothing that follows can matter."""
        return self._seen > MOST_PROMPTS

    def judge(self) -> None:
        """Let only a batch pass that is right as a whole.

        Raises:
            UnprocessableEntity
        """
        if not self._seen and not self._wrong:
            self.fault("empty_batch: Send at least one prompt.", pointer="")
        if self._wrong:
            more = f"; here are {SHOWN_ERRORS} of {self._wrong}" if self._wrong > SHOWN_ERRORS else ""
            refused = UnprocessableEntity("The batch is not valid.")
            refused.data = {  # type: ignore[attr-defined]
                "errors": self.faults,
                "detail": f"The batch is not valid, and nothing was stored; errors says where{more}.",
            }
            raise refused


def read(req: Request, make: Callable[[dict[str, Any]], Prompt]) -> Prompts:
    """The prompts of a body, all of them valid.

    Raises:
        HTTPException: the body is not one that can be stored.
    """
    prompts = Prompts(make)
    if req.mimetype == NDJSON:
        with arriving_within(UPLOAD_SECONDS):
            for line in lines(req):
                _check_line(prompts, line)
    elif req.mimetype == JSON:
        _check_object(prompts, Noun.ARGUMENTS_PARSER.load_json(req, _head))
    else:
        raise UnsupportedMediaType(f"Send the body as {JSON} or {NDJSON}.")
    prompts.judge()
    return prompts


def _check_line(prompts: Prompts, line: Line) -> None:
    if prompts.is_over():
        return
    if line.content is None:
        longest = LINE_BYTES // 1024
        prompts.fault(f"line_too_long: A line may have {longest} KiB.", pointer="", line=line.number)
    elif line.content.strip():
        try:
            given = parsed(line.content, what="line")
        except BadRequest as error:
            why = f"{error.data['code']}: {error.description}"  # type: ignore[attr-defined]
            cut = "incomplete_line: The body ends in the middle of a line."
            prompts.fault(why if line.is_whole else cut, pointer="", line=line.number)
        else:
            prompts.check(given, pointer="", line=line.number, common={})


def _check_object(prompts: Prompts, body: Any) -> None:
    try:
        head = _head.load(body)
    except ma.ValidationError as error:
        prompts.fault(error.messages, pointer="")
        return
    turns, given = Turns(), head.pop("prompts")
    for position, prompt in enumerate(given):
        turns.take()
        prompts.check(prompt, pointer=f"/prompts/{position}", common=head)
