"""Celery's settings, each with its reason.

Celery carries hints here ("look at these jobs"), never the truth: PostgreSQL
has that. So everything that makes a message durable is off, and everything that
makes a broken Redis harmless is on.
"""

from __future__ import annotations

from models import settings

_ours = settings.current_or_exit()
# Celery would read a CELERY_BROKER_URL of the environment by itself, and keep to the options of Redis.
broker_url = _ours.celery_broker_url or _ours.redis_url
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
_FOR_REDIS = {
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
_FOR_RABBITMQ = {
    # Without it a message that RabbitMQ did not take would count as sent; with it the stamp is taken back at once.
    "confirm_publish": True,
    # A full socket ends the wait; what RabbitMQ has to answer, models/live/broker.py waits for.
    "write_timeout": 5,
    # kombu would wait between two tries for the dispatcher, which has better things to do and comes again.
    "max_retries": 0,
}
broker_transport_options = _FOR_RABBITMQ if _ours.celery_broker_url else _FOR_REDIS
# To connect and shake hands. (Redis has a time of its own among its options.)
broker_connection_timeout = 2 if _ours.celery_broker_url else 4
# Two of them missed, and a worker connects anew: RabbitMQ may be frozen, or gone without a word. Redis knows none.
broker_heartbeat = 5
# A worker's queue for orders from Celery's own tools is exclusive: one that comes back sooner than RabbitMQ has noticed
# that it was away, or a second of its class on the same host, would be refused it, and end.
worker_enable_remote_control = not _ours.celery_broker_url
# A hint need not outlive RabbitMQ: it would only be written to a disk.
task_default_delivery_mode = "transient"
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
