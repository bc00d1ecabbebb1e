"""What `kubectl kustomize` makes of `deploy/kubernetes/`; where it is there, a test compares the two."""

from __future__ import annotations

import copy
import functools
import re
from typing import Any

import yaml  # type: ignore[import-untyped]

from tests.conftest import ROOT

FOLDER = ROOT / "deploy/kubernetes"
Document = dict[str, Any]


@functools.cache
def kustomization() -> Document:
    parsed: Document = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    return parsed


def documents(name: str) -> list[Document]:
    """Of one file."""
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


@functools.cache
def rendered() -> list[Document]:
    """Every resource, patched. The names are those of the files."""
    found = [document for name in kustomization()["resources"] for document in documents(name)]
    return [functools.reduce(_patched, kustomization()["patches"], document) for document in found]


def of_kind(*kinds: str) -> dict[str, Document]:
    """By name."""
    return {each["metadata"]["name"]: each for each in rendered() if each["kind"] in kinds}


def _patched(document: Document, patch: Document) -> Document:
    facts = {"kind": document["kind"], "name": document["metadata"]["name"]}
    if not all(re.fullmatch(pattern, facts[key]) for key, pattern in patch["target"].items()):
        return document
    (change,) = documents(patch["path"])
    return {**document, "spec": merged(document["spec"], change["spec"])}


def merged(there: Any, change: Any) -> Any:
    """A strategic merge: maps by key, lists of maps by their items' names, anything else replaced.

    >>> merged({"a": [{"name": "x", "b": 1}], "c": 2}, {"a": [{"name": "y"}, {"name": "x", "d": 3}]})
    {'a': [{'name': 'x', 'b': 1, 'd': 3}, {'name': 'y'}], 'c': 2}
    """
    if isinstance(there, dict) and isinstance(change, dict):
        both = copy.deepcopy(there)
        both.update({name: merged(both.get(name), value) for name, value in change.items()})
        return both
    if isinstance(there, list) and all(isinstance(item, dict) and "name" in item for item in [*there, *change]):
        changes = {item["name"]: item for item in change}
        kept = [merged(item, changes.pop(item["name"], {})) for item in there]
        return kept + list(changes.values())
    return copy.deepcopy(change)


def shared() -> dict[str, str]:
    """What is no secret."""
    (made,) = kustomization()["configMapGenerator"]
    return dict(pair.split("=", 1) for pair in made["literals"])


def pod(workload: Document) -> Document:
    found: Document = workload["spec"]["template"]["spec"]
    return found


def container(workload: Document) -> Document:
    (only,) = pod(workload)["containers"]
    found: Document = only
    return found


def deployments() -> dict[str, Document]:
    return of_kind("Deployment")


def labels_of(workload: Document) -> dict[str, str]:
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def ports_of(workload: Document) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container(workload).get("ports", [])}
