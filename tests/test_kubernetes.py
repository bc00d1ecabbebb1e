"""The Kubernetes base: valid by Kubernetes's own schemas, and about the product as it is."""

from __future__ import annotations

import json
import pathlib
import re
import secrets
import shutil
import subprocess
from typing import Any

import kubernetes_validate
import pytest
import yaml  # type: ignore[import-untyped]

from local.processes import COMMANDS, MIGRATION
from models.settings import Settings, from_environment
from tests.conftest import ROOT
from tests.kustomize import (
    FOLDER,
    Document,
    container,
    deployments,
    kustomization,
    labels_of,
    of_kind,
    pod,
    ports_of,
    rendered,
    shared,
)

OLDEST = "1.30"
"""What the guide promises."""
VERSIONS = (OLDEST, kubernetes_validate.latest_version())
SETTINGS = {knob.metadata["env"]: knob for knob in Settings.__dataclass_fields__.values()}
IMAGE = {"ENVIRONMENT": "production", "HOST": "0.0.0.0", "PORT": "8000"}
NOTES = "prometheus-adapter.yaml"


def test_every_file_is_part_of_it() -> None:
    """One that is forgotten is not there, however well it reads."""
    listed = [*kustomization()["resources"], *(patch["path"] for patch in kustomization()["patches"])]

    assert sorted([*listed, "kustomization.yaml", NOTES]) == sorted(path.name for path in FOLDER.iterdir())


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_word(version: str) -> None:
    """Words that it does not know it would drop, without one of its own."""
    for document in rendered():
        kubernetes_validate.validate(document, version, strict=True)


def test_kustomize_makes_the_same_of_it() -> None:
    """Of the patches, that is; what it adds are a namespace and the settings' full name."""
    kubectl = shutil.which("kubectl") or pytest.skip("there is no kubectl here")
    ran = subprocess.run([kubectl, "kustomize", str(FOLDER)], capture_output=True, text=True, check=True)
    full = re.search(r"name: (settings-\w+)", ran.stdout)
    assert full

    made = list(yaml.safe_load_all(ran.stdout.replace(full[1], "settings")))

    assert in_order(each for each in made if each["kind"] != "ConfigMap") == in_order(rendered())
    assert [each["data"] for each in made if each["kind"] == "ConfigMap"] == [shared()]


