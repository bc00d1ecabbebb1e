"""The broker: what carries the hints, which is Redis unless RabbitMQ does, and for how long it is waited for.

py-amqp has a time for connecting and one for writing. It has none for what it waits for afterwards, the confirmation
of a message above all, and its ``read_timeout`` is swallowed where it reads: a RabbitMQ that is frozen or was cut
off held the dispatcher until its watchdog ended it. So Celery's connections are ours (`bound_every_wait`).
"""

from __future__ import annotations

import contextlib
from typing import Any

from amqp.exceptions import AMQPError, RecoverableConnectionError
from kombu import Connection
from kombu.transport import pyamqp
from redis.exceptions import RedisError

from models.live import client
from models.settings import Settings

ANSWER_SECONDS = 5.0


class PatientConnection(pyamqp.Connection):
    """To RabbitMQ; given up when an answer is missing for `ANSWER_SECONDS`."""

    def drain_events(self, timeout: float | None = None) -> Any:
        """As py-amqp's. With a time of the caller's own, nothing is wrong when it has passed: nobody had to speak."""
        if timeout is not None:
            return super().drain_events(timeout)
        try:
            return super().drain_events(ANSWER_SECONDS)
        except TimeoutError:
            # An answer that came later would be taken for that to the next question.
            self.collect()
            raise RecoverableConnectionError(f"no answer within {ANSWER_SECONDS:g} s") from None


def bound_every_wait() -> None:
    """Have Celery's connections to RabbitMQ be such, in this process."""
    pyamqp.Transport.Connection = PatientConnection


def answers(settings: Settings, *, seconds: float) -> bool:
    """Whether the broker does, on a new connection, within so many seconds."""
    if settings.celery_broker_url:
        return _rabbitmq_answers(settings.celery_broker_url, seconds)
    with contextlib.suppress(RedisError, OSError), client.connect(settings, seconds=seconds) as redis:
        return bool(redis.ping())
    return False


def _rabbitmq_answers(url: str, seconds: float) -> bool:
    """One try of the handshake: kombu's own way to connect would make two, with a pause between."""
    transport: Any = Connection(url, connect_timeout=seconds).transport
    transport.Connection = PatientConnection
    with contextlib.suppress(AMQPError, OSError):
        transport.establish_connection().close()
        return True
    return False
