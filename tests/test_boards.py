"""The Grafana board and the queries of the documentation ask for what is counted, in words that Prometheus takes."""

from __future__ import annotations

import functools
import itertools
import json
import pathlib
import re
import shutil
import subprocess
from typing import Any

import pytest

from tests import promql
from tests.promql import ROOT

BOARD = ROOT / "deploy/grafana/parley.json"
PAGES = sorted((ROOT / "docs").rglob("*.md"))
OF_GRAFANA = {"$__rate_interval": "5m", "$__range": "6h"}
"""What it puts into a query by itself."""


@functools.cache
def board() -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(BOARD.read_text())
    return parsed


def panels() -> list[dict[str, Any]]:
    """Rows left out."""
    return [panel for panel in board()["panels"] if panel["type"] != "row"]


def asked_by_the_board() -> list[str]:
    queries: list[str] = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [functools.reduce(lambda query, word: query.replace(word, OF_GRAFANA[word]), OF_GRAFANA, q) for q in queries]


def asked_by_the_pages() -> list[str]:
    return [
        query
        for page in PAGES
        for query in re.findall(r"^```promql\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    ]


@pytest.mark.parametrize("query", [*asked_by_the_board(), *asked_by_the_pages()])
def test_a_query_asks_for_metrics_and_labels_of_the_reference(query: str) -> None:
    """Prometheus answers any other with nothing, and an empty panel looks like a quiet night."""
    assert promql.unknown_to_the_reference(query) == []


@pytest.mark.parametrize("query", [*asked_by_the_board(), *asked_by_the_pages()])
def test_a_share_of_what_never_happened_is_nought(query: str) -> None:
    """A month without a failure must be 100 %, not an empty panel."""
    assert promql.quiet_where_nothing_happened(query)


def test_a_query_names_routes_that_exist() -> None:
    """As Flask writes them; docs/reference/http-api.md has them all, as tests/test_documentation.py sees to."""
    headings = re.findall(r"^#+ [A-Z]+ (/\S+)$", (ROOT / "docs/reference/http-api.md").read_text(), re.MULTILINE)
    texts = [*asked_by_the_board(), *(path.read_text() for path in [*PAGES, ROOT / "deploy/alerts.yaml"])]

    named = {route for text in texts for route in promql.routes_of(text)}

    assert len(named) > 2
    assert {re.sub(r"<\w+:(\w+)>", r"{\1}", route) for route in named} <= set(headings)


def test_prometheus_takes_every_query(tmp_path: pathlib.Path) -> None:
    """Its own parser is asked."""
    assert promql.syntax_errors([*asked_by_the_board(), *asked_by_the_pages()], tmp_path) == ""


def test_every_panel_can_be_read() -> None:
    """It has a title, a unit and a place of its own, and asks whichever Prometheus was chosen above."""
    places = [(panel["title"], panel["gridPos"]) for panel in board()["panels"]]
    sources = {panel["datasource"]["uid"] for panel in panels()}

    assert [variable["name"] for variable in board()["templating"]["list"]] == ["datasource"]
    assert sources == {"${datasource}"}
    assert all(panel["title"] and panel["targets"] and panel["fieldConfig"]["defaults"]["unit"] for panel in panels())
    assert len({panel["id"] for panel in board()["panels"]}) == len(board()["panels"])
    assert all(place["x"] + place["w"] <= 24 for _, place in places)
    assert [(a, b) for (a, one), (b, other) in itertools.combinations(places, 2) if overlap(one, other)] == []


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[start] < other[start] + other[size] and other[start] < one[start] + one[size]
        for start, size in (("x", "w"), ("y", "h"))
    )


CONFIGURATIONS = re.findall(
    r"^```yaml\n(# prometheus\.yml\n.*?)^```",
    (ROOT / "docs/how-to/monitoring.md").read_text(),
    re.MULTILINE | re.DOTALL,
)


@pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=["hosts", "pods"])
def test_prometheus_takes_the_configurations_of_the_guide(configuration: str, tmp_path: pathlib.Path) -> None:
    """With the rules beside them."""
    promtool = shutil.which("promtool") or pytest.skip("there is no promtool here")
    configuration = configuration.replace("/etc/prometheus/parley-token", f"{tmp_path}/token")
    # Debian's is built without Kubernetes.
    configuration = re.sub(r"kubernetes_sd_configs: .*", "static_configs: [{targets: [a:1]}]", configuration)
    (tmp_path / "prometheus.yml").write_text(configuration)
    (tmp_path / "token").write_text("t")
    shutil.copy(ROOT / "deploy/alerts.yaml", tmp_path)

    words = [promtool, "check", "config", str(tmp_path / "prometheus.yml")]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "rules found" in ran.stdout
