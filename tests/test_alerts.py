"""The alert rules, the runbook and the list of metrics say the same; Prometheus itself says when each rule fires."""

from __future__ import annotations

import functools
import pathlib
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests import promql
from tests.promql import ROOT

RULES, TESTS = ROOT / "deploy/alerts.yaml", ROOT / "tests/alerts.yaml"


@functools.cache
def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def names() -> list[str]:
    return [rule["alert"] for rule in rules()]


def test_every_alert_has_a_section_of_the_runbook_and_every_section_an_alert() -> None:
    """Whoever is woken at night follows one link."""
    sections = re.findall(r"^## (\w+)$", (ROOT / "docs/runbook.md").read_text(), re.MULTILINE)

    assert sections == names()
    assert [rule["annotations"]["runbook"] for rule in rules()] == [f"docs/runbook.md#{n.lower()}" for n in names()]
    assert {rule["labels"]["severity"] for rule in rules()} == {"page", "ticket"}


def test_the_guide_makes_a_link_of_each_path_and_changes_nothing_else(tmp_path: pathlib.Path) -> None:
    """A dead link is found out at night."""
    guide = (ROOT / "docs/how-to/monitoring.md").read_text()
    (command,) = re.findall(r"^sed .*$", guide, re.MULTILINE)
    made = tmp_path / "alerts.yaml"

    subprocess.run(command.replace("/etc/prometheus/alerts.yaml", str(made)), shell=True, cwd=ROOT, check=True)

    (there,) = re.findall(r"https://\S+(?=docs/\|)", command)
    assert made.read_text().replace(there, "") == RULES.read_text()
    linked = [rule["annotations"]["runbook"] for rule in yaml.safe_load(made.read_text())["groups"][0]["rules"]]
    assert linked == [f"{there}docs/runbook.md#{name.lower()}" for name in names()]


def test_every_metric_of_a_rule_stands_in_the_reference_with_its_labels() -> None:
    """A rule over a name that is misspelt never fires."""
    wrong = {rule["alert"]: promql.unknown_to_the_reference(rule["expr"]) for rule in rules()}

    assert {name: words for name, words in wrong.items() if words} == {}


def test_every_alert_is_shown_to_fire_and_not_to_fire() -> None:
    """By the tests that Prometheus runs."""
    well, broken, *_ = yaml.safe_load(TESTS.read_text())["tests"]

    assert [test["alertname"] for test in well["alert_rule_test"]] == names()
    assert [test["alertname"] for test in broken["alert_rule_test"]] == names()
    assert not any("exp_alerts" in test for test in well["alert_rule_test"])
    assert all(test["exp_alerts"] for test in broken["alert_rule_test"])


def test_prometheus_fires_each_alert_when_it_should() -> None:
    """`promtool` is part of Debian's package prometheus."""
    promtool = shutil.which("promtool") or pytest.skip("there is no promtool here")

    for words in (["check", "rules", str(RULES)], ["test", "rules", str(TESTS)]):
        ran = subprocess.run([promtool, *words], cwd=ROOT / "tests", capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
