"""What the AI is told of a chat: all of it, once; and nothing that who asks may not see."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from models import contexts, edits, folding
from models.ai_errors import AiShutOut, AskerLeft, NothingToSummarize, RequestWithdrawn
from models.base import Session, bare
from models.contexts import MOST_MESSAGES, Context
from models.mentions import Span
from models.users import AI_ID
from tests.factories import a_chat, a_user, an_ai_chat, ask, call, claim, record, say, the_job

pytestmark = pytest.mark.usefixtures("db")

FILL = text("""
    WITH filled AS (
        INSERT INTO messages (chat_id, seq, sender_id, client_msg_id, content, change_seq)
        SELECT CAST(:chat AS uuid), n, CAST(:sender AS uuid), 'filled ' || n, 'm' || n, n
        FROM generate_series(1, :number) AS n)
    UPDATE chats SET last_seq = :number, last_change_seq = :number WHERE id = CAST(:chat AS uuid)
""")
SUMMARY = text("""
    INSERT INTO ai_cache_contexts (chat_id, rolling_summary_text, summarized_seq, version)
    VALUES (CAST(:chat AS uuid), 'So far.', :seq, 1)
    ON CONFLICT (chat_id) DO UPDATE SET summarized_seq = :seq, rolling_summary_text = 'So far.'
""")


def fill(chat: str, sender: str, number: int) -> None:
    """Post so many messages at once: m1, m2 and so on."""
    with Session.begin() as session:
        session.execute(FILL, {"chat": chat, "sender": sender, "number": number})


def summarized(chat: str, seq: int) -> None:
    with Session.begin() as session:
        session.execute(SUMMARY, {"chat": chat, "seq": seq})


def told(job_id: str | None) -> Context:
    with bare() as session:
        return contexts.of_reply(session, str(job_id))


def join(chat: str, user: str) -> None:
    """From now on they are in it, and see no more of it than that."""
    with Session.begin() as session:
        joining = "INSERT INTO chat_members (chat_id, user_id, joined_seq) SELECT id, :user, last_seq FROM chats"
        session.execute(text(f"{joining} WHERE id = :chat"), {"chat": chat, "user": user})


def leave(chat: str, user: str) -> None:
    with Session.begin() as session:
        gone = text("DELETE FROM chat_members WHERE chat_id = :chat AND user_id = :user")
        session.execute(gone, {"chat": chat, "user": user})


def texts(context: Context) -> list[str]:
    return [one.text for one in context.said]


def test_at_any_length_each_message_is_in_the_summary_or_in_the_prompt() -> None:
    """Where the plan says that no step has to come before. With a summary that ends anywhere within reach."""
    anna = a_user()
    chat = an_ai_chat(anna)
    fill(chat, anna, 300)
    for length in range(1, 301):
        folded = folding.plan(last_seq=length, summarized_seq=0)
        job_id = asked_at(chat, anna, length)
        summarized(chat, folded.window.start - 1)
        context = told(job_id)
        known = {*range(1, context.summarized_seq + 1), *(one.seq for one in context.said)}
        assert known == set(range(1, length + 1)), length
        assert len(context.said) <= MOST_MESSAGES
        assert not context.left_out


ASK = text("""
    WITH gone AS (DELETE FROM jobs), made AS (
        INSERT INTO jobs (id, owner, type, queue_class, message, rank_at, status, max_attempts, deadline_at,
                          deadline_seconds, purpose, chat_id, up_to_seq, asked_by)
        VALUES (gen_random_uuid(), 'o', 'chat', 'interactive', 'm', now(), 'created', 5, now(), 60, 'recap',
                CAST(:chat AS uuid), :seq, CAST(:person AS uuid))
        RETURNING id)
    UPDATE messages SET job_id = made.id FROM made
    WHERE chat_id = CAST(:chat AS uuid) AND seq = :seq RETURNING job_id::text
