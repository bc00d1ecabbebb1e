"""gunicorn's settings for the API. Keep imports few: gevent patches after this file is read."""

from __future__ import annotations

import logging
import os
import resource
import shutil
from typing import Any

from api import metrics_folder
from models import logs, settings

_settings = settings.current_or_exit("token_key")

bind = f"[{_settings.host}]:{_settings.port}" if ":" in _settings.host else f"{_settings.host}:{_settings.port}"
workers = _settings.api_workers
# gevent: thousands of clients may wait at once, and a bare request costs 0.26 ms of CPU against 0.43 on threads.
worker_class = "gevent"
worker_connections = 4000
# Longer than the poll interval, or every poll pays for a new connection.
keepalive = 30
graceful_timeout = int(max(1, min(30, _settings.stop_grace_seconds - 1)))
timeout = 60
# Whom to believe about the caller is for TRUSTED_PROXIES alone to say; gunicorn would believe any on this machine.
secure_scheme_headers: dict[str, str] = {}
# Polls would write thousands of lines that say nothing; views log what happened.
accesslog = None
control_socket_disable = True


def _open_files_limit() -> None:
    """The soft limit is often 1,024: fewer than the connections a worker may hold."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else 65_536
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def on_starting(server: Any) -> None:
    """Before the workers are forked."""
    _open_files_limit()
    # Each worker counts in files there, and any of them adds up all. What one counted that has ended still counts.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics_folder.make(server.cfg.worker_tmp_dir)
    logs.configure(process="api", level=_settings.log_level)
    gunicorn_log = logging.getLogger("gunicorn.error")
    gunicorn_log.handlers.clear()
    gunicorn_log.propagate = True
    gunicorn_log.setLevel(_settings.log_level.upper())


def post_worker_init(worker: object) -> None:
    """The application is loaded: it may now learn when its worker stops."""
    import wsgi
    from api import ended_counts, malformed

    ended_counts.merge(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    wsgi.stopping.worker = worker
    malformed.take_over(_settings)


def worker_exit(_server: object, _worker: object) -> None:
    """This worker answers no more."""
    from models import traces

    traces.end()


def on_exit(_server: object) -> None:
    """All workers have ended."""
    shutil.rmtree(os.environ.get("PROMETHEUS_MULTIPROC_DIR", ""), ignore_errors=True)
