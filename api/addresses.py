"""Addresses: where a browser that has found the API finds the gateway."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from models.settings import Settings

PATH = "/ws"
NOWHERE = "none"
_HOST = re.compile(r"([\w.-]+|\[[0-9a-fA-F:.]+\])(?::(\d{1,5}))?", re.ASCII)
"""A host as browsers write it, and nothing that would mean something in a header."""


def gateway(settings: Settings, *, host: str, is_secure: bool) -> str | None:
    """The gateway's URL for a browser that has reached the API as ``host``; None: there is none for it.

    >>> gateway(Settings(), host="localhost:8000", is_secure=False)
    'ws://localhost:8001/ws'
    >>> gateway(Settings(gateway_url="/ws"), host="chat.example.com", is_secure=True)
    'wss://chat.example.com/ws'
    """
    said = settings.gateway_url
    if said == NOWHERE:
        return None
    if said and not said.startswith("/"):
        return said
    known = _HOST.fullmatch(host)
    if known is None:
        return None
    scheme = "wss" if is_secure else "ws"
    return f"{scheme}://{host}{said}" if said else f"{scheme}://{known[1]}:{settings.own_gateway_port}{PATH}"


def origin_of(url: str) -> str:
    """``ws://host:port`` of a URL.

    >>> origin_of("ws://localhost:8001/ws")
    'ws://localhost:8001'
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