""")


def asked_at(chat: str, person: str, seq: int) -> str:
    """A job that answers this message, as if it were the newest."""
    with Session.begin() as session:
        return str(session.scalar(ASK, {"chat": chat, "seq": seq, "person": person}))


def test_without_a_summary_the_newest_are_told_and_the_number_of_the_others_is_known() -> None:
    """Moving the summary on would help, but not somebody from whom it is hidden."""
    anna = a_user()
    chat = an_ai_chat(anna)
    fill(chat, anna, 70)
    context = told(call(chat, anna, "What now?"))

    assert texts(context) == [*(f"m{number}" for number in range(22, 71)), "What now?"]
    assert (context.left_out, context.may_catch_up) == (21, True)


def test_a_member_from_whom_history_is_hidden_gets_neither_it_nor_its_summary() -> None:
    """Nor does anybody whose call theirs has joined: both read the answer."""
    anna, bob = a_user(), a_user()
    chat = a_chat(anna, hides_history=True)
    fill(chat, anna, 30)
    summarized(chat, 10)
    join(chat, bob)
    say(chat, anna, "Welcome")

    of_anna = told(call(chat, anna, "@AI what did I say?"))
    joined = told(call(chat, bob, "@AI what did she say?"))

    assert (of_anna.summary, len(of_anna.said)) == ("So far.", 22)
    assert texts(joined) == ["Welcome", "@AI what did I say?", "@AI what did she say?"]
    assert (joined.summary, joined.may_catch_up) == ("", False)


def test_nobody_is_told_what_was_deleted_or_what_came_after() -> None:
    """Only what has been answered since the call is known besides."""
    anna, bob = a_user(), a_user()
    chat = a_chat(anna, bob)
    say(chat, bob, "Secret", "Known")
    first = call(chat, anna, "@AI one?")
    with Session.begin() as session:
        edits.delete(session, chat, seq=1, user_id=bob)
    say(chat, bob, "Too late")

    assert texts(told(first)) == ["Known", "@AI one?"]


def test_an_answer_stands_behind_what_it_answers() -> None:
    """Although somebody spoke in between; who is asked next must see it as answered."""
    anna = a_user()
    chat = an_ai_chat(anna)
    first = call(chat, anna, "One?")
    running = claim(str(first))
    assert running is not None
    ask(running)
    second = call(chat, anna, "Two?")
    record(running, text="Yes, one.")

    assert texts(told(second)) == ["One?", "Yes, one.", "Two?"]


def test_whoever_asked_must_still_be_there() -> None:
    """One of those who did will do."""
    anna, bob, carl = a_user(), a_user(), a_user()
    chat = a_chat(anna, bob, carl)
    job_id = call(chat, bob, "@AI one?")

    call(chat, carl, "@AI two?")
    leave(chat, bob)
    of_carl = told(job_id)
    leave(chat, carl)

    assert of_carl.request.text == "@AI two?"
    with pytest.raises(AskerLeft):
        told(job_id)


def test_an_ai_that_was_shut_out_says_nothing() -> None:
    """Since the call."""
    anna = a_user()
    chat = a_chat(anna)
    job_id = call(chat, anna)
    leave(chat, AI_ID)

    with pytest.raises(AiShutOut):
        told(job_id)


def test_a_call_that_was_deleted_is_not_answered() -> None:
    """Of two that were joined, the other one is."""
    anna, bob = a_user(), a_user()
    chat = a_chat(anna, bob)
    job_id = call(chat, anna, "@AI one?")
    call(chat, bob, "@AI two?")

    with Session.begin() as session:
        edits.delete(session, chat, seq=2, user_id=bob)
    of_anna = told(job_id)
    with Session.begin() as session:
        edits.delete(session, chat, seq=1, user_id=anna)

    assert of_anna.request.text == "@AI one?"
    with pytest.raises(RequestWithdrawn):
        told(job_id)


def recap(job_id: str | None) -> list[str]:
    job = the_job(str(job_id))
    with bare() as session:
        context = contexts.of_recap(session, job.id, Span.read(job.message))
    return [one.text for one in context.said if one is not context.request]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("@AI summarize last 2", ["m4", "m5"]),
        ("@AI summarize today", ["m2", "m3", "m4", "m5"]),
        ("@AI summarize since I left", ["m4", "m5"]),
        ("@AI summarize unread", ["m4", "m5"]),
        ("@AI summarise", ["m1", "m2", "m3", "m4", "m5"]),
    ],
)
def test_a_recap_is_about_what_was_asked_for(asked: str, expected: list[str]) -> None:
    """Bob has read three of five, and the first is of yesterday. Asking marks them read, and must not hide them."""
    anna, bob = a_user(), a_user()
    chat = a_chat(anna, bob)
    fill(chat, anna, 5)
    with Session.begin() as session:
        session.execute(text("UPDATE chat_members SET last_read_seq = 3 WHERE user_id = :bob"), {"bob": bob})
        session.execute(text("UPDATE messages SET created_at = created_at - interval '1 day' WHERE seq = 1"))

    assert recap(call(chat, bob, asked)) == expected


def test_a_recap_of_nothing_is_refused() -> None:
    """Nothing is unread."""
    anna = a_user()
    chat = a_chat(anna)
    say(chat, anna, "Hello")

    with pytest.raises(NothingToSummarize):
        recap(call(chat, anna, "@AI summarize unread"))


def test_a_recap_shows_nobody_what_was_said_before_they_came() -> None:
    """However many messages they ask for."""
    anna, bob = a_user(), a_user()
    chat = a_chat(anna, hides_history=True)
    say(chat, anna, "Secret")
    join(chat, bob)
    say(chat, anna, "Welcome")

    assert recap(call(chat, bob, "@AI summarize last 50")) == ["Welcome"]
