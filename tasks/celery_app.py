"""The Celery application, with one guard for kombu.

``celery -A tasks.celery_app worker -Q interactive`` (or ``-Q batch``) starts a worker.
"""

from __future__ import annotations

from celery import Celery
from kombu.transport import redis as kombu_redis

# kombu 5.7 closes a lost connection a second time and then meets a client that
# is already None. Unless that counts as a connection error the whole worker
# exits ("Unrecoverable error: AttributeError"), in 3 of 6 runs that lost Redis
# with unacknowledged messages in hand. tests/system/test_broker_loss.py fails without it.
kombu_redis.Transport.connection_errors += (AttributeError,)

celery_app = Celery("parley")
celery_app.config_from_object("celeryconfig")
