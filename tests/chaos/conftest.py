"""What takes minutes is not even collected in the short form: a skipped test looks like one that passed."""

from __future__ import annotations

import os

collect_ignore = (
    []
    if os.environ.get("PARLEY_CHAOS") == "full"
    else [
        "test_breaker.py",
        "test_replies.py",
        "test_summaries.py",
    ]
)