def test_kustomize_takes_the_folder_of_the_guide(tmp_path: pathlib.Path) -> None:
    """The image, the model and the host are those that it says."""
    kubectl = shutil.which("kubectl") or pytest.skip("there is no kubectl here")
    guide = (ROOT / "docs/how-to/kubernetes.md").read_text()
    (overlay,) = re.findall(r"^```yaml\n(# kustomization\.yaml\n.*?)^```", guide, re.MULTILINE | re.DOTALL)
    shutil.copytree(FOLDER, tmp_path / "kubernetes")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/kustomization.yaml").write_text(overlay)

    ran = subprocess.run([kubectl, "kustomize", tmp_path / "mine"], capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    made = {(each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(ran.stdout)}
    (settings,) = [each["data"] for (kind, _), each in made.items() if kind == "ConfigMap"]
    assert settings == {**shared(), "LLM_BASE_URL": "https://api.openai.com/v1", "LLM_MODEL": "gpt-4o-mini"}
    assert container(made["Deployment", "worker"])["image"] == "images.example.com/parley:1"
    assert made["Ingress", "parley"]["spec"]["rules"][0]["host"] == "chat.example.com"


def test_the_secrets_of_the_guide_are_those_that_are_referred_to() -> None:
    """One that is missing keeps a pod from starting."""
    guide = (ROOT / "docs/how-to/kubernetes.md").read_text()
    (lines,) = re.findall(r"^cat > secrets\.env <<END\n(.*?)^END", guide, re.MULTILINE | re.DOTALL)
    wanted = {each["name"] for workload in deployments().values() for each in container(workload)["env"]}

    assert {line.partition("=")[0] for line in lines.splitlines()} == wanted


def in_order(found: Any) -> list[str]:
    """Comparable: without namespaces, lists of named things by their names."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(each) for key, each in value.items() if key != "namespace"}
        if isinstance(value, list):
            items = [plain(each) for each in value]
            named = all(isinstance(each, dict) and "name" in each for each in items)
            return sorted(items, key=lambda each: str(each["name"])) if named else items
        return value

    return sorted(json.dumps(plain(each), sort_keys=True) for each in found)


def test_each_process_is_run_as_the_launcher_runs_it() -> None:
    """One truth about command lines."""
    commands = {name: container(each)["command"] for name, each in {**deployments(), **of_kind("Job")}.items()}

    expected = {name: ["python", "-m", *words] for name, words in COMMANDS.items()}
    assert commands == {**expected, "migration": ["python", "-m", *MIGRATION]}


def environment(workload: Document) -> dict[str, str]:
    """As its process sees it, with secrets made up."""
    known = {name: knob.metadata["example"] for name, knob in SETTINGS.items()}
    known |= {name: secrets.token_hex(24) for name in ("ADMIN_TOKEN", "TOKEN_KEY", "METRICS_TOKEN", "LLM_API_KEY")}
    known |= {"DATABASE_URL": "postgresql://parley:x7@db:5432/parley", "REDIS_URL": "redis://:x8@cache:6379/0"}
    read = shared() if container(workload).get("envFrom") else {}
    return IMAGE | read | {each["name"]: known[each["name"]] for each in container(workload)["env"]}


def test_each_process_starts_with_what_it_is_given() -> None:
    """Also once a model is configured, by an address and a name for all."""
    model = {"LLM_BASE_URL": "https://llm.example.com/v1", "LLM_MODEL": "m"}

    for name, workload in deployments().items():
        given = environment(workload)
        assert set(given) <= set(SETTINGS), name
        assert from_environment(given | model).llm_chain == ("m",), name
    assert set(environment(of_kind("Job")["migration"])) == {*IMAGE, "DATABASE_URL", "REDIS_URL"}


def test_secrets_are_referred_to_and_given_to_whom_they_are_for() -> None:
    """No value of one stands in a file, so none can be committed."""
    workloads = {**deployments(), **of_kind("Job")}
    variables = [(name, variable) for name, each in workloads.items() for variable in container(each)["env"]]
    has: dict[str, set[str]] = {}
    for name, variable in variables:
        has.setdefault(variable["name"], set()).add(name)

    assert not of_kind("Secret")
    assert all(variable["valueFrom"]["secretKeyRef"]["key"] == variable["name"] for _, variable in variables)
    assert not any(SETTINGS[name].metadata["secret"] for name in shared())
    assert has == {
        "DATABASE_URL": {*workloads},
        "REDIS_URL": {*workloads},
        "METRICS_TOKEN": {*COMMANDS},
        "ADMIN_TOKEN": {"api"},
        "TOKEN_KEY": {"api", "gateway"},
        "LLM_API_KEY": {"worker", "worker-batch"},
    }


def test_pods_have_few_rights() -> None:
    """As the namespace demands of them ("restricted"), and no variables made of the names of Services."""
    assert of_kind("Namespace")["parley"]["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}
    for workload in [*deployments().values(), *of_kind("Job").values()]:
        of_pod, of_container = pod(workload)["securityContext"], container(workload)["securityContext"]
        assert (of_pod["runAsNonRoot"], of_pod["seccompProfile"]["type"]) == (True, "RuntimeDefault")
        assert f"USER {of_pod['runAsUser']}:{of_pod['runAsGroup']}" in (ROOT / "Dockerfile").read_text()
        assert of_container["allowPrivilegeEscalation"] is False
        assert of_container["readOnlyRootFilesystem"] is True
        assert of_container["capabilities"] == {"drop": ["ALL"]}
        assert pod(workload)["enableServiceLinks"] is False
        assert pod(workload)["automountServiceAccountToken"] is False


def test_probes_ask_what_is_there_and_wait_long_enough() -> None:
    """A path or a port that is misspelt restarts a healthy process for ever."""
    reference = (ROOT / "docs/reference/http-api.md").read_text()
    gateway = (ROOT / "api/gateway/server.py").read_text()
    settings = from_environment(environment(deployments()["api"]))
    asked = {
        (name, kind): container(workload)[kind]["httpGet"]
        for name, workload in deployments().items()
        for kind in ("startupProbe", "livenessProbe", "readinessProbe")
        if "httpGet" in container(workload).get(kind, {})
    }

    assert {name for name, _ in asked} == {"api", "gateway"}
    assert asked["api", "livenessProbe"]["path"] == "/health/live"
    assert asked["api", "readinessProbe"]["path"] == "/health/ready"
    for (name, _), probe in asked.items():
        assert probe["port"] in ports_of(deployments()[name])
        if name == "api":
            assert f"### GET {probe['path']}\n" in reference or f"## GET {probe['path']}\n" in reference
        else:
            assert f'== "{probe["path"]}"' in gateway
    assert ports_of(deployments()["api"]) == {"http": settings.port}
    assert ports_of(deployments()["gateway"]) == {"ws": settings.own_gateway_port, "metrics": settings.metrics_port}
    assert container(deployments()["api"])["readinessProbe"]["timeoutSeconds"] > settings.db_answer_seconds + 0.3


def test_what_listens_on_no_port_is_not_restarted_by_a_probe() -> None:
    """A worker without a database keeps answers that were paid for. The question is that of the compose file."""
    compose = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]

    for name in ("dispatcher", "worker", "worker-batch"):
        found = container(deployments()[name])
        assert not {"livenessProbe", "startupProbe"} & set(found)
        assert found["readinessProbe"]["exec"]["command"] == compose[name]["healthcheck"]["test"][1:]
        assert ports_of(deployments()[name]) == {"metrics": int(shared()["METRICS_PORT"])}


def test_a_rolling_update_drains() -> None:
    """A new one is ready before an old one goes, and that one has the time that the product wants."""
    grace = float(shared()["STOP_GRACE_SECONDS"])

    for name, workload in deployments().items():
        hook = (
            container(workload).get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
        )
        assert (hook[1] != "0") == (name in ("api", "gateway")), name
        assert pod(workload)["terminationGracePeriodSeconds"] > float(hook[1]) + grace + 5, name
        assert workload["spec"]["strategy"] == {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def test_each_process_says_what_it_needs_and_may_be_moved_one_by_one() -> None:
    """Requests for the scheduler and the autoscaler, a limit of memory, a budget for whoever drains a node."""
    budgets = of_kind("PodDisruptionBudget")

    assert set(budgets) == set(deployments()) == set(COMMANDS)
    for name, workload in deployments().items():
        resources = container(workload)["resources"]
        assert {*resources["requests"]} == {"cpu", "memory"}
        assert {*resources["limits"]} == {"memory"}
        assert budgets[name]["spec"]["maxUnavailable"] == 1
        for selector in (budgets[name]["spec"]["selector"], workload["spec"]["selector"]):
            assert selector["matchLabels"] == labels_of(workload)


def test_addresses_lead_to_pods() -> None:
    """Services, the Ingress and the policies: to names and ports that there are."""
    services = of_kind("Service")
    (rule,) = of_kind("Ingress")["parley"]["spec"]["rules"]
    backends = {path["path"]: path["backend"]["service"] for path in rule["http"]["paths"]}

    for service in services.values():
        selected = [each for each in deployments().values() if labels_of(each) == service["spec"]["selector"]]
        (port,) = service["spec"]["ports"]
        assert [ports_of(each)[port["targetPort"]] for each in selected] == [port["port"]]
    assert {path: backend["name"] for path, backend in backends.items()} == {
        "/": "api",
        "/metrics": "gateway",
        shared()["GATEWAY_URL"]: "gateway",
    }
    for backend in backends.values():
        assert backend["port"]["name"] in {port["name"] for port in services[backend["name"]]["spec"]["ports"]}


def test_policies_are_about_pods_and_ports_that_are_there() -> None:
    """One that selects nothing forbids and permits nothing. The rule is: nobody, but as follows."""
    everybody = [labels_of(each) for each in [*deployments().values(), *of_kind("Job").values()]]
    named = {port for each in deployments().values() for port in ports_of(each)}

    for name, policy in of_kind("NetworkPolicy").items():
        selector = policy["spec"]["podSelector"]
        wanted = [{key: value} for key, value in selector.get("matchLabels", {}).items()]
        wanted += [{e["key"]: value} for e in selector.get("matchExpressions", []) for value in e["values"]]
        assert all(any(labels.items() >= one.items() for labels in everybody) for one in wanted), name
        rules = policy["spec"].get("ingress", []) + policy["spec"].get("egress", [])
        ports = {port["port"] for each in rules for port in each["ports"]}
        assert {port for port in ports if isinstance(port, str)} <= named, name
    assert of_kind("NetworkPolicy")["nobody"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
