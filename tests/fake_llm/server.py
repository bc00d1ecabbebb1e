"""Server: HTTP by hand on one asyncio protocol per connection, driven by timers."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Any

from tests.fake_llm.behaviour import Behaviour

_FLOOD_BYTES = 16 * 1024
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Memory:
    """What has been asked of this server, and what it has been told to do about it."""

    def __init__(self, behaviour: Behaviour) -> None:
        self._from_flags = behaviour
        self.forget()

    def forget(self) -> None:
        """As if just started."""
        self.default = self._from_flags
        self.queue: deque[dict[str, object]] = deque()
        self.recent: deque[dict[str, object]] = deque(maxlen=200)
        self.per_message: Counter[str] = Counter()
        self.requests = self.connections = self.active = self.peak = 0

    def script(self, wanted: dict[str, Any]) -> None:
        """Add to the queue, and replace the default if one is given."""
        self.queue.extend(wanted.get("queue", []))
        if "default" in wanted:
            self.default = self._from_flags.but(wanted["default"])

    def behaviour_for(self, message: str) -> Behaviour:
        """How to answer the next request; takes it off the queue."""
        if self.queue:
            return self._from_flags.but(self.queue.popleft())
        return self.default.told_by(message)

    def note(self, request: dict[str, Any], *, headers: dict[str, str], message: str) -> None:
        """Count a request that is about to be answered."""
        self.requests += 1
        self.active += 1
        self.peak = max(self.peak, self.active)
        self.per_message[message] += 1
        self.recent.append({"headers": headers, "body": request})

    def stats(self) -> dict[str, object]:
        """All that was noted; ``peak`` is the most requests in hand at once."""
        numbers = {name: getattr(self, name) for name in ("requests", "connections", "active", "peak", "per_message")}
        return {**numbers, "recent": list(self.recent)}


class Connection(asyncio.Protocol):
    """One client's connection: reads a request, answers it step by step, reads the next."""

    transport: asyncio.Transport
    behaviour: Behaviour
    message: str
    model: str

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.received = b""
        self.timer: asyncio.TimerHandle | None = None
        self.answering = False
        self.writable = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called once, first."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.memory.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """Called once, last; what was still to be sent is not."""
        del exc
        if self.timer is not None:
            self.timer.cancel()
        self._answered()

    def pause_writing(self) -> None:
        """The client does not keep up."""
        self.writable = False

    def resume_writing(self) -> None:
        """It has caught up."""
        self.writable = True

    def data_received(self, data: bytes) -> None:
        """Some part of a request; clients send the next one only after the answer."""
        self.received += data
        head, found, rest = self.received.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", 0))
        if len(rest) >= length:
            self.received = rest[length:]
            self._requested(first.split(" ")[1], headers=headers, body=rest[:length])

    def _requested(self, path: str, *, headers: dict[str, str], body: bytes) -> None:
        if path.endswith("/chat/completions"):
            return self._completion(json.loads(body), headers=headers)
        if path == "/_script":
            self.memory.script(json.loads(body))
        elif path == "/_reset":
            self.memory.forget()
        elif path != "/_stats":
            return self._send_json({"error": {"message": "no such path"}}, status=404)
        return self._send_json(self.memory.stats())

    def _completion(self, request: dict[str, Any], *, headers: dict[str, str]) -> None:
        self.message = str(request["messages"][-1]["content"])
        self.model = str(request["model"])
        self.behaviour = self.memory.behaviour_for(self.message)
        self.memory.note(request, headers=headers, message=self.message)
        self.answering = True
        refused = self.behaviour.refuse_options and "stream_options" in request
        stream = bool(request.get("stream")) and self.behaviour.stream
        self._later(self.behaviour.latency_ms, lambda: self._answer(refused=refused, stream=stream))

    def _answered(self) -> None:
        self.memory.active -= self.answering
        self.answering = False

    def _later(self, milliseconds: float, step: Callable[[], None]) -> None:
        if milliseconds:
            self.timer = asyncio.get_running_loop().call_later(milliseconds / 1000, step)
        else:
            step()

    def _answer(self, *, refused: bool, stream: bool) -> None:
        status = self.behaviour.failure_status(asked=self.memory.per_message[self.message])
        if refused:
            self._send_error(400, message="Unrecognized request argument supplied: stream_options")
        elif status is not None:
            self._send_error(status, message="told to fail by: " + self.message)
        elif self.behaviour.hang == "before":
            self._drip(b"HTTP/1.1 200 OK\r\nx-slow: .", then=b".")
        elif stream:
            self._stream()
        else:
            self._send_json(self._whole())

    def _send_error(self, status: int, *, message: str) -> None:
        wanted = self.behaviour
        error = {"error": {"message": message, "type": wanted.code or "fake_error", "code": wanted.code or None}}
        wait = {"retry-after": wanted.retry_after, "retry-after-ms": wanted.retry_after_ms}
        bodies: dict[str, bytes] = {
            "json": json.dumps(error).encode(),
            "list": json.dumps([error]).encode(),
            "html": b"<html><h1>Sorry</h1></html>",
            "latin1": "désolé ÿþ".encode("latin-1"),
        }
        body = bodies.get(wanted.body, wanted.body.encode())
        self._send(status, headers={"location": "/v1/elsewhere", **wait}, body=body)

    def _send_json(self, value: object, *, status: int = 200) -> None:
        self._send(status, headers={"content-type": "application/json"}, body=json.dumps(value).encode())

    def _send(self, status: int, *, headers: Mapping[str, str], body: bytes) -> None:
        named = "".join(f"{name}: {value}\r\n" for name, value in headers.items() if value)
        head = f"HTTP/1.1 {status} Fake\r\n{named}content-length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode("latin-1") + body)
        self._answered()

    # What an answer is made of

    def _text(self) -> str:
        text = self.behaviour.text
        return f"Echo: {self.message[:60]}" if text is None else text

    def _usage(self) -> dict[str, object]:
        asked, answered = len(self.message) // 4 + 1, len(self._text()) // 4 + 1
        return {"usage": {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}}

    def _completion_of(self, *choices: dict[str, object]) -> dict[str, object]:
        return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": self.model, "choices": choices}

    def _delta(self, text: str, *, finish: str | None = None) -> bytes:
        return _sse(self._completion_of({"index": 0, "delta": {"content": text}, "finish_reason": finish}))

    def _whole(self) -> dict[str, object]:
        finish = None if self.behaviour.finish == "none" else self.behaviour.finish
        message = {"role": "assistant", "content": self._text()}
        completion = self._completion_of({"index": 0, "message": message, "finish_reason": finish})
        return completion | (self._usage() if self.behaviour.usage else {})

    def _parts(self) -> list[bytes]:
        wanted, text = self.behaviour, self._text()
        size = max(1, -(-len(text) // max(1, wanted.chunks)))
        parts = [self._delta(text[start : start + size]) for start in range(0, len(text), size)]
        if wanted.cut or wanted.error_event:
            error = _sse({"error": {"message": self.message, "type": "fake_error", "code": wanted.error_event}})
            return parts[: max(1, len(parts) // 2)] + ([error] if wanted.error_event else [])
        finish = [] if wanted.finish == "none" else [self._delta("", finish=wanted.finish)]
        usage = [_sse(self._completion_of() | self._usage())] if wanted.usage else []
        return [*parts, *finish, *usage, *([b"data: [DONE]\n\n"] if wanted.done else [])]

    # How it is streamed

    def _stream(self) -> None:
        wanted = self.behaviour
        self.transport.write(_STREAM_HEAD)
        if wanted.hang or wanted.drip:
            self._drip(b"1\r\n:\r\n", then=b"1\r\n.\r\n")
        elif wanted.endless:
            piece = b"." if wanted.endless == "noise" else self._delta("word " if wanted.endless == "text" else "")
            self._flood(_chunked(piece * (_FLOOD_BYTES // len(piece))))
        else:
            self._send_parts(deque(self._parts() if wanted.raw is None else [wanted.raw.encode("latin-1")]))

    def _send_parts(self, parts: deque[bytes]) -> None:
        if self.behaviour.chunk_ms and parts:
            self.transport.write(_chunked(parts.popleft()))
            self._later(self.behaviour.chunk_ms, lambda: self._send_parts(parts))
        else:
            self.transport.write(b"".join(map(_chunked, filter(None, parts))))
            self._end_stream()

    def _end_stream(self) -> None:
        if self.behaviour.cut == "rst":
            # A linger time of zero makes the close a reset.
            linger = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.transport.abort()
        elif self.behaviour.cut == "fin":
            self.transport.close()
        elif self.behaviour.done:
            self.transport.write(b"0\r\n\r\n")
            self._answered()

    def _drip(self, piece: bytes, *, then: bytes) -> None:
        if self.behaviour.drip:
            self.transport.write(piece)
            self._later(self.behaviour.drip, lambda: self._drip(then, then=then))

    def _flood(self, piece: bytes) -> None:
        if self.writable:
            self.transport.write(piece)
        self._later(0.1 if self.writable else 5, lambda: self._flood(piece))


def _sse(event: object) -> bytes:
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def _chunked(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)
