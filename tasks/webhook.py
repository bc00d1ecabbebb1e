"""Webhook: what somebody is to be told of, posted to a receiver and signed, as Standard Webhooks has it.

    webhook-id         the same at each attempt: whoever knows it has it already
    webhook-timestamp  of this attempt
    webhook-signature  v1,<HMAC-SHA256 of "<id>.<timestamp>.<body>">

Any 2xx is an answer; a redirect is none. What the receiver writes back is not read.

Source: the Standard Webhooks specification, 1.0.0.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.notifications import Notice
from tasks import guarded
from tasks.guarded import Unreachable

SECONDS = 10.0
"""For all of a request, from the name's address to the status."""
PREFIX = "whsec_"
LONGEST_RETRY_AFTER = 3600.0
RETRY_SECONDS = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Between attempts: the schedule of Standard Webhooks, some three days. Then it is given up."""
JITTER = 0.1
"""Of each, at most, on top: what failed together is not tried again together."""
_TAKEN = 2
"""Hundred and something."""
_GONE = 410
_THROTTLED = frozenset({429, 503})


class NotSent(Exception):
    """It was not taken.

    Args:
        is_down: the receiver answers nobody, so there is no use in trying others now.
        is_final: it never will take it.
        retry_after: seconds it asks for.
    """

    def __init__(self, reason: str, *, is_down: bool = False, is_final: bool = False, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.is_down, self.is_final, self.retry_after = is_down, is_final, retry_after


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """Where to post, and how to sign it."""

    url: str
    secret: str
    may_be_private: bool
    """It may be plain HTTP, or in a network that is not public."""

    @property
    def key(self) -> bytes:
        """What signs."""
        return base64.b64decode(self.secret.removeprefix(PREFIX))


class WebhookSender:
    """Posts one request for each message, with all people in it who are to be told."""

    at_once = 16

    def __init__(self, hook: Webhook) -> None:
        self._hook = hook

    def send(self, notice: Notice, user_ids: Sequence[str]) -> None:
        """Post it.

        Raises:
            NotSent: it was not answered by 2xx in time.
        """
        post(self._hook, name=notice.name, now=notice.now, said=_body(notice, user_ids))


def post(hook: Webhook, *, name: str, now: int, said: Mapping[str, Any]) -> None:
    """Sign this and post it.

    Args:
        name: the same at each attempt, and no other's; without a full stop.
        now: seconds since 1970.

    Raises:
        NotSent: it was not answered by 2xx in time.
    """
    body = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Parley",
        "webhook-id": name,
        "webhook-timestamp": str(now),
        "webhook-signature": signature(hook.key, name, now, body),
    }
    try:
        answer = guarded.post(hook.url, body=body, headers=headers, seconds=SECONDS, may_be_private=hook.may_be_private)
    except Unreachable as why:
        raise NotSent(str(why), is_down=True) from None
    if answer.status // 100 != _TAKEN:
        after = _seconds(answer.retry_after) if answer.status in _THROTTLED else 0.0
        raise NotSent(f"status {answer.status}", is_final=answer.status == _GONE, retry_after=after)


def again_after(failure: NotSent, *, attempt: int) -> float | None:
    """Seconds before it is tried again; None: it is given up.

    Args:
        attempt: the one that has failed, from 1.
    """
    if failure.is_final or attempt > len(RETRY_SECONDS):
        return None
    # Delays need not be unforeseeable.
    seconds = RETRY_SECONDS[attempt - 1] * (1 + random.uniform(0, JITTER))  # noqa: S311 # nosec B311
    return max(seconds, failure.retry_after)


def signature(key: bytes, name: str, timestamp: int, body: bytes) -> str:
    """One header's value.

    >>> key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")  # what the libraries of the specification test
    >>> signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    signed = hmac.digest(key, f"{name}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode()}"


def _body(notice: Notice, user_ids: Sequence[str]) -> Mapping[str, Any]:
    return {
        "type": "message.created",
        "timestamp": wire_time(notice.created_at) if notice.created_at else None,
        "data": {
            "chatId": notice.chat_id,
            "chatType": notice.type,
            "chatTitle": notice.title,
            "seq": notice.seq,
            "senderId": notice.sender_id,
            "senderName": notice.sender_name,
            "isAi": notice.is_ai,
            "preview": notice.preview,
            "recipients": list(user_ids),
        },
    }


def wire_time(moment: dt.datetime) -> str:
    """ISO 8601 in UTC, as everywhere."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _seconds(retry_after: str) -> float:
    """A date is passed over: the schedule will do."""
    return min(float(retry_after), LONGEST_RETRY_AFTER) if retry_after.isascii() and retry_after.isdigit() else 0.0
