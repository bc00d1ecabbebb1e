"""Messages: posted once each, numbered without gaps, changed and caught up with."""

from __future__ import annotations

import contextlib
import random
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from models import chats, edits, members, messages, touched
from models.base import Session
from models.errors import (
    ChatNotFound,
    MessageDeleted,
    MessageNotFound,
    NotWithYourself,
    NotYourMessage,
    Refusal,
    TooManyMembers,
    UnknownReplyTo,
)
from models.messages import Changes, Page, Posted
from models.touched import Kind
from models.users import AI_ID
from tests.factories import TOKEN_KEY, a_chat, a_user, an_ai_chat, say

pytestmark = pytest.mark.usefixtures("db")
WRITERS, EACH, RESENDS = 20, 5, 3


def page(chat_id: str, reader: str, **which: Any) -> Page:
    with Session() as session:
        return messages.page(session, chat_id, reader=reader, **{"limit": 50, **which})


def said(chat_id: str, reader: str, **which: Any) -> list[str]:
    return [message["content"] for message in page(chat_id, reader, **which).messages]


def changes(chat_id: str, reader: str, since: int, *, limit: int = 500) -> Changes:
    with Session() as session:
        return messages.changes(session, chat_id, reader=reader, since=since, limit=limit)


def edit(chat_id: str, editor: str, seq: int, content: str) -> Any:
    with Session.begin() as session:
        return edits.edit(session, chat_id, seq=seq, user_id=editor, content=content)


def delete(chat_id: str, by: str, seq: int) -> Any:
    with Session.begin() as session:
        return edits.delete(session, chat_id, seq=seq, user_id=by)


def the_chat(chat_id: str, reader: str) -> Any:
    with Session() as session:
        return members.member_of(session, chat_id, user_id=reader)


def sent(chat_id: str, person: str, name: str) -> Posted:
    """As a client does it: who found no place, or waited too long for the chat's row, sends it again."""
    for _ in range(100):
        with contextlib.suppress(PoolTimeout, OperationalError):
            return say(chat_id, person, f"{person} {name}", client_msg_id=name)[0]
    raise AssertionError(f"{name} of {person} was never taken")


def test_many_writers_who_all_resend_number_their_messages_without_gap_or_duplicate() -> None:
    """Whatever order they come in: each message has one place, and each resend finds it."""
    people = [a_user() for _ in range(WRITERS)]
    chat_id = a_chat(*people)

    def write(person: str) -> list[tuple[str, int, bool]]:
        sends = [str(number) for number in range(EACH)] * RESENDS
        random.shuffle(sends)
        answers = (sent(chat_id, person, name) for name in sends)
        return [(answer.message["content"], answer.message["seq"], answer.is_new) for answer in answers]

    # Each message's resends race one another, too: from as many sessions as there are threads.
    with ThreadPoolExecutor(WRITERS * 2) as threads:
        answers = [answer for work in threads.map(write, people * 2) for answer in work]

    stored = page(chat_id, people[0], limit=1000).messages
    assert [message["seq"] for message in stored] == list(range(1, WRITERS * EACH + 1))
    assert [message["change_seq"] for message in stored] == [message["seq"] for message in stored]
    assert {(content, seq) for content, seq, _ in answers} == {(m["content"], m["seq"]) for m in stored}
    assert Counter(is_new for _, _, is_new in answers) == {True: WRITERS * EACH, False: WRITERS * EACH * 5}
    assert sorted(m["created_at"] for m in stored) == [m["created_at"] for m in stored]


