"""What is changed of kombu, on the application that workers and dispatcher use."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from kombu.exceptions import OperationalError
from kombu.utils import functional

from tasks.celery_app import RECONNECT_SECONDS, SteadyConnection, celery_app
from tests.conftest import ROOT
from tests.test_documentation import NO_SERVERS


def test_a_lost_redis_is_tried_again_every_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's pause grows to half a minute, which a worker would stay away after a long outage."""
    monkeypatch.setattr(functional, "sleep", lambda _: None)
    pauses: list[float] = []
    connection = SteadyConnection("redis://127.0.0.1:1/0", transport_options={"socket_connect_timeout": 2})

    with pytest.raises(OperationalError):
        connection.ensure_connection(lambda _, pause: pauses.append(pause), 6)

    assert pauses == [RECONNECT_SECONDS] * 6
    assert getattr(celery_app.amqp_cls, "Connection", None) is SteadyConnection


PRINT_CONFIGURATION = """
import json
from tasks.celery_app import celery_app
from kombu.transport import pyamqp
names = ("broker_transport_options", "broker_connection_timeout", "worker_enable_remote_control")
connection = celery_app.connection_for_write()
print(json.dumps({"url": connection.as_uri(), "patient": pyamqp.Transport.Connection.__name__,
                  **{name: celery_app.conf[name] for name in names}}))
"""


@pytest.mark.parametrize(
    ("broker", "url", "option"),
    [
        ("", "redis://:**@127.0.0.1:1/0", "visibility_timeout"),
        ("amqp://parley:x@127.0.0.1:1/jobs", "amqp://parley:**@127.0.0.1:1/jobs", "confirm_publish"),
    ],
)
def test_each_broker_has_its_own_options(broker: str, url: str, option: str) -> None:
    """Those of the one mean nothing to the other, or something else."""
    environment = {**NO_SERVERS, "CELERY_BROKER_URL": broker}
    command = [sys.executable, "-c", PRINT_CONFIGURATION]
    printed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=True).stdout
    said = json.loads(printed)

    found = {name for name in ("visibility_timeout", "confirm_publish") if name in said["broker_transport_options"]}

    assert (said["url"], found, said["patient"]) == (url, {option}, "PatientConnection")
    assert said["worker_enable_remote_control"] is not bool(broker)
