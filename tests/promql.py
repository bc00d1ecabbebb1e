"""PromQL, as far as it takes to find a query for what nobody counts: Prometheus answers it with nothing, for ever."""

from __future__ import annotations

import functools
import json
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
OF_PROMETHEUS = {"job", "instance", "le"}
"""Labels that it adds by itself."""
SELECTOR = re.compile(r"\b((?:parley|process)_[a-z_]+|up)\b(?:\{(.*?)\})?")
GROUPED = re.compile(r"\b(?:by|without|on|ignoring) \(([^)]*)\)")
MATCHER = re.compile(r'(\w+)\s*=~?\s*"([^"]*)"|(\w+)\s*!')


@functools.cache
def reference() -> dict[str, set[str]]:
    """The labels of each metric of `docs/reference/metrics.md`."""
    page = (ROOT / "docs/reference/metrics.md").read_text()
    rows = re.findall(r"^\| `([a-z_]+)` \| \w+ \| (.*?) ?\| ", page, re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", cell)) for name, cell in rows} | {"up": set()}


def unknown_to_the_reference(query: str) -> list[str]:
    """Metrics and labels of a query that are not there; and ``nothing`` if it asks for no metric.

    >>> unknown_to_the_reference('sum by (le, colour) (rate(parley_job_wait_seconds_bucket{queue="x"}[5m]))')
    ['queue', 'colour']
    >>> unknown_to_the_reference("max(parley_jobs_made_total)"), unknown_to_the_reference("vector(1)")
    (['parley_jobs_made_total'], ['nothing'])
    """
    found, labels, wrong = SELECTOR.findall(query), set[str](OF_PROMETHEUS), []
    for name, matchers in found:
        plain = re.sub(r"_(bucket|sum|count)$", "", name)
        known = reference().get(plain if plain in reference() else name)
        if known is None:
            wrong.append(name)
            continue
        labels |= known
        asked = [one or other for one, _, other in MATCHER.findall(matchers)]
        wrong += [label for label in asked if label not in known | OF_PROMETHEUS]
    grouped = [label.strip() for group in GROUPED.findall(query) for label in group.split(",")]
    wrong += [label for label in grouped if label and label not in labels]
    return wrong if found else ["nothing"]


def routes_of(query: str) -> list[str]:
    """Those that a query names, patterns left out."""
    return re.findall(r'\broute="([^"]*)"', query)


def syntax_errors(queries: list[str], folder: pathlib.Path) -> str:
    """What `promtool` says of them; it is part of Debian's package prometheus. Skips where it is not."""
    promtool = shutil.which("promtool") or pytest.skip("there is no promtool here")
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(queries)]
    file = folder / "queries.yaml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    ran = subprocess.run([promtool, "check", "rules", str(file)], capture_output=True, text=True, check=False)
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr


def quiet_where_nothing_happened(query: str) -> bool:
    """Whether a share is there although nothing of it was ever counted: a series begins when it is first counted.

    >>> quiet_where_nothing_happened('sum(rate(parley_jobs_moved_total{status="failed"}[5m])) / sum(rate(x[5m]))')
    False
    >>> quiet_where_nothing_happened('(sum(rate(a_total{b="c"}[5m])) or vector(0)) / sum(rate(a_total[5m]))')
    True
    """
    share = re.search(r"_total\{[^}]*\b(?:status|result|outcome)=[^}]*\}\[[^\]]*\]\)\)(.*?)/", query, re.DOTALL)
    return share is None or "or vector(0)" in share[1]