def test_a_resend_gets_the_first_message_whatever_it_says_now() -> None:
    """With another text it is told so; after an edit its first text is what counts."""
    anna, ben = a_user(), a_user()
    chat_id = a_chat(anna, ben)
    first = say(chat_id, anna, "Hello", client_msg_id="1")[0]
    others = say(chat_id, ben, "Hello", client_msg_id="1")[0]

    again, other = (say(chat_id, anna, content, client_msg_id="1")[0] for content in ("Hello", "Goodbye"))
    edit(chat_id, anna, 1, "Hello, all")
    edited = say(chat_id, anna, "Hello", client_msg_id="1")[0]
    delete(chat_id, anna, 1)
    deleted = say(chat_id, anna, "Hello", client_msg_id="1")[0]

    assert (first.is_new, others.is_new, others.message["seq"]) == (True, True, 2)
    assert (again.is_new, again.differs, again.message) == (False, False, first.message)
    assert (other.is_new, other.differs, other.message) == (False, True, first.message)
    assert (edited.differs, edited.message["content"]) == (False, "Hello, all")
    assert (deleted.differs, deleted.message["content"]) == (False, "")
    assert the_chat(chat_id, anna)["last_seq"] == 2


def test_posting_moves_the_chat_along_and_is_read_by_its_sender_alone() -> None:
    """Its time never goes back, even if that of the chat lies ahead."""
    anna, ben = a_user(), a_user()
    chat_id = a_chat(anna, ben)
    with Session.begin() as session:
        session.execute(text("UPDATE chats SET last_message_at = clock_timestamp() + interval '1 hour'"))
    before = the_chat(chat_id, anna)["last_message_at"]

    say(chat_id, anna, "Hello,\n  world " + "x" * 500)

    chat = the_chat(chat_id, anna)
    assert (chat["last_seq"], chat["last_change_seq"], chat["last_read_seq"]) == (1, 1, 1)
    assert the_chat(chat_id, ben)["last_read_seq"] == 0
    assert chat["last_message_at"] == before == page(chat_id, anna).messages[0]["created_at"]
    assert chat["last_message_preview"].startswith("Hello, world xxx")
    assert len(chat["last_message_preview"]) == 120


def test_the_ai_posts_as_itself_where_it_is_a_member() -> None:
    """Where it is not wanted it is not there."""
    anna = a_user()
    chat_id, without = an_ai_chat(anna), a_chat(anna, ai_mode="off")

    posted = say(chat_id, AI_ID, "Hello, Anna", job_id=str(uuid.uuid4()), status="stopped")[0]

    assert (posted.message["is_ai"], posted.message["status"]) == (True, "stopped")
    assert say(chat_id, anna)[0].message["is_ai"] is False
    with pytest.raises(ChatNotFound):
        say(without, AI_ID)


def test_pages_go_both_ways_and_say_where_they_end() -> None:
    """A place beyond the newest message, of another chat for instance, is the end."""
    anna = a_user()
    chat_id = a_chat(anna)
    say(chat_id, anna, *map(str, range(1, 6)))

    newest, older, oldest = (page(chat_id, anna, limit=2, before=seq) for seq in (None, 4, 2))
    newer, beyond = page(chat_id, anna, limit=2, after=1), page(chat_id, anna, limit=2, before=900)

    assert [m["content"] for m in newest.messages] == ["4", "5"]
    assert (newest.before, newest.after, newest.last_change_seq) == (4, None, 5)
    assert ([m["seq"] for m in older.messages], older.before, older.after) == ([2, 3], 2, 3)
    assert ([m["seq"] for m in oldest.messages], oldest.before, oldest.after) == ([1], None, 1)
    assert ([m["seq"] for m in newer.messages], newer.before, newer.after) == ([2, 3], 2, 3)
    assert beyond == newest
    assert (said(chat_id, anna, after=5), said(chat_id, anna, before=1)) == ([], [])


