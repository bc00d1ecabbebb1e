"""A gateway in this process, with a loop of its own, on this worker's servers."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from flask import Flask

from api.app import create_app
from api.gateway.server import Gateway
from models import waiting
from models.base import Autocommit, Session
from models.live import chat_changes
from models.settings import Settings
from tests.api.conftest import CHEAP, PATIENT_SECONDS
from tests.conftest import Servers
from tests.factories import signed_in
from tests.gateway.clients import Client

START_SECONDS = 30.0


class Live:
    """A gateway that runs in a thread."""

    def __init__(self, settings: Settings, app: Flask) -> None:
        self.settings, self.app = settings, app
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._ready, self._stop = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)
        self._thread.start()
        assert self._ready.wait(START_SECONDS)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self.gateway = Gateway(self.settings, self.app)
        async with self.gateway.running("127.0.0.1", 0) as self.port:
            while not self.gateway.bus.is_up:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            self._ready.set()
            await self._stop.wait()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What this comes to, in the gateway's own thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def inside(self, do: Callable[[], Any]) -> Any:
        """What this answers, in the gateway's own thread."""

        async def run() -> Any:
            return do()

        return self.run(run())

    def stop(self) -> None:
        """As SIGTERM does."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(20)
            assert not self._thread.is_alive()


@pytest.fixture(scope="package")
def start(bound: Settings, servers: Servers) -> Iterator[Callable[..., Live]]:
    """Starts gateways on one application. They bind this process's sessions as long as these tests last."""
    before = [maker.kw["bind"] for maker in (Session, Autocommit)]
    ours = dataclasses.replace(bound, db_answer_seconds=PATIENT_SECONDS)
    app = create_app(ours, name="gateway", passwords=CHEAP)
    started: list[Live] = []

    def go(**settings: Any) -> Live:
        started.append(Live(dataclasses.replace(ours, **settings), app))
        return started[-1]

    yield go
    for each in started:
        each.stop()
    chat_changes.forget()
    for maker, bind in zip((Session, Autocommit), before, strict=True):
        maker.kw["bind"].dispose()
        maker.configure(bind=bind)
    waiting.answer_within(math.inf)


@pytest.fixture(scope="package")
def shared(start: Callable[..., Live]) -> Live:
    """One gateway for all tests that do it no harm."""
    return start()


@pytest.fixture
def live(shared: Live, db: Settings) -> Live:
    """The same, on empty servers."""
    return shared


@pytest.fixture
def client(live: Live) -> Iterator[Callable[..., Client]]:
    """Opens sockets, of the shared gateway or of another; they are closed at the end."""
    opened: list[Client] = []

    def connected(user_id: str | None = None, *, at: Live | None = None, **options: Any) -> Client:
        if user_id is not None:
            options["token"] = signed_in(user_id)["Authorization"].removeprefix("Bearer ")
        opened.append(Client((at or live).port, **options))
        return opened[-1]

    yield connected
    for each in opened:
        with contextlib.suppress(Exception):
            each.close()
