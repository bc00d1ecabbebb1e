"""Celery's settings, each with its reason.

Celery carries hints here ("look at these jobs"), never the truth: PostgreSQL
has that. So everything that makes a message durable is off, and everything that
makes a broken Redis harmless is on.
"""

from __future__ import annotations

from models import settings

broker_url = settings.current_or_exit().redis_url
imports = ("tasks.replies",)

# The lease in PostgreSQL recovers a lost job, not the ack. With late acks a Redis
# that blinks can crash a kombu 5.7 worker, and unacked messages are run twice.
task_acks_late = False
# A job's result is a column. Nothing would ever read or expire a result key.
task_ignore_result = True
# One message at a time for each pool thread: a prefetched hint is one that another worker cannot take.
# (worker_disable_prefetch, which sounds like the same, looks for a free thread once a second only: 20 jobs/s.)
worker_prefetch_multiplier = 1
# The dispatcher takes an announcement back when publishing fails; Celery retrying beside it would say it twice.
task_publish_retry = False
# The default gives up for good after 100 tries: ten minutes of outage would need a restart.
broker_connection_max_retries = None
broker_connection_retry_on_startup = True
broker_transport_options = {
    # Against a frozen Redis the defaults wait for ever; with these a worker was back after 12 s.
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "health_check_interval": 5,
    # Messages are acked early, so little is ever restored; what is, soon.
    "visibility_timeout": 300,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    # kombu's default of 10 made busy workers fail their acks.
    "max_connections": 200,
}
# Pickle would let whoever can write to Redis run code here.
accept_content = ["json"]
task_serializer = "json"
# Two threads take bundles; the calls to the model run in threads of the worker's own (tasks/runner.py).
worker_pool = "threads"
worker_concurrency = 2
# Nobody listens to events; they cost 55-65 % of a task.
worker_send_task_events = False
task_send_sent_event = False
# One JSON format for all processes: models/logs.py.
worker_hijack_root_logger = False