def test_changes_tell_each_message_once_as_it_is_now() -> None:
    """What was edited or deleted comes again, behind the rest; what is too much comes in pieces."""
    anna = a_user()
    chat_id = a_chat(anna)
    say(chat_id, anna, "1", "2", "3")
    edit(chat_id, anna, 1, "one")
    delete(chat_id, anna, 2)

    everything, later = changes(chat_id, anna, 0), changes(chat_id, anna, 3)
    piece = changes(chat_id, anna, 0, limit=2)
    rest, ahead = changes(chat_id, anna, piece.since, limit=2), changes(chat_id, anna, 99)

    assert [(m["content"], m["change_seq"]) for m in everything.messages] == [("3", 3), ("one", 4), ("", 5)]
    assert (everything.limited, everything.since, everything.last_change_seq) == (False, 5, 5)
    assert [m["seq"] for m in later.messages] == [1, 2]
    assert ([m["seq"] for m in piece.messages], piece.limited, piece.since) == ([3, 1], True, 4)
    assert ([m["seq"] for m in rest.messages], rest.limited, rest.since) == ([2], False, 5)
    assert (ahead.messages, ahead.limited, ahead.since) == ([], True, 5)


def test_an_edit_keeps_each_version_and_a_deletion_none() -> None:
    """The same text again is no edit."""
    anna = a_user()
    chat_id = a_chat(anna)
    say(chat_id, anna, "1", "2")
    for content in ("two", "two", "zwei"):
        edit(chat_id, anna, 2, content)
    with Session() as session:
        versions = [
            tuple(row) for row in session.execute(text("SELECT version, content FROM message_versions ORDER BY 1"))
        ]
    shown = the_chat(chat_id, anna)["last_message_preview"]

    edited, deleted = page(chat_id, anna).messages[1], delete(chat_id, anna, 2)

    assert (versions, shown) == ([(1, "2"), (2, "two")], "zwei")
    assert (edited["content"], edited["change_seq"], edited["edited_at"] is None) == ("zwei", 4, False)
    assert (deleted["content"], deleted["deleted_at"] is None) == ("", False)
    assert delete(chat_id, anna, 2) == deleted
    assert the_chat(chat_id, anna)["last_message_preview"] == ""
    with Session() as session:
        assert session.execute(text("SELECT count(*) FROM message_versions")).scalar_one() == 0


def test_who_may_change_a_message() -> None:
    """Its author; of a group or one's own chat with the AI an admin may delete what others say."""
    anna, ben, other = a_user(), a_user(), a_user()
    group, alone = a_chat(anna, ben), an_ai_chat(anna)
    with Session.begin() as session:
        pair, _ = chats.create_pair(session, user_id=anna, other_id=ben, key=TOKEN_KEY)
    for chat_id, senders in ((group, (anna, ben)), (alone, (AI_ID,)), (pair, (ben,))):
        for sender in senders:
            say(chat_id, sender)
    delete(group, anna, 2)
    delete(alone, anna, 1)

    refused: list[tuple[Any, type[Refusal]]] = [
        (lambda: edit(group, ben, 1, "x"), NotYourMessage),
        (lambda: delete(group, ben, 1), NotYourMessage),
        (lambda: delete(pair, anna, 1), NotYourMessage),
        (lambda: edit(group, ben, 2, "x"), MessageDeleted),
        (lambda: edit(group, ben, 3, "x"), MessageNotFound),
        (lambda: delete(group, anna, 0), MessageNotFound),
        (lambda: edit(group, other, 1, "x"), ChatNotFound),
        (lambda: delete(group, other, 1), ChatNotFound),
    ]

    for work, refusal in refused:
        with pytest.raises(refusal):
            work()


def test_whoever_is_not_in_a_chat_reads_and_writes_nothing() -> None:
    """Nor does who was in it a moment ago. What is not there and what is others' look alike, but not in the log."""
    anna, ben = a_user(), a_user()
    chat_id = a_chat(anna, ben)
    say(chat_id, ben)
    with Session.begin() as session:
        session.execute(text("DELETE FROM chat_members WHERE user_id = :ben"), {"ben": ben})

    for work in (lambda c: page(c, ben), lambda c: changes(c, ben, 0), lambda c: say(c, ben)):
        for known, anothers in ((chat_id, f"chat:{chat_id}"), (str(uuid.uuid4()), None)):
            with pytest.raises(ChatNotFound) as refused:
                work(known)
            assert refused.value.anothers == anothers


