"""Reading answers: the same whatever the pieces they arrive in, and never anything but an answer or garbage."""

from __future__ import annotations

import contextlib
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.llm.answers import Answer, ErrorSent, Garbage, clean, events

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["choices", "delta", "content", "usage", "x"]), inner)
    ),
)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """``data`` in pieces."""
    places = sorted({0, len(data), *(place % (len(data) + 1) for place in at)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


@given(
    texts=st.lists(st.text(), min_size=1),
    at=st.lists(st.integers(min_value=0)),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_the_pieces_of_a_stream_do_not_matter(texts: list[str], at: list[int], newline: str) -> None:
    """The network cuts where it likes, in the middle of a character too."""
    sent = [{"choices": [{"delta": {"content": text}}]} for text in texts]
    body = "".join(f"data: {json.dumps(event, ensure_ascii=False)}{newline}{newline}" for event in sent)

    assert list(events(cut(body.encode(), at), max_text_bytes=100_000)) == sent


@given(chunks=st.lists(st.binary()))
def test_no_bytes_raise_anything_but_garbage(chunks: list[bytes]) -> None:
    """Whatever a server sends."""
    with contextlib.suppress(Garbage):
        for event in events(chunks, max_text_bytes=1000):
            assert isinstance(event, dict)


@given(event=st.dictionaries(st.sampled_from(["choices", "model", "usage", "error"]), ANYTHING))
def test_no_event_raises_anything_but_garbage(event: dict[str, object]) -> None:
    """Whatever shape it has; and what is taken makes a reply."""
    answer = Answer(model="m", max_bytes=100)

    with contextlib.suppress(Garbage, ErrorSent):
        answer.take(event)

    answer.reply().text.encode()


@given(text=st.text(st.characters(codec=None, exclude_categories=[])), max_bytes=st.integers(0, 50))
def test_clean_text_can_be_stored(text: str, max_bytes: int) -> None:
    """In UTF-8, without NUL, within its bytes; and nothing is lost that could have been kept."""
    cleaned = clean(text, max_bytes=max_bytes)

    encoded = cleaned.encode()
    assert b"\0" not in encoded
    assert len(encoded) <= max_bytes
    assert clean(cleaned, max_bytes=max_bytes) == cleaned


@pytest.mark.parametrize("piece", [b"." * 1000, b"data: ......\n" * 100, b'{"x":\n' * 100])
def test_what_never_ends_is_not_collected(piece: bytes) -> None:
    """Neither a line, nor an event of many lines, nor plain JSON."""
    chunks = itertools.repeat(piece, 10_000)

    with pytest.raises(Garbage):
        list(events(chunks, max_text_bytes=1000))

    assert next(chunks, None) is not None
