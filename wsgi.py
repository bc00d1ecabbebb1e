"""The door for WSGI servers: ``gunicorn wsgi:app`` (its settings are in gunicorn.conf.py)."""

from __future__ import annotations

from api import waits
from api.app import create_app
from models import logs, reports, settings, traces

_settings = settings.current_or_exit("token_key")
logs.configure(process="api", level=_settings.log_level)
waits.bound(_settings)
traces.begin(_settings, process="api")  # not before the fork, and before the application asks whether it is on
stopping = waits.Stopping()
app = create_app(_settings, stopping=stopping)
reports.Reporter(_settings, kind="api").start()