def test_whoever_joins_a_chat_that_hides_its_history_sees_nothing_of_before() -> None:
    """Not on a page, not as a change, not as a preview, and it cannot be replied to."""
    anna, ben = a_user(), a_user()
    chat_id = a_chat(anna)
    say(chat_id, anna, "1", "2")
    with Session.begin() as session:
        joined = "INSERT INTO chat_members (user_id, chat_id, joined_seq, last_read_seq) VALUES (:ben, :chat, 2, 2)"
        session.execute(text(joined), {"ben": ben, "chat": chat_id})
    preview = the_chat(chat_id, ben)["last_message_preview"]
    edit(chat_id, anna, 1, "one")
    say(chat_id, anna, "3")

    seen = page(chat_id, ben)

    assert (preview, the_chat(chat_id, ben)["last_message_preview"]) == (None, "3")
    assert ([m["content"] for m in seen.messages], seen.before) == (["3"], None)
    assert (said(chat_id, ben, before=3), said(chat_id, ben, after=0)) == ([], ["3"])
    assert [m["seq"] for m in changes(chat_id, ben, 0).messages] == [3]
    for reply_to in (2, 4):
        with pytest.raises(UnknownReplyTo):
            say(chat_id, ben, reply_to=reply_to)
    assert say(chat_id, ben, reply_to=3)[0].message["seq"] == 4


def test_a_pair_has_one_chat_however_many_ask_for_it_at_once() -> None:
    """From either side. Nobody is a pair alone, and a group has an end."""
    anna, ben = a_user(), a_user()

    def ask(pair: tuple[str, str]) -> tuple[str, bool]:
        with Session.begin() as session:
            return chats.create_pair(session, user_id=pair[0], other_id=pair[1], key=TOKEN_KEY)

    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(ask, [(anna, ben), (ben, anna)] * 4))

    assert len({chat_id for chat_id, _ in made}) == 1
    assert [is_new for _, is_new in made].count(True) == 1
    with Session() as session:
        everybody = members.of_chat(session, made[0][0], reader=anna)
    assert {member["user_id"] for member in everybody} == {anna, ben, AI_ID}
    with pytest.raises(NotWithYourself):
        ask((anna, anna))
    with pytest.raises(TooManyMembers):
        a_chat(anna, *(str(uuid.uuid4()) for _ in range(chats.MOST_MEMBERS)))


def test_a_room_hash_finds_its_chat_and_opens_nothing() -> None:
    """It depends on the key, so that who knows the members cannot know it."""
    anna, ben = a_user(), a_user()
    chat_id = a_chat(anna)
    with Session() as session:
        name = members.member_of(session, chat_id, user_id=anna)["room_hash"]
        found = chats.id_of(session, name)

    assert (found, name) == (chat_id, chats.room_hash(chat_id, key=TOKEN_KEY))
    assert chats.ROOM_HASH.fullmatch(name)
    assert chats.room_hash(chat_id, key="another") != name
    with Session() as session, pytest.raises(ChatNotFound):
        members.member_of(session, found, user_id=ben)
    with Session() as session, pytest.raises(ChatNotFound):
        chats.id_of(session, "A" * 26)


def test_what_a_transaction_touches_is_told_once_and_only_if_something_changed() -> None:
    """A resend, an edit to the same text and reading what was read change nothing."""
    anna = a_user()
    chat_id = a_chat(anna)
    with Session.begin() as session:
        for _ in range(2):
            messages.post(session, chat_id=chat_id, sender_id=anna, content="Hello", client_msg_id="1")
            edits.edit(session, chat_id, seq=1, user_id=anna, content="Hi")
            members.see(session, chat_id, user_id=anna, seq=1)
        for _ in range(2):
            edits.delete(session, chat_id, seq=1, user_id=anna)

        told = [(touch.kind, touch.seq, touch.user_id) for touch in touched.changed_in(session)]
        assert told == [(kind, 1, anna) for kind in (Kind.POSTED, Kind.EDITED, Kind.DELETED)]
        assert touched.changed_in(session) == ()
