"""Which lines of a posted conversation are new: by position and content."""

from __future__ import annotations

import pytest

from models.saved_items import Comparison, Item, Stored, mark

KEY, WINDOW = "k" * 32, 3
BY_TURNS = "u:a A:b u:c A:d"


def stored(written: str) -> list[Stored]:
    """``u:hello`` is the user's, ``A:hello`` the AI's; ``/`` parts what it says from what it said; ``†`` deleted it."""
    lines = []
    for number, word in enumerate(written.split()):
        who, said = word.split(":", 1)
        texts = () if said.startswith("†") else tuple(said.split("/"))
        own = mark(said[1:], place=number, key=KEY) if len(said) > 1 and said.startswith("†") else None
        lines.append(Stored(role={"u": "user", "A": "assistant"}[who], texts=texts, client_msg_id=own))
    return lines


def posted(written: str) -> list[Item]:
    """The same, without ``u:`` and ``A:`` strings by turns; ``#`` and a name gives a client's id."""
    items = []
    for word in written.split():
        said, _, named = word.partition("#")
        who, _, content = said.rpartition(":")
        role = {"u": "user", "A": "assistant"}.get(who)
        items.append(Item(content=content, role=role, client_msg_id=named or None))
    return items


@pytest.mark.parametrize(
    ("kept", "sent", "new", "ignored"),
    [
        ("", "", "", 0),
        ("", "a", "a", 0),
        ("", "a b c", "a c", 1),  # b is the AI's, which has not said it
        ("", "u:a u:b A:c", "a b", 1),
        (BY_TURNS, "a b c d", "", 0),
        (BY_TURNS, "u:a A:b u:c A:d", "", 0),
        (BY_TURNS, "a b c d e", "e", 0),
        (BY_TURNS, "a b c d a", "a", 0),  # said once more
        (BY_TURNS, "a", "", 0),  # what came since
        (BY_TURNS, "a c", "", 0),  # some removed
        (BY_TURNS, "a c d e", "e", 0),
        (BY_TURNS, "d c b a", "", 0),  # others' places
        (BY_TURNS, "b a", "", 0),
        (BY_TURNS, "u:a A:never u:c A:d", "", 1),  # put into the AI's mouth
        (BY_TURNS, "A:a A:b", "", 1),
        (BY_TURNS, "u:b", "b", 0),  # the same text, but the user's
        ("u:a u:b A:c", "a b c d", "d", 0),  # two by the user in a row, then turns again
        ("u:a/x A:b", "x b", "", 0),  # edited since
        ("u:a/x A:b", "b x", "", 0),
        ("u:a A:† u:c", "a b c", "", 0),  # deleted, and the client does not know
        ("u:a A:† u:c", "a c", "", 0),  # and does
        ("u:a A:† u:† u:c", "a x y c", "", 0),
        ("u:a A:b u:†", "a b c", "c", 0),  # nothing behind it says that this was it
        ("u:a A:b u:†c", "a b c", "", 0),  # its mark does
        ("u:a A:b u:†c", "b c", "", 0),
        ("u:1 A:2 u:3 A:4 u:5", "3 4 5", "", 0),  # a window
        ("u:1 A:2 u:3 A:4 u:5", "3 4 5 x 1", "1", 1),  # behind it, an old text is new
        ("u:1 A:2 u:3 A:4 u:5", "2 3 4 5", "", 0),
        ("u:ok A:y u:ok A:y u:ok", "ok y ok y ok", "", 0),
    ],
)
def test_what_is_not_stored_is_new_once(kept: str, sent: str, new: str, ignored: int) -> None:
    """And is no more when it has been stored."""
    compared = Comparison(stored(kept), posted(sent), window=WINDOW, key=KEY).result()
    after = [*stored(kept), *(Stored(role="user", texts=(item.content,)) for item in compared.new)]
    again = Comparison(after, posted(sent), window=WINDOW, key=KEY).result()

    assert ([item.content for item in compared.new], compared.ignored) == (new.split(), ignored)
    assert (again.new, again.ignored) == ([], ignored)


def test_a_client_id_says_which_line_is_meant() -> None:
    """Whatever it says now; and the same text under another one is another line."""
    kept = [Stored(role="user", texts=("ok",), client_msg_id="one")]

    new = Comparison(kept, posted("u:changed#one u:ok#two"), window=WINDOW, key=KEY).result().new

    assert [item.client_msg_id for item in new] == ["two"]
