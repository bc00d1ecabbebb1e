"""Writing: who writes something at this moment. One key for each, which ends by itself."""

from __future__ import annotations

from models.live.circuit import Circuit
from models.settings import Settings

SECONDS = 3
"""Whoever goes on writing says so again after two."""


class Writing:
    """One for each process; connects at first use."""

    def __init__(self, settings: Settings) -> None:
        self._circuit = Circuit(settings)

    def note(self, room_id: str, user_id: str, *, on: bool) -> None:
        """Somebody writes in a room, or has stopped. No harm if Redis does not take it."""
        key = f"chat:typing:{room_id}:{user_id}"
        self._circuit.ask(lambda redis: redis.set(key, "1", ex=SECONDS) if on else redis.delete(key))
