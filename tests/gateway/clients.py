"""A page's half of a socket, for tests: asks, waits for events, and holds every frame against its schema."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Callable
from typing import Any, ClassVar

import jsonschema
from websockets.sync.client import connect

from api.gateway.event_schemas import ANSWERS, EVENTS, REFUSAL

Frame = dict[str, Any]
PATIENT_SECONDS = 15.0


def check(schema: Any, d: Any) -> None:
    """Hold it against a schema. (``jsonschema.validate`` would look at the schema as well, each time.)"""
    jsonschema.Draft202012Validator(schema).validate(d)


class Client:
    """One socket."""

    kinds: ClassVar[set[str]] = set()
    """Of all frames that all of them have seen."""

    def __init__(self, port: int, token: str | None = None, *, auth: bool = True, **options: Any) -> None:
        options = {"compression": None, "ping_interval": None, "proxy": None, **options}
        self._open = contextlib.ExitStack()
        self.ws = self._open.enter_context(connect(f"ws://127.0.0.1:{port}/ws", **options))
        self.waiting: list[Frame] = []
        """Frames that have come and nobody has asked for yet."""
        self._asked: dict[Any, str] = {}
        self._ids = itertools.count(1)
        self.hello: Frame = {}
        if auth:
            self.ask("auth", token=token)
            self.hello = self.event("hello")["d"]

    def say(self, op: str, *, chat: str | None = None, frame_id: Any = None, **d: Any) -> None:
        """Send a command."""
        self._asked[frame_id] = op
        frame = {"op": op, "id": frame_id, "chat": chat, "d": d}
        self.ws.send(json.dumps({name: value for name, value in frame.items() if value is not None}))

    def answer(self, op: str, *, chat: str | None = None, **d: Any) -> Frame:
        """Send a command; the frame that answers it."""
        frame_id = f"c{next(self._ids)}"
        self.say(op, chat=chat, frame_id=frame_id, **d)
        return self.until(lambda frame: frame.get("id") == frame_id)

    def ask(self, op: str, *, chat: str | None = None, **d: Any) -> Any:
        """The same, which must be done; its ``d``."""
        answer = self.answer(op, chat=chat, **d)
        assert answer["op"] == "ack", answer
        return answer["d"]

    def refusal(self, op: str, *, chat: str | None = None, **d: Any) -> Any:
        """The same, which must be refused; its ``d``."""
        answer = self.answer(op, chat=chat, **d)
        assert answer["op"] == "err", answer
        return answer["d"]

    def event(self, op: str, *, chat: str | None = None, seconds: float = PATIENT_SECONDS, **d: Any) -> Frame:
        """The next event of this kind, about this chat, that says this."""

        def fits(frame: Frame) -> bool:
            return (
                frame["op"] == op
                and (chat is None or frame.get("chat") == chat)
                and all(frame["d"].get(name) == value for name, value in d.items())
            )

        return self.until(fits, seconds=seconds)

    def until(self, fits: Callable[[Frame], bool], *, seconds: float = PATIENT_SECONDS) -> Frame:
        """The first frame that fits; the others wait."""
        for place, frame in enumerate(self.waiting):
            if fits(frame):
                return self.waiting.pop(place)
        until = time.monotonic() + seconds
        while True:
            try:
                frame = self.received(max(0.0, until - time.monotonic()))
            except TimeoutError:
                raise AssertionError(f"not among {self.waiting}") from None
            if fits(frame):
                return frame
            self.waiting.append(frame)

    def received(self, seconds: float) -> Frame:
        """The next frame.

        Raises:
            TimeoutError: there is none.
            ConnectionClosed
        """
        text = self.ws.recv(timeout=seconds)
        assert isinstance(text, str)
        frame: Frame = json.loads(text)
        self._check(frame)
        return frame

    def _check(self, frame: Frame) -> None:
        """Hold it against its schema."""
        op, d = frame["op"], frame["d"]
        assert frame.keys() <= {"op", "id", "chat", "d"}
        if op == "ack":
            check(ANSWERS[self._asked[frame["id"]]], d)
        elif op == "err":
            check(REFUSAL, d)
        else:
            is_about_a_chat, schema = EVENTS[op]
            assert ("chat" in frame) is is_about_a_chat
            check(schema, d)
        self.kinds.add(f"ack {self._asked[frame['id']]}" if op == "ack" else op)

    def heard(self) -> list[Frame]:
        """Everything that has come until the gateway answers a question asked now.

        That somebody is in a chat is left out: of one that was made a moment ago word may come late.
        """
        self.answer("nothing")
        heard, self.waiting = self.waiting, []
        return [frame for frame in heard if frame["op"] != "members" or frame["d"]["gone"]]

    def ops(self) -> list[str]:
        """Of what it has heard."""
        return [frame["op"] for frame in self.heard()]

    def close(self) -> None:
        """Go away."""
        self._open.close()
