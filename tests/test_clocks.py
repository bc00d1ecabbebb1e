"""No decision rests on a machine's own clock: rows are compared with PostgreSQL's, waits are monotonic."""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterator

from tests.conftest import ROOT

WALL_CLOCKS = {
    ("time", "time"),
    ("time", "time_ns"),
    ("time", "localtime"),
    ("time", "gmtime"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
}
# Where two hours more or less do no harm, and why.
HARMLESS = {
    "api/callers.py": "how long a token's owner is remembered: seconds, and never longer than the database allows",
    "api/tokens.py": "when an access token ends: read with a leeway for clocks that disagree",
    "api/key_schemas.py": "whether expiresAt has gone by: a bound against mistakes",
    "api/gateway/door.py": "shown to people, as this machine's time",
    "api/live_stream.py": "the time that a greeting shows",
    "api/pings.py": "shown to people, as this machine's time",
    "api/gateway/server.py": "when a socket ends with its token, as above; and the time that a greeting shows",
    "api/health.py": "shown to people, as this machine's time",
    "api/job_schemas.py": "whether runAt is within a year: a bound against mistakes",
    "tasks/llm/openai_compatible.py": "a Retry-After that is a date: of a clock that is not ours either, and capped",
}


def uses(file: pathlib.Path) -> Iterator[str]:
    """Calls of a wall clock, as they stand."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if (name, node.func.attr) in WALL_CLOCKS:
                yield f"{file.relative_to(ROOT)}:{node.lineno}"


def test_no_code_asks_this_machine_what_time_it_is_but_where_it_is_harmless() -> None:
    """A worker two hours ahead must not reap, expire or delay anything."""
    found = {use for room in ("models", "tasks", "api") for file in (ROOT / room).rglob("*.py") for use in uses(file)}

    assert sorted(use for use in found if use.rsplit(":", 1)[0] not in HARMLESS) == []
    assert {use.rsplit(":", 1)[0] for use in found} >= HARMLESS.keys()
