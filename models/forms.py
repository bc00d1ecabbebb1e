"""Forms: how the text of an environment variable becomes a value, or why it cannot.

Each parser raises ``ValueError`` with the end of a sentence: "is not a whole number".
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from urllib.parse import urlsplit

SHORTEST_TOKEN = 24
SHORTEST_KEY_BYTES = 32
"""RFC 7518, 3.2: no shorter than the hash."""
LONGEST_MODEL = 200
MOST_OF_A_RATE = 10_000_000
LONGEST_RATE_SECONDS = 86_400
_RATE = re.compile(r"(\d{1,9})\s*/\s*(\d{1,9})?\s*(second|minute|hour|day)s?")
_UNIT_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


def text(raw: str) -> str:
    """Any text."""
    return raw


def whole(low: int, high: int) -> Callable[[str], int]:
    """A whole number within bounds."""

    def parse(raw: str) -> int:
        try:
            value = int(raw)
        except ValueError:
            raise ValueError("is not a whole number") from None
        if not low <= value <= high:
            raise ValueError(f"is not between {low} and {high}")
        return value

    return parse


def amount(raw: str) -> str:
    """Money, as digits with a point.

    >>> amount("12.50"), amount("0.1")
    ('12.50', '0.1')
    """
    if not _AMOUNT.fullmatch(raw):
        raise ValueError("is not an amount of money, as 12.50")
    if not float(raw):
        raise ValueError("is nought, and nothing would ever be answered")
    return raw


_AMOUNT = re.compile(r"\d{1,9}(\.\d{1,6})?", re.ASCII)


def seconds(low: float, high: float, *, unit: str = "seconds") -> Callable[[str], float]:
    """A duration within bounds."""

    def parse(raw: str) -> float:
        try:
            value = float(raw)
        except ValueError:
            raise ValueError(f"is not a number of {unit}") from None
        if not low <= value <= high:  # also refuses nan
            raise ValueError(f"is not between {low:g} and {high:g} {unit}")
        return value

    return parse


def one_of(*allowed: str) -> Callable[[str], str]:
    """One of these words."""

    def parse(raw: str) -> str:
        if raw not in allowed:
            raise ValueError("is not one of " + ", ".join(allowed))
        return raw

    return parse


def url(*schemes: str) -> Callable[[str], str]:
    """A URL with one of these schemes and a host."""

    def parse(raw: str) -> str:
        try:
            parts = urlsplit(raw)
            usable = parts.scheme in schemes and bool(parts.netloc)
            _ = parts.port  # an out-of-range port raises here
        except ValueError:
            usable = False
        if not usable:
            raise ValueError("is not a URL starting with " + " or ".join(f"{scheme}://" for scheme in schemes))
        return raw

    return parse


def database_url(raw: str) -> str:
    """SQLAlchemy 2.1 reads a bare ``postgresql://`` as psycopg 3; the driver here is psycopg2."""
    url("postgresql", "postgres", "postgresql+psycopg2")(raw)
    return "postgresql+psycopg2://" + raw.split("://", 1)[1]


def token(raw: str) -> str:
    """A secret that can travel in a header."""
    if len(raw) < SHORTEST_TOKEN:
        raise ValueError(f"is shorter than {SHORTEST_TOKEN} characters")
    if not (raw.isascii() and raw.isprintable() and " " not in raw):
        raise ValueError("holds a character that no HTTP header can carry")
    return raw


def signing_key(raw: str) -> str:
    """A secret to sign with."""
    if len(raw.encode()) < SHORTEST_KEY_BYTES:
        raise ValueError(f"is shorter than {SHORTEST_KEY_BYTES} bytes")
    if len(set(raw)) < SHORTEST_KEY_BYTES // 4:
        raise ValueError("is not random")
    return raw


def webhook_secret(raw: str) -> str:
    """A secret as Standard Webhooks writes it: ``whsec_`` and base64 of 24 to 64 bytes.

    >>> webhook_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
    """
    try:
        key = base64.b64decode(raw.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not raw.startswith("whsec_") or not 24 <= len(key) <= 64:  # noqa: PLR2004
        raise ValueError("is not whsec_ and 24 to 64 bytes in base64")
    return raw


def yes_or_no(raw: str) -> bool:
    """
    >>> yes_or_no("true"), yes_or_no("0")
    (True, False)
    """
    known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    try:
        return known[raw.lower()]
    except KeyError:
        raise ValueError("is neither true nor false") from None


def models(raw: str) -> str:
    """Names of models, with commas between them and no spaces around them.

    >>> models("gpt-4o-mini, offline")
    'gpt-4o-mini,offline'
    """
    names = [name.strip() for name in raw.split(",")]
    if not all(names):
        raise ValueError("holds an empty name")
    if not all(name.isprintable() and len(name) <= LONGEST_MODEL for name in names):
        raise ValueError(f"holds a name with control characters, or one of over {LONGEST_MODEL} characters")
    return ",".join(names)


def gateway(raw: str) -> str:
    """Where the gateway is to be found: a URL, a path of the API's own address, or nowhere.

    >>> gateway("wss://live.example.com/ws"), gateway("/ws"), gateway("None")
    ('wss://live.example.com/ws', '/ws', 'none')
    """
    if raw.lower() == "none":
        return "none"
    if _PATH.fullmatch(raw):
        return raw
    if _SAFE_URL.fullmatch(raw):
        return url("ws", "wss")(raw)
    raise ValueError("is neither a URL starting with ws:// or wss://, nor a path, nor none")


_PATH = re.compile(r"/[\w./-]*")
_SAFE_URL = re.compile(r"wss?://[\w.:\[\]-]+(/[\w./-]*)?")
"""It gets into a header: nothing that means something there."""


def rate(raw: str) -> str:
    """So many within so long; empty: any number.

    >>> rate("5/minute"), rate("500 / 5 seconds"), rate("0"), rate("none")
    ('5/1 minute', '500/5 second', '', '')
    """
    if raw.lower() in ("0", "none"):
        return ""
    if (said := _RATE.fullmatch(raw.lower())) is None:
        raise ValueError("is not a number, a slash and a time, nor none")
    most, times, unit = int(said[1]), int(said[2] or 1), said[3]
    if not 1 <= most <= MOST_OF_A_RATE:
        raise ValueError(f"is not between 1 and {MOST_OF_A_RATE}")
    if not 1 <= times * _UNIT_SECONDS[unit] <= LONGEST_RATE_SECONDS:
        raise ValueError("is about a time that is not between a second and a day")
    return f"{most}/{times} {unit}"


def origins(raw: str) -> str:
    """Origins as browsers write them, with commas between them.

    >>> origins("https://chat.example.com, http://localhost:3000")
    'https://chat.example.com,http://localhost:3000'
    """
    given = [each.strip() for each in raw.split(",")]
    for each in given:
        url("http", "https")(each)
        scheme, host = each.split("://", 1)
        if each != each.lower() or set("/*@?#") & set(host) or host.endswith({"http": ":80", "https": ":443"}[scheme]):
            raise ValueError("holds an origin that no browser sends: small letters only, no path, no *, no usual port")
    return ",".join(given)
