"""The command lines of the product, and what each process is told."""

from __future__ import annotations

import pathlib

import pytest

from local import processes

HERE = pathlib.Path()


def test_each_process_has_a_port_of_its_own_for_metrics() -> None:
    """On one machine no two can have the same."""
    programs = processes.product(HERE, HERE, {"METRICS_PORT": "9400"})

    assert {each.name: each.environment["METRICS_PORT"] for each in programs if each.name != "api"} == {
        "gateway": "9400",
        "dispatcher": "9401",
        "worker": "9402",
        "worker-batch": "9403",
    }


@pytest.mark.parametrize("environment", [{}, {"METRICS_PORT": ""}, {"METRICS_PORT": "0"}, {"METRICS_PORT": "x"}])
def test_where_there_is_none_none_is_made_up(environment: dict[str, str]) -> None:
    """What cannot be right the processes refuse by themselves."""
    assert all(each.environment == environment for each in processes.product(HERE, HERE, environment))
