"""The Celery application, with one guard for kombu and two changes of its patience.

``celery -A tasks.celery_app worker -Q interactive`` (or ``-Q batch``) starts a worker.
"""

from __future__ import annotations

from typing import Any, Self

from celery import Celery
from celery.app.amqp import AMQP
from kombu import Connection
from kombu.transport import redis as kombu_redis

from models.live import broker

# kombu 5.7 closes a lost connection a second time and then meets a client that
# is already None. Unless that counts as a connection error the whole worker
# exits ("Unrecoverable error: AttributeError"), in 3 of 6 runs that lost Redis
# with unacknowledged messages in hand. tests/system/test_broker_loss.py fails without it.
kombu_redis.Transport.connection_errors += (AttributeError,)

broker.bound_every_wait()

RECONNECT_SECONDS = 2


class SteadyConnection(Connection):
    """Tries a lost broker again every two seconds.

    kombu's pause grows to 30 s and Celery has no setting for it: after an outage of ten minutes
    a worker would stay away half a minute longer.
    """

    def ensure_connection(self, *args: Any, **options: Any) -> Self:
        """As kombu's, with another pause."""
        super().ensure_connection(*args, **{**options, "interval_max": RECONNECT_SECONDS})
        return self


class _Amqp(AMQP):
    Connection = SteadyConnection


celery_app = Celery("parley", amqp=_Amqp)
celery_app.config_from_object("celeryconfig")
