"""Chat reads: from the cache what it has, from PostgreSQL what it has not, and that then into the cache.

newest page    of a chat that nobody can be removed from: no statement; of a group: one, which says who may read it
unread         of all chats: no statement, and one for whatever is not known
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from models import messages, own_chats, unread
from models.base import bare
from models.live.chat_cache import ChatCache, messages_of, rooms_of, unread_of
from models.messages import Page
from models.newest import Newest, newest
from models.own_chats import MOST_UNREAD, Unread

MOST_REMEMBERED = 10_000


class ChatReads:
    """One for each process."""

    def __init__(self, cache: ChatCache) -> None:
        self._cache = cache
        self._open_rooms: OrderedDict[str, None] = OrderedDict()
        """Chats that are not worth asking Redis for: what a chat is never changes."""

    def page(self, chat_id: str, *, reader: str, limit: int) -> Page:
        """The newest messages of a chat.

        Raises:
            ChatNotFound: the reader is not in it.
        """
        found = None
        if chat_id not in self._open_rooms and limit <= self._cache.most_messages:
            found = self.newest(chat_id, reader=reader).page(limit=limit)
        if found is None:
            with bare() as session:
                found = messages.page(session, chat_id, reader=reader, limit=limit)
        return found

    def kept(self, chat_id: str, *, reader: str) -> Newest | None:
        """The newest messages of a chat, if they are kept and the reader is one whom nobody can remove."""
        found = self._cache.newest(chat_id)
        return found if found is not None and reader in found.readers else None

    def newest(self, chat_id: str, *, reader: str) -> Newest:
        """The newest messages of a chat, as many as are kept.

        Raises:
            ChatNotFound: the reader is not in it.
        """

        def fetch() -> Newest:
            lease = self._cache.lease([messages_of(chat_id)])
            with bare() as session:
                found = newest(session, chat_id, reader=reader, limit=self._cache.most_messages)
            if found.readers:
                self._cache.keep(chat_id, found, lease=lease)
            else:
                self._remember(chat_id)
            return found

        # A flight is one reader's: what another may read is another question.
        return self._cache.flights.found(
            f"{messages_of(chat_id)}:{reader}", lambda: self.kept(chat_id, reader=reader), fetch
        )

    def _remember(self, chat_id: str) -> None:
        self._open_rooms[chat_id] = None
        while len(self._open_rooms) > MOST_REMEMBERED:
            self._open_rooms.popitem(last=False)

    def unread(self, user_id: str) -> Unread:
        """How many messages of others somebody has not seen, where there are any; in no particular order."""
        rooms = self._cache.rooms(user_id)
        if rooms is None:
            return self._counted(user_id)
        known, missing = self._cache.unread(user_id, list(rooms))
        if missing:
            known |= self._asked(user_id, missing)
        chats = [
            {"chat_id": room_id, "unread": min(known[room_id], MOST_UNREAD + 1), "muted": muted}
            for room_id, muted in rooms.items()
            if known.get(room_id)
        ]
        return Unread(chats=chats, limited=False)

    def unread_in(self, user_id: str, chat_ids: Sequence[str]) -> dict[str, int]:
        """The same of these chats, where they are in them: none, too; at most `MOST_UNREAD` + 1."""
        known, missing = self._cache.unread(user_id, chat_ids)
        if missing:
            known |= self._asked(user_id, missing)
        return {chat_id: min(count, MOST_UNREAD + 1) for chat_id, count in known.items()}

    def _asked(self, user_id: str, chat_ids: Sequence[str]) -> dict[str, int]:
        lease = self._cache.lease([unread_of(user_id, chat_id) for chat_id in chat_ids])
        with bare() as session:
            found = unread.counts(session, user_id=user_id, chat_ids=chat_ids)
        self._cache.keep_unread(user_id, {each.chat_id: (each.unread, each.last_seq) for each in found}, lease=lease)
        return {each.chat_id: each.unread for each in found}

    def _counted(self, user_id: str) -> Unread:
        lease = self._cache.lease([rooms_of(user_id)])
        with bare() as session:
            found = unread.counts(session, user_id=user_id)
            if len(found) > own_chats.MOST_COUNTED:
                return own_chats.unread(session, user_id)  # too many to keep
        self._cache.keep_rooms(user_id, {each.chat_id: each.muted for each in found}, lease=lease)
        shown = [{"chat_id": each.chat_id, "unread": each.unread, "muted": each.muted} for each in found if each.unread]
        return Unread(chats=shown, limited=False)
