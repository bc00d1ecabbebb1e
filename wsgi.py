"""The door for WSGI servers: ``gunicorn wsgi:app`` (its settings are in gunicorn.conf.py)."""

from __future__ import annotations

import sys

from api import waits
from api.app import create_app
from models import logs, settings

try:
    _settings = settings.current()
except settings.SettingRefused as refused:
    sys.exit(str(refused))
logs.configure(process="api", level=_settings.log_level)
waits.bound(_settings)
stopping = waits.Stopping()
app = create_app(_settings, stopping=stopping)
