"""A Celery application that meets kombu's reconnect fault: late acks, so messages are unacknowledged when Redis dies.

Parley acks early, but a prefetched message is unacknowledged too. With
``GUARDED=1`` it has the guard of `tasks.celery_app`, which is what the test is about.
"""

from __future__ import annotations

import os
import pathlib
import time

from celery import Celery

if os.environ.get("GUARDED") == "1":
    import tasks.celery_app  # noqa: F401

app = Celery("late_acks", broker=os.environ.get("REDIS_URL"))
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_pool="threads",
    worker_concurrency=8,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"socket_timeout": 5, "socket_connect_timeout": 2, "health_check_interval": 5},
)


@app.task(name="hold")
def hold(seconds: float) -> None:
    """Keep a message unacknowledged for a while."""
    with pathlib.Path(os.environ["STARTED"]).open("a") as started:
        started.write("x")
    time.sleep(seconds)
