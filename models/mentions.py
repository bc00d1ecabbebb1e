"""Mentions: whether a message calls the AI, and what it asks for, read without a model.

``@AI`` calls it as a word of its own. In a code span, a code block or a quote it
is talked about, not called: what is to be read as it stands is blanked first, by
the rules of CommonMark, except that a quote ends with its line, as people in
chats expect.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

MOST_RECAPPED = 500
"""Messages that one recap looks at."""
RECAPPED = 50
"""Of a recap that does not say how many."""
_AI = r"(?<![\w@/\\])@ai(?![\w-]|\.\w)"
_CALL = re.compile(_AI, re.IGNORECASE)
_COMMAND = re.compile(
    rf"{_AI}[,:]? summari[sz]e"
    r"(?: (?:the )?(?:last (?P<last>\d{1,6})(?: messages)?|(?P<today>today)|(?P<unread>since i left|unread)))?"
    r"[.!?]?",
    re.IGNORECASE,
)
COMMAND_CHARACTERS = 100
"""No command is longer: what is longer need not be looked at."""
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_QUOTE = re.compile(r" {0,3}>")
_INDENTED = re.compile(r"(?: {4}| {0,3}\t)[ \t]*\S")
_TICKS = re.compile(r"`+")
_SPAN = re.compile(r"last (?P<last>\d{1,6})|(?P<today>today)|after (?P<after>\d{1,19})")


@dataclass(frozen=True)
class Span:
    """Which messages a recap is about, in the form in which its job keeps it.

    >>> [str(Span(last=20)), str(Span()), str(Span(after=812))]
    ['last 20', 'today', 'after 812']
    >>> Span.read("after 812") == Span(after=812)
    True
    """

    last: int | None = None
    """So many."""
    after: int | None = None
    """Those behind this ``seq``. (With neither: those of today, in UTC.)"""

    def __str__(self) -> str:
        if self.last is not None:
            return f"last {self.last}"
        return "today" if self.after is None else f"after {self.after}"

    @classmethod
    def read(cls, text: str) -> Span:
        """What `str` has made of one.

        Raises:
            ValueError: it is none.
        """
        found = _SPAN.fullmatch(text)
        if found is None:
            raise ValueError(text)
        last, after = found["last"], found["after"]
        return cls(last=int(last) if last else None, after=int(after) if after else None)


def calls(text: str) -> bool:
    """Whether the AI is called in it.

    >>> calls("Hello @AI, what is new?"), calls("(@ai)"), calls("mail bob@ai.example"), calls("`@AI` calls it")
    (True, True, False, False)
    """
    return _CALL.search(_spoken(text)) is not None


def recap(text: str, *, last_read_seq: int) -> Span | None:
    """Which messages it asks a summary of; None if that is not what it says, and no more than that.

    Args:
        last_read_seq: of who asks, before this very message: what is unread begins behind it.

    >>> [str(recap(f"@AI summarize {which}", last_read_seq=7)) for which in ("last 20", "today", "since I left", "")]
    ['last 20', 'today', 'after 7', 'last 50']
    >>> recap("@AI summarize this poem", last_read_seq=7) is None
    True
    """
    spoken = " ".join(_spoken(text).split())
    found = _COMMAND.fullmatch(spoken) if len(spoken) <= COMMAND_CHARACTERS else None
    if found is None or (found["last"] and int(found["last"]) == 0):
        return None
    if found["unread"]:
        return Span(after=last_read_seq)
    return Span() if found["today"] else Span(last=min(int(found["last"] or RECAPPED), MOST_RECAPPED))


def without(text: str) -> str:
    """What is left to be answered once the AI has been called; all of it, if that was all.

    >>> without("@AI: why is the sky blue?"), without("Ask @AI why"), without("@AI")
    ('why is the sky blue?', 'Ask @AI why', '@AI')
    """
    found = _CALL.match(text.lstrip())
    rest = text.lstrip()[found.end() :].lstrip(" \t\n,:") if found else ""
    return rest or text


def _spoken(text: str) -> str:
    """The text without quotes and code, as long as before between its lines."""
    paragraphs: list[list[str]] = [[]]
    for line in _outside_blocks(text.splitlines()):
        if line.strip():
            paragraphs[-1].append(line)
        else:
            paragraphs.append([])
    return "\n\n".join(_outside_spans("\n".join(lines)) for lines in paragraphs)


def _outside_blocks(lines: list[str]) -> Iterator[str]:
    """Each line, an empty one in place of what is quoted or code."""
    fence, is_after_text = "", False
    for line in lines:
        opened = _FENCE.match(line)
        if fence:
            is_end = opened and opened[1].startswith(fence) and not opened[2].strip()
            fence = "" if is_end else fence
            spoken = ""
        elif opened and not (opened[1][0] == "`" and "`" in opened[2]):
            fence, spoken = opened[1], ""
        else:
            is_code = _INDENTED.match(line) and not is_after_text
            spoken = "" if is_code or _QUOTE.match(line) else line
        is_after_text = bool(spoken.strip())
        yield spoken


def _outside_spans(paragraph: str) -> str:
    """Without code spans: from some backticks to the next run of just as many. Linear, whatever is written."""
    runs = list(_TICKS.finditer(paragraph))
    later: defaultdict[int, list[int]] = defaultdict(list)
    for number in range(len(runs) - 1, -1, -1):
        later[len(runs[number][0])].append(number)
    spoken, at, number = [], 0, 0
    while number < len(runs):
        opening = runs[number]
        same = later[len(opening[0])]
        while same and same[-1] <= number:
            same.pop()
        if same:
            spoken.append(paragraph[at : opening.start()])
            number = same[-1]
            at = runs[number].end()
        number += 1
    return " ".join([*spoken, paragraph[at:]])
