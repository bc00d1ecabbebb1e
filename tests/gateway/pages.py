"""A page's state, for tests: what it has read, and what it makes of the events it hears."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask.testing import FlaskClient

from tests.factories import signed_in
from tests.gateway.clients import Frame


class Page:
    """A page's state: its chats, their messages, and who has read how far."""

    def __init__(self, http: FlaskClient, user_id: str) -> None:
        self.http, self.user_id, self.headers = http, user_id, signed_in(user_id)
        self.chats: dict[str, Any] = {}
        self.messages: dict[str, dict[int, Any]] = {}
        self.read: dict[str, dict[str, int]] = {}

    def get(self, path: str) -> Any:
        """As the page asks."""
        return self.http.get(path, headers=self.headers).get_json()

    def load(self) -> None:
        """Everything, anew."""
        self.chats, self.messages, self.read = {}, {}, {}
        for chat in self.get("/api/chats?limit=100")["items"]:
            self._load(chat["chatId"])

    def _load(self, chat_id: str) -> None:
        if not self._show(chat_id):
            return
        changes = self.get(f"/api/chats/{chat_id}/changes?since=0").get("items", [])
        self.messages[chat_id] = {each["seq"]: each for each in changes}
        people = self.get(f"/api/chats/{chat_id}/members").get("items", [])
        self.read[chat_id] = {each["userId"]: each["lastReadSeq"] for each in people}

    def _show(self, chat_id: str) -> bool:
        """Read the chat; whether it is still there. (If not, word of that is on its way.)"""
        chat = self.get(f"/api/chats/{chat_id}")
        if "role" in chat:
            self.chats[chat_id] = {name: chat[name] for name in ("title", "role", "muted", "unread")}
        return "role" in chat

    def apply(self, frame: Frame) -> None:
        """What an event says."""
        heard: dict[str, Callable[[str, Any], object]] = {
            "message.new": self._message,
            "message.edited": self._message,
            "message.deleted": self._message,
            "members": self._members,
            "chat": lambda chat_id, _: self._show(chat_id),
            "seen": lambda chat_id, d: self.read[chat_id].update({d["userId"]: d["seq"]}),
            "unread": lambda chat_id, d: self.chats[chat_id].update(unread=d["unread"]),
        }
        chat_id = str(frame.get("chat"))
        if frame["op"] == "members" or chat_id in self.read:
            heard[frame["op"]](chat_id, frame["d"])

    def _message(self, chat_id: str, message: Any) -> None:
        before = self.messages[chat_id].get(message["seq"], {"changeSeq": 0})
        if message["changeSeq"] > before["changeSeq"]:
            self.messages[chat_id][message["seq"]] = message
        self._show(chat_id)  # for unread, which a page may count by itself

    def _members(self, chat_id: str, d: Any) -> None:
        if not d["gone"]:
            self._load(chat_id)
        elif d["userId"] != self.user_id:
            self.read.get(chat_id, {}).pop(d["userId"], None)
        else:
            for state in (self.chats, self.messages, self.read):
                state.pop(chat_id, None)

    def state(self) -> Any:
        """To be compared. A sender has read what they have said: no event says so, since the message does."""
        read = {
            chat_id: {
                user_id: max([seq, *(m["seq"] for m in self.messages[chat_id].values() if m["senderId"] == user_id)])
                for user_id, seq in people.items()
            }
            for chat_id, people in self.read.items()
        }
        return self.chats, self.messages, read
