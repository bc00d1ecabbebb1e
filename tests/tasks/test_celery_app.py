"""What is changed of kombu, on the application that workers and dispatcher use."""

from __future__ import annotations

import pytest
from kombu.exceptions import OperationalError
from kombu.utils import functional

from tasks.celery_app import RECONNECT_SECONDS, SteadyConnection, celery_app


def test_a_lost_redis_is_tried_again_every_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's pause grows to half a minute, which a worker would stay away after a long outage."""
    monkeypatch.setattr(functional, "sleep", lambda _: None)
    pauses: list[float] = []
    connection = SteadyConnection("redis://127.0.0.1:1/0", transport_options={"socket_connect_timeout": 2})

    with pytest.raises(OperationalError):
        connection.ensure_connection(lambda _, pause: pauses.append(pause), 6)

    assert pauses == [RECONNECT_SECONDS] * 6
    assert getattr(celery_app.amqp_cls, "Connection", None) is SteadyConnection
