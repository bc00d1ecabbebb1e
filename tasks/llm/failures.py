"""Failures: which `ProviderError` each way of going wrong is.

The sentences are ours. Of what the server sent, only its status and those codes
that stand in `SAYABLE` are repeated: an error's text may quote the key or the prompt.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import h11
import httpcore2
import httpx2
import openai

from tasks.llm.answers import ErrorSent
from tasks.llm.base import Kind, ProviderError

MAX_RETRY_AFTER_SECONDS = 3600.0
"""A server that says "next year" is asked again within the hour."""
FILTERED = frozenset({"content_filter", "content_policy_violation", "responsibleaipolicyviolation"})
QUOTA = frozenset({"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"})
RATE = frozenset({"rate_limit_exceeded", "rate_limit_error", "rate_limit", "too_many_requests", "429"})
SAYABLE = FILTERED | QUOTA | RATE | {
    "context_length_exceeded",
    "invalid_api_key",
    "invalid_request_error",
    "model_not_found",
    "overloaded_error",
    "server_error",
    "string_above_max_length",
    "unsupported_parameter",
    "unsupported_value",
}  # fmt: skip

_NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
_MAX_DATE_CHARACTERS = 64


@dataclass(frozen=True)
class Verdict:
    """What a failure means, without the details of this one."""

    kind: Kind
    code: str
    sentence: str

    def error(self, *details: str, retry_after: float | None = None) -> ProviderError:
        """This verdict on one call."""
        said = f" ({', '.join(details)})" if details else ""
        return ProviderError(f"{self.sentence}{said}.", kind=self.kind, code=self.code, retry_after=retry_after)


TIMEOUT = Verdict(Kind.TRANSIENT, "provider_timeout", "The model did not answer in time")
UNREACHABLE = Verdict(Kind.TRANSIENT, "provider_unreachable", "The model's server could not be reached")
UNAVAILABLE = Verdict(Kind.TRANSIENT, "provider_unavailable", "The model's server is out of order")
CUT = Verdict(Kind.TRANSIENT, "provider_cut", "The model's answer broke off")
EMPTY = Verdict(Kind.TRANSIENT, "empty_response", "The model answered nothing")
GARBAGE = Verdict(Kind.TRANSIENT, "provider_garbage", "The model's server sent something that is no answer")
THROTTLED = Verdict(Kind.THROTTLED, "provider_throttled", "The model's server asks for patience")
OUT_OF_QUOTA = Verdict(Kind.PERMANENT, "provider_quota", "The account at the model's server has no credit left")
REFUSED_KEY = Verdict(Kind.PERMANENT, "provider_auth", "The model's server does not accept our key")
REJECTED = Verdict(Kind.PERMANENT, "provider_rejected", "The model's server rejects the request")
CONTENT = Verdict(Kind.PERMANENT, "content_filtered", "The model's server filtered the content")
STATUSES = {
    401: REFUSED_KEY,
    403: REFUSED_KEY,
    408: UNAVAILABLE,
    409: UNAVAILABLE,
    425: UNAVAILABLE,
    429: THROTTLED,
}
"""The others are judged by their first digit."""


def failure_of(error: Exception, *, begun: bool, now: dt.datetime) -> ProviderError:
    """What ``error``, raised while asking, amounts to; ``begun``: the server had already said 200."""
    if isinstance(error, openai.APIStatusError):
        return _refusal(error, now=now)
    if isinstance(error, ErrorSent):
        codes = codes_in(error.error)
        return _sent_verdict(codes).error(*_sayable(codes))
    if isinstance(error, httpcore2.TimeoutException | httpx2.TimeoutException | openai.APITimeoutError):
        return TIMEOUT.error()
    return _line_verdict(error, begun=begun).error()


def _refusal(error: openai.APIStatusError, *, now: dt.datetime) -> ProviderError:
    codes = codes_in(error.body)
    verdict = _status_verdict(error.status_code, codes)
    wait = None if verdict.kind is Kind.PERMANENT else retry_after(error.response.headers, now=now)
    return verdict.error(f"HTTP {error.status_code}", *_sayable(codes), retry_after=wait)


def _status_verdict(status: int, codes: frozenset[str]) -> Verdict:
    if status == 402 or (status == 429 and codes & QUOTA):  # noqa: PLR2004
        return OUT_OF_QUOTA
    if 400 <= status < 500 and status not in STATUSES and codes & FILTERED:  # noqa: PLR2004
        return CONTENT
    # Below 400 it is a redirect, which is not followed: it would take the key elsewhere.
    rest = GARBAGE if status < 400 else REJECTED if status < 500 else UNAVAILABLE  # noqa: PLR2004
    return STATUSES.get(status, rest)


def _sent_verdict(codes: frozenset[str]) -> Verdict:
    for known, verdict in ((FILTERED, CONTENT), (QUOTA, OUT_OF_QUOTA), (RATE, THROTTLED)):
        if codes & known:
            return verdict
    return UNAVAILABLE


def _line_verdict(error: Exception, *, begun: bool) -> Verdict:
    # httpcore raises the same error for what is not HTTP, while it handles
    # h11's, and for a connection that is closed without an answer.
    not_http = isinstance(error.__context__, h11.RemoteProtocolError) and not begun
    hung_up = isinstance(error, httpcore2.RemoteProtocolError) and not not_http
    broke = isinstance(error, httpcore2.NetworkError | httpcore2.ProxyError | openai.APIConnectionError | OSError)
    if hung_up or broke:
        return CUT if begun else UNREACHABLE
    return GARBAGE


def rejects_stream_options(error: openai.APIStatusError) -> bool:
    """Whether the server would have taken the request without ``stream_options``."""
    said = str(error.body)
    return error.status_code in (400, 422) and ("stream_options" in said or "include_usage" in said)


def codes_in(body: object) -> frozenset[str]:
    """The ``code`` and ``type`` of an error, and of the errors in it, in lower case.

    >>> sorted(codes_in([{"error": {"code": 429, "innererror": {"code": "Busy"}}}]))
    ['429', 'busy']
    """
    if isinstance(body, list):
        body = body[0] if body else None
    if not isinstance(body, Mapping):
        return frozenset()
    own = {str(body[name]).lower() for name in ("code", "type") if isinstance(body.get(name), str | int)}
    return frozenset(own).union(*(codes_in(body.get(name)) for name in ("error", "innererror")))


def _sayable(codes: frozenset[str]) -> list[str]:
    return sorted((codes & SAYABLE) - {"429"})


def retry_after(headers: Mapping[str, str], *, now: dt.datetime) -> float | None:
    """Seconds to wait, by ``retry-after-ms`` or ``Retry-After`` (seconds or a date); at most an hour.

    ``None``: nothing usable is said.

    >>> noon = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
    >>> [retry_after({"retry-after": said}, now=noon) for said in ("7", "-1", "nan", "Thu, 01 Jan 2026 12:00:09 GMT")]
    [7.0, None, None, 9.0]
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    said = headers.get("retry-after", "").strip()
    seconds = milliseconds / 1000 if milliseconds is not None else _number(said)
    seconds = _seconds_until(said, now=now) if seconds is None else seconds
    return None if seconds is None or seconds < 0 else min(seconds, MAX_RETRY_AFTER_SECONDS)


def _number(said: str) -> float | None:
    return float(said) if _NUMBER.fullmatch(said.strip()) else None


def _seconds_until(said: str, *, now: dt.datetime) -> float | None:
    try:
        date = email.utils.parsedate_to_datetime(said[:_MAX_DATE_CHARACTERS])
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    date = date if date.tzinfo else date.replace(tzinfo=dt.UTC)
    seconds = (date - now).total_seconds()
    return seconds if math.isfinite(seconds) else None
