"""Whether the broker answers, and that nobody waits for it without end. A real one: tests/system/test_rabbitmq.py."""

from __future__ import annotations

import socket

import pytest
from amqp.exceptions import RecoverableConnectionError
from kombu.transport import pyamqp

from models.live import broker
from models.live.broker import PatientConnection
from models.settings import Settings


def test_redis_answers_where_nothing_else_is_said(db: Settings) -> None:
    """And RabbitMQ is not asked in its place where it is."""
    assert broker.answers(db, seconds=1)
    assert not broker.answers(Settings(redis_url="redis://127.0.0.1:1/0"), seconds=1)
    assert not broker.answers(Settings(redis_url=db.redis_url, celery_broker_url="amqp://127.0.0.1:1"), seconds=1)


def test_a_rabbitmq_that_says_nothing_does_not_answer() -> None:
    """It takes the connection, as one that is frozen does."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"amqp://guest:guest@127.0.0.1:{silent.getsockname()[1]}"

        assert not broker.answers(Settings(celery_broker_url=url), seconds=0.1)


def test_an_answer_that_does_not_come_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that it is not taken for that to the next question; to listen for a while and hear nothing is no fault."""
    waited: list[float | None] = []

    def silent(_: object, timeout: float | None = None) -> None:
        waited.append(timeout)
        raise TimeoutError

    monkeypatch.setattr(pyamqp.Connection, "drain_events", silent)
    collected: list[bool] = []
    connection = PatientConnection()
    monkeypatch.setattr(connection, "collect", lambda: collected.append(True))

    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.2)
    assert collected == []
    with pytest.raises(RecoverableConnectionError):
        connection.drain_events()

    assert (waited, collected) == ([0.2, broker.ANSWER_SECONDS], [True])
