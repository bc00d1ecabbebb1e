"""Answers: what a chat-completions server sends, read into text, usage and the reason it ended.

Servers differ: most stream events, some ignore ``stream`` and send one JSON
object, some send ``"choices": null`` or a whole message where a delta belongs.
All of that is read alike. What has another shape raises `Garbage`, and that is
all that is ever said about it: nothing a server sent is quoted.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator

from tasks.llm.base import Reply, Usage

JSON_PER_TEXT = 6
"""Bytes of JSON that one byte of text takes at most: ``\\u0041``."""
EVENT_BYTES = 64 * 1024
"""For all else in an event: ids, usage, the verdicts of filters."""
MAX_TOKENS = 2**31 - 1
"""A greater count is nonsense, and would not fit an integer of PostgreSQL."""
MAX_MODEL_CHARACTERS = 200

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class Garbage(ValueError):
    """The server sent something that is no answer."""


class ErrorSent(Exception):
    """The server sent an ``error`` where an answer was due.

    Args:
        error: as it came; usually an object with ``type`` and ``code``.
    """

    def __init__(self, error: object) -> None:
        super().__init__()
        self.error = error


class Answer:
    """One answer, growing as events are taken.

    Args:
        model: that was asked; stands until the server names one.
        max_bytes: of text, in UTF-8; what goes beyond is cut off.
    """

    def __init__(self, *, model: str, max_bytes: int) -> None:
        self.begun = False
        """The server has accepted the request."""
        self.finish = ""
        """``finish_reason``; empty until the server says that it is done."""
        self.usage: Usage | None = None
        self.model = model
        self.parts: list[str] = []
        """Of the text, as they came; only the thread that takes events adds to them."""
        self._max_bytes = max_bytes
        self._bytes = 0

    @property
    def full(self) -> bool:
        """Whether there is more text than may be kept."""
        return self._bytes > self._max_bytes

    def take(self, event: dict[str, object]) -> None:
        """Add one event of a stream, or the whole of a plain answer.

        Raises:
            ErrorSent: the server gives up.
            Garbage: it is no event of a chat completion.
        """
        if error := event.get("error"):
            raise ErrorSent(error)
        self.usage = _usage(event.get("usage")) or self.usage
        if isinstance(model := event.get("model"), str):
            self.model = _UNPRINTABLE.sub("", model)[:MAX_MODEL_CHARACTERS] or self.model
        choices = event.get("choices") or []
        if not isinstance(choices, list):
            raise Garbage
        if choices:
            self._take_choice(_object(choices[0]))

    def reply(self) -> Reply:
        """What has come so far; its text may be blank."""
        text = clean("".join(self.parts), max_bytes=self._max_bytes)
        return Reply(text=text, model=self.model, usage=self.usage, truncated=self.full or self.finish == "length")

    def _take_choice(self, choice: dict[str, object]) -> None:
        said = _object(choice.get("delta") or choice.get("message") or {})
        part = said.get("content") or said.get("refusal") or ""
        finish = choice.get("finish_reason") or ""
        if not isinstance(part, str) or not isinstance(finish, str):
            raise Garbage
        self.finish = finish or self.finish
        if part and not self.full:
            self.parts.append(part)
            self._bytes += len(part.encode("utf-8", "surrogatepass"))


def clean(text: str, *, max_bytes: int) -> str:
    r"""``text`` without NULs and lone surrogates, cut to ``max_bytes`` of UTF-8 at the end of a character.

    Two surrogates that make a pair are one character, even if they came in two parts.

    >>> clean("a\x00b\ud83d\ude00\ud800c", max_bytes=100) == "ab\N{GRINNING FACE}c"
    True
    >>> clean("a\N{GREEK SMALL LETTER ALPHA}", max_bytes=2)
    'a'
    """
    text = text.replace("\0", "")
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")
    return text.encode()[:max_bytes].decode(errors="ignore")


def clean_so_far(parts: Iterable[str], *, max_bytes: int) -> bytes:
    r"""UTF-8 of the beginning of an unfinished text: what is added later will not change it.

    >>> clean_so_far(["a", "\ud83d"], max_bytes=100)
    b'a'
    >>> clean_so_far(["a", "\ud83d", "\ude00"], max_bytes=100).decode() == "a\N{GRINNING FACE}"
    True
    """
    text = "".join(parts).replace("\0", "")
    if "\ud800" <= text[-1:] <= "\udbff":  # the second half of the pair is still to come
        text = text[:-1]
    return clean(text, max_bytes=max_bytes).encode()


def events(chunks: Iterable[bytes], *, max_text_bytes: int) -> Iterator[dict[str, object]]:
    """The JSON objects in a body, up to ``[DONE]`` if it is made of server-sent events.

    None may be longer than ``max_text_bytes`` of text can make it.

    Raises:
        Garbage: something is not JSON, not UTF-8, no object or too long; or nothing in the body is an event.
    """
    limit = JSON_PER_TEXT * max_text_bytes + EVENT_BYTES
    lines = _lines(chunks, max_bytes=limit)
    first = next(filter(None, lines), b"").removeprefix(b"\xef\xbb\xbf")
    if first.lstrip()[:1] in (b"{", b"["):
        yield _loaded(_whole(first, lines, max_bytes=limit))
    else:
        yield from _server_sent(itertools.chain([first], lines), max_bytes=limit)


def _server_sent(lines: Iterable[bytes], *, max_bytes: int) -> Iterator[dict[str, object]]:
    data, kind, strange = bytearray(), b"", False
    for line in itertools.chain(lines, [b""]):
        name, _, value = line.partition(b":")
        if name == b"data":
            if value.strip() == b"[DONE]":
                return
            data += b"\n" + value
            if len(data) > max_bytes:
                raise Garbage
        elif name == b"event":
            kind = value.strip()
        elif not line and data.strip():
            yield _event(bytes(data), kind=kind)
            data, kind = bytearray(), b""
        # No name is a comment's; unknown ones are to be ignored, unless no event comes at all.
        strange = strange or name not in (b"", b"data", b"event", b"id", b"retry")
    if strange:
        raise Garbage


def _whole(first: bytes, lines: Iterable[bytes], *, max_bytes: int) -> bytes:
    whole = bytearray(first)
    for line in lines:
        whole += b"\n" + line
        if len(whole) > max_bytes:
            raise Garbage
    return bytes(whole)


def _event(data: bytes, *, kind: bytes) -> dict[str, object]:
    event = _loaded(data)
    return {"error": event} if kind == b"error" and "error" not in event else event


def _lines(chunks: Iterable[bytes], *, max_bytes: int) -> Iterator[bytes]:
    rest = bytearray()
    for chunk in chunks:
        *whole, tail = chunk.split(b"\n")
        for line in whole:
            yield bytes(rest + line).rstrip(b"\r")
            rest.clear()
        rest += tail
        if len(rest) > max_bytes:
            raise Garbage
    if rest:
        yield bytes(rest).rstrip(b"\r")


def _loaded(data: bytes) -> dict[str, object]:
    try:
        return _object(json.loads(data.decode()))
    except (ValueError, RecursionError):
        raise Garbage from None


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise Garbage
    return value


def _usage(value: object) -> Usage | None:
    if not isinstance(value, dict):
        return None
    prompt, completion = (_tokens(value.get(name)) for name in ("prompt_tokens", "completion_tokens"))
    if prompt is None and completion is None:
        return None
    details = value.get("prompt_tokens_details")
    cached = _tokens(details.get("cached_tokens")) if isinstance(details, dict) else None
    return Usage(prompt or 0, completion or 0, cached or 0)


def _tokens(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= MAX_TOKENS else None
