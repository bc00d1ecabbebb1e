"""Webhook: a message's notice, posted to a receiver and signed, as Standard Webhooks has it.

    webhook-id         the same at each attempt: whoever knows it has it already
    webhook-timestamp  of this attempt
    webhook-signature  v1,<HMAC-SHA256 of "<id>.<timestamp>.<body>">

Any 2xx is an answer; a redirect is none. What the receiver writes back is not read.

Source: the Standard Webhooks specification, 1.0.0.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
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
        body = json.dumps(_body(notice, user_ids), ensure_ascii=False, separators=(",", ":")).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Parley",
            "webhook-id": notice.name,
            "webhook-timestamp": str(notice.now),
            "webhook-signature": signature(self._hook.key, notice.name, notice.now, body),
        }
        try:
            answer = guarded.post(
                self._hook.url, body=body, headers=headers, seconds=SECONDS, may_be_private=self._hook.may_be_private
            )
        except Unreachable as why:
            raise NotSent(str(why), is_down=True) from None
        if answer.status // 100 != _TAKEN:
            after = _seconds(answer.retry_after) if answer.status in _THROTTLED else 0.0
            raise NotSent(f"status {answer.status}", is_final=answer.status == _GONE, retry_after=after)


def signature(key: bytes, name: str, timestamp: int, body: bytes) -> str:
    """One header's value.

    >>> key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")  # what the libraries of the specification test
    >>> signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    signed = hmac.digest(key, f"{name}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(signed).decode()}"


def _body(notice: Notice, user_ids: Sequence[str]) -> Mapping[str, Any]:
    said_at = notice.created_at.isoformat(timespec="microseconds").replace("+00:00", "Z") if notice.created_at else None
    return {
        "type": "message.created",
        "timestamp": said_at,
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


def _seconds(retry_after: str) -> float:
    """A date is passed over: the schedule will do."""
    return min(float(retry_after), LONGEST_RETRY_AFTER) if retry_after.isascii() and retry_after.isdigit() else 0.0
