"""The autoscalers of the Kubernetes base: what they scale, by what, and what that asks of PostgreSQL."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
from collections import Counter

import pytest

from local.processes import COMMANDS
from tests import promql
from tests.conftest import ROOT
from tests.kustomize import deployments, documents, of_kind, shared
from tests.test_compose import CONNECTIONS

ADAPTER = "prometheus-adapter.yaml"


def test_autoscalers_scale_what_is_there_by_what_is_counted() -> None:
    """And none fights with a number in a file."""
    (rule,) = documents(ADAPTER)[0]["externalRules"]
    scalers = of_kind("HorizontalPodAutoscaler")
    classes = {}

    for name, scaler in scalers.items():
        assert scaler["spec"]["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
        assert "replicas" not in deployments()[name]["spec"]
        kinds = Counter(metric["type"] for metric in scaler["spec"]["metrics"])
        assert kinds["Resource"] == 1
        for metric in scaler["spec"]["metrics"]:
            if metric["type"] == "External":
                asked = metric["external"]["metric"]
                assert asked["name"] == rule["name"]["as"]
                classes[name] = asked["selector"]["matchLabels"]["queue_class"]
    assert set(scalers) == set(COMMANDS) - {"dispatcher"}
    assert classes == {"worker": "interactive", "worker-batch": "batch"}
    assert all(f"-Q {queue}" in " ".join(COMMANDS[name]) for name, queue in classes.items())
    assert deployments()["dispatcher"]["spec"]["replicas"] == 2


CASES = """
rule_files: [rules.yaml]
tests:
  - interval: 1m
    input_series:
      - {series: 'parley_database_up{instance="a"}', values: 1 1 1 0}
      - {series: 'parley_database_up{instance="b"}', values: 1 1 0 0}
      - {series: 'parley_oldest_waiting_seconds{queue_class="batch", instance="a"}', values: 70 _ _ _}
      - {series: 'parley_oldest_waiting_seconds{queue_class="interactive", instance="a"}', values: 7 stale stale stale}
    promql_expr_test:
      - {expr: waiting, eval_time: 0m, exp_samples: [{labels: waiting, value: 7}]}
      - {expr: waiting, eval_time: 1m, exp_samples: [{labels: waiting, value: 0}]}
      - {expr: waiting, eval_time: 2m, exp_samples: [{labels: waiting, value: 0}]}
      - {expr: waiting, eval_time: 3m, exp_samples: []}
"""


def test_the_age_is_nought_where_nothing_waits_and_unknown_without_a_database(tmp_path: pathlib.Path) -> None:
    """An autoscaler that is told 0 while the database is away would stop workers that keep answers for it."""
    (rule,) = documents(ADAPTER)[0]["externalRules"]
    query = rule["metricsQuery"].replace("<<.LabelMatchers>>", 'queue_class="interactive"')
    assert promql.unknown_to_the_reference(query) == promql.unknown_to_the_reference(rule["seriesQuery"]) == []
    promtool = shutil.which("promtool") or pytest.skip("there is no promtool here")
    rules = {"groups": [{"name": "adapter", "rules": [{"record": "waiting", "expr": query}]}]}
    (tmp_path / "rules.yaml").write_text(json.dumps(rules))
    (tmp_path / "tests.yaml").write_text(CASES)

    ran = subprocess.run(
        [promtool, "test", "rules", "tests.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_postgresql_has_room_for_all_who_may_connect() -> None:
    """The guide says how much that is: as many pods as there may be, and one more of each while they are renewed."""
    most = {name: each["spec"]["maxReplicas"] for name, each in of_kind("HorizontalPodAutoscaler").items()}
    most["dispatcher"] = deployments()["dispatcher"]["spec"]["replicas"]
    assert shared()["API_WORKERS"] == "1"

    needed = sum(CONNECTIONS[name] * (number + 1) for name, number in most.items()) + 1

    guide = (ROOT / "docs/how-to/kubernetes.md").read_text()
    assert f"needs {needed} connections" in " ".join(guide.split())
