"""The documentation says what the code does, and nothing else.

Each page is compared with the code it speaks of, both ways where that can be
done: what the code has stands there, and what stands there the code has.
"""

from __future__ import annotations

import ast
import functools
import itertools
import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

import run
from api.dead_letter_schemas import DeadLetterSchema
from api.errors import CODE_OF, STATUS_OF
from api.job_schemas import AttemptSchema, JobSchema
from local.processes import COMMANDS, MIGRATION
from models import account_errors, ai_errors, errors, invariants, prices, states
from models.ai_errors import Unanswerable
from models.attempts import Outcome
from models.settings import Settings
from models.states import MAY_BECOME, JobStatus
from tasks.llm import failures
from tasks.llm.base import LOST, STOPPING, Kind
from tests.experiments import EXPERIMENTS

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
DEPLOYMENT = [ROOT / "Dockerfile", ROOT / ".dockerignore", ROOT / "deploy/compose.yaml", ROOT / "deploy/nginx.conf"]
SETTINGS = {knob.metadata["env"] for knob in Settings.__dataclass_fields__.values()}
FOREIGN_VARIABLES = {
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "OPENAI_API_KEY"),
    *("POSTGRES_PASSWORD", "POSTGRES_USER", "POSTGRES_DB", "VALKEY_PASSWORD"),
    *("GUNICORN_CMD_ARGS", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PATH"),
    *("PARLEY_URL", "PARLEY_API_KEY"),  # scripts/batch.py and scripts/verify.py
    *("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_BSP_MAX_QUEUE_SIZE"),
    *("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"),  # OpenTelemetry's SDK
    "ON_ERROR_STOP",  # psql
    *("REGISTRY_USER", "REGISTRY_PASSWORD"),  # .github/workflows/ci.yaml
    *("PARLEY_SEED", "PARLEY_CHAOS", "PARLEY_BATCH", "PARLEY_OLD"),  # tests/chaos and the long forms of experiments
}
"""Named in the documentation, and read by somebody else."""

NO_SERVERS = {"DATABASE_URL": "postgresql://x@127.0.0.1:1/x", "REDIS_URL": "redis://127.0.0.1:1/0"}
PRINT_OPENAPI = f"""
import json
from api.app import create_app
from models.settings import from_environment
print(json.dumps(create_app(from_environment({NO_SERVERS!r})).test_client().get("/api/openapi.json").get_json()))
"""


@functools.cache
def routes() -> set[tuple[str, str]]:
    """``(method, path)`` of the OpenAPI document; in a process of its own, for an application binds `Session`."""
    printed = subprocess.run([sys.executable, "-c", PRINT_OPENAPI], cwd=ROOT, capture_output=True, check=True).stdout
    methods = ("get", "post", "put", "patch", "delete")
    return {
        (method.upper(), path)
        for path, item in json.loads(printed)["paths"].items()
        for method in item
        if method in methods
    }


def page(name: str) -> str:
    """The text of a page below docs."""
    return (ROOT / "docs" / name).read_text()


def section(text: str, title: str) -> str:
    """What stands under a heading, sub-sections included."""
    level, _, rest = re.split(rf"^(#+) {re.escape(title)}(\n)", text, maxsplit=1, flags=re.MULTILINE)[1:]
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of every row of every table, heads left out."""
    table = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    heads = [row for row, below in itertools.pairwise(table) if _is_rule(below)]
    return [row for row in table if not _is_rule(row) and row not in heads]


def _is_rule(row: list[str]) -> bool:
    return all(re.fullmatch(r":?-+:?", cell) for cell in row)


def words_in(cell: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", cell)


def headings(text: str) -> list[str]:
    """The titles of a page, in order."""
    return re.findall(r"^#+ (.+)$", without_code(text), flags=re.MULTILINE)


def without_code(text: str) -> str:
    """A page less its code blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def blocks(language: str) -> list[Any]:
    """Every code block of a language, named by its page and number."""
    block = re.compile(rf"^ *```{language}\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
    return [
        pytest.param(textwrap.dedent(text), id=f"{path.relative_to(ROOT)}-{number}")
        for path in PAGES
        for number, text in enumerate(block.findall(path.read_text()))
    ]


def nodes(*folders: str) -> Iterator[ast.AST]:
    """Every node of the Python below some folders."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield from ast.walk(ast.parse(path.read_text()))


def constant(node: ast.AST | None) -> str | None:
    """A string literal's value."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def literal_codes(*folders: str) -> set[str]:
    """Values that stand beside the word ``code``: as an argument, a key's value, the first of a maker of refusals."""
    found: set[str | None] = set()
    for node in nodes(*folders):
        if isinstance(node, ast.Call):
            found.update(constant(keyword.value) for keyword in node.keywords if keyword.arg == "code")
            if isinstance(node.func, ast.Name) and node.func.id in ("_bad", "_refused", "_forbidden"):
                found.add(constant(node.args[0]))
        if isinstance(node, ast.Dict):
            found.update(
                constant(value) for key, value in zip(node.keys, node.values, strict=True) if constant(key) == "code"
            )
    return {code for code in found if code}


def refusals() -> set[type[errors.Refusal]]:
    """Everything the domain refuses."""
    known = [refusal for module in (errors, account_errors, ai_errors) for refusal in vars(module).values()]
    return {each for each in known if isinstance(each, type) and issubclass(each, errors.Refusal)} - {errors.Refusal}


def test_every_route_has_a_heading_in_the_http_reference_and_every_heading_a_route() -> None:
    """Under it stands what it takes and answers."""
    titles = headings(page("reference/http-api.md"))

    found = {(method, path) for title in titles for method, path in re.findall(r"^([A-Z]+) (/\S+)$", title)}

    assert found == routes()


def test_every_error_code_of_the_api_stands_in_the_http_reference_with_its_status() -> None:
    """A client's author finds what to do; and no code is documented that never comes."""
    table = rows(section(page("reference/http-api.md"), "Errors"))
    documented = {words_in(code)[0]: status for code, status, *_ in table if status.isdigit() or status == "any other"}
    by_status = {code: str(status) for status, code in CODE_OF.items()}
    refused = {refusal.code: str(status) for refusal, status in STATUS_OF.items()}

    assert set(documented) == {*by_status, *refused, *literal_codes("api"), "error"}
    assert {**documented, **by_status, **refused} == documented


def test_every_refusal_has_a_status() -> None:
    """One without would be a 500."""
    assert set(STATUS_OF) == refusals()


def test_every_code_of_a_field_stands_in_the_http_reference() -> None:
    """They are written ``code: Sentence`` in the schemas."""
    written = {
        match[1]
        for node in nodes("api")
        if (text := constant(node)) and (match := re.match(r"([a-z_]+): [A-Z]", text)) and "\n" not in text
    }
    after = section(page("reference/http-api.md"), "Errors").partition("Codes within `errors`")[2]

    assert {words_in(row[0])[0] for row in rows(after)} == written | {"invalid"}


def test_every_status_has_a_heading_among_the_states() -> None:
    """What a client sees can be looked up."""
    states_section = section(page("explanation/state-machine.md"), "The states")

    assert set(headings(states_section)) == {status.value for status in JobStatus}


def test_the_drawing_of_the_state_machine_is_the_codes() -> None:
    """Two drawings would soon be two machines."""
    in_code = re.search(r"\n\n((?: {4}.*\n)+)", states.__doc__ or "")
    in_docs = re.search(r"^```\n(.*?)^```", page("explanation/state-machine.md"), re.MULTILINE | re.DOTALL)

    assert in_code
    assert in_docs
    assert in_docs[1] == "".join(line[4:] for line in in_code[1].splitlines(keepends=True))


def test_the_table_of_moves_has_every_move_and_no_other() -> None:
    """The drawing leaves some out; the table may not."""
    table = rows(section(page("explanation/state-machine.md"), "Every move"))

    documented = {(words_in(source)[0], words_in(target)[0]) for source, target, *_ in table}

    assert documented == {(source.value, target.value) for source, targets in MAY_BECOME.items() for target in targets}


def test_every_outcome_of_an_attempt_is_explained() -> None:
    """They stand in ``attempts`` of every job."""
    table = section(page("explanation/state-machine.md"), "What a client sees").partition("| `outcome` |")[2]

    assert {words_in(row[0])[0] for row in rows(table)} == {outcome.value for outcome in Outcome}


def test_every_code_of_a_provider_is_documented_with_what_becomes_of_the_job() -> None:
    """Retried, snoozed or failed is what the reader wants to know; it follows from the kind."""
    table = rows(section(page("reference/llm-providers.md"), "Failures"))
    documented = {words_in(code)[0]: becomes for code, becomes, *_ in table if words_in(code)}
    verdicts = [verdict for verdict in vars(failures).values() if isinstance(verdict, failures.Verdict)]
    becomes_of = {Kind.TRANSIENT: "retried", Kind.THROTTLED: "snoozed", Kind.PERMANENT: "failed"}
    expected = {verdict.code: becomes_of[verdict.kind] for verdict in verdicts}
    of_the_queue = {"worker_lost", LOST, STOPPING, *(each.code for each in Unanswerable.__subclasses__())}

    assert set(documented) == {*expected, *literal_codes("tasks"), *of_the_queue}
    assert {**documented, **expected} == documented


@pytest.mark.parametrize("path", [*PAGES, *DEPLOYMENT], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_setting_that_is_named_exists(path: pathlib.Path) -> None:
    """A misspelt variable would be set and change nothing."""
    named = set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", path.read_text()))

    assert named <= SETTINGS | FOREIGN_VARIABLES


def test_the_main_settings_of_the_readme_have_their_defaults() -> None:
    """A table that is copied by hand goes stale by hand."""
    defaults = {knob.metadata["env"]: knob.default for knob in Settings.__dataclass_fields__.values()}
    table = rows(section((ROOT / "README.md").read_text(), "Settings"))

    for names, shown, _ in table:
        for name, value in zip(words_in(names), shown.split(", ") * 3, strict=False):
            assert value in (str(defaults[name] or "empty").removesuffix(".0"), "made by `make run`"), name


def test_the_answers_in_the_readme_have_the_fields_of_today() -> None:
    """Whoever compares them with what comes would wonder what is missing."""
    text, decoder = (ROOT / "README.md").read_text(), json.JSONDecoder()
    answers = [decoder.raw_decode(text, match.start())[0] for match in re.finditer(r"^\{", text, re.MULTILINE)]
    jobs = [answer for answer in answers if "attempts" in answer]
    attempts = [attempt for job in jobs for attempt in job["attempts"]]
    letters = [letter for answer in answers for letter in answer.get("items", [])]

    for found, schema in ((jobs, JobSchema), (attempts, AttemptSchema), (letters, DeadLetterSchema)):
        fields = {field.data_key for field in schema().fields.values()}
        assert found
        assert all(set(each) == fields for each in found)


def test_every_invariant_is_explained_in_the_runbook() -> None:
    """A name that comes back broken has to mean something."""
    table = rows(section(page("how-to/operate.md"), "What must never be"))

    assert sorted(name for row in table for name in words_in(row[0])) == sorted(invariants.NAMES)


def test_every_log_event_is_in_the_runbook() -> None:
    """Whoever reads a log at night looks it up there."""
    table = rows(section(page("how-to/operate.md"), "Logs"))

    assert {words_in(row[0])[0] for row in table} == set(logged_events())


def test_every_action_of_the_audit_log_is_explained() -> None:
    """Whoever has to find out who did what looks it up there; and none is explained that is never written."""
    table = rows(section(page("security.md"), "The audit log"))

    assert {words_in(row[0])[0] for row in table} == set(noted_actions())


def noted_actions() -> Iterator[str]:
    """First arguments of whatever writes a note."""
    writers = {"trail.note", "trail.refusal", "oversight.acted_on", "oversight.listed", "_put_on_record"}
    for call in nodes("api", "tasks"):
        if isinstance(call, ast.Call) and ast.unparse(call.func) in writers and (name := constant(call.args[0])):
            yield name


def test_every_named_test_exists() -> None:
    """A checklist that points nowhere proves nothing."""
    named = [name for path in PAGES for name in re.findall(r"`(tests/[\w/.]+\.py::\w+)`", path.read_text())]

    def is_there(name: str) -> bool:
        file, _, test = name.partition("::")
        return (ROOT / file).exists() and f"def {test}(" in (ROOT / file).read_text()

    assert [name for name in named if not is_there(name)] == []
    assert len(named) > 100


def test_every_requirement_has_a_test_or_a_reason() -> None:
    """An empty cell would be a promise without either."""
    checklist = page("reference/asvs.md").partition("## OWASP API")[0]

    for requirement, stands, shown in rows(checklist):
        assert shown, requirement
        if stands == "met":
            assert "::test_" in shown, requirement
        else:
            assert stands in ("partly", "open", "deploy", "said", "page", "n/a"), requirement


def logged_events() -> Iterator[str]:
    """First arguments of ``log.info`` and its kin; where that is a variable, the names in its function."""
    functions = [
        node for node in nodes("api", "models", "tasks") if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    for function in functions:
        for call in ast.walk(function):
            if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("log.") and call.args:
                names = [call.args[0]] if constant(call.args[0]) else ast.walk(function)
                yield from (name for node in names if re.fullmatch(r"[a-z]+(_[a-z]+)+", name := constant(node) or ""))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: pathlib.Path) -> None:
    """To a file that is there, and to a heading that is in it."""
    broken = [link for link in links(path) if not leads_somewhere(path, link)]

    assert broken == []


def links(path: pathlib.Path) -> list[str]:
    """Targets of a page's links that lie in the repository."""
    found: list[str] = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", without_code(path.read_text()))
    return [link for link in found if "://" not in link]


def leads_somewhere(path: pathlib.Path, link: str) -> bool:
    """Whether a link's file and anchor exist."""
    name, _, anchor = link.partition("#")
    target = (path.parent / name).resolve() if name else path
    return target.exists() and (not anchor or anchor in map(slug, headings(target.read_text())))


def slug(title: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_every_page_can_be_reached_from_the_readme() -> None:
    """A page that nobody finds is not documentation."""
    reached, coming = set[pathlib.Path](), [ROOT / "README.md"]
    while coming:
        path = coming.pop()
        if path not in reached and path in PAGES:
            reached.add(path)
            coming += [(path.parent / link.partition("#")[0]).resolve() for link in links(path)]

    assert set(PAGES) - reached == set()


@pytest.mark.parametrize("block", blocks("python"))
def test_python_in_the_documentation_compiles(block: str) -> None:
    """It is there to be copied."""
    compile(block, "documentation", "exec")


@pytest.mark.parametrize("block", blocks("bash"))
def test_bash_in_the_documentation_parses(block: str) -> None:
    """As above."""
    bash = shutil.which("bash") or pytest.skip("there is no bash here")

    checked = subprocess.run([bash, "-n"], input=block, capture_output=True, text=True, check=False)

    assert checked.stderr == ""


@pytest.mark.parametrize("block", blocks("json"))
def test_json_in_the_documentation_parses(block: str) -> None:
    """As above."""
    json.loads(block)


@pytest.mark.parametrize("block", blocks("yaml"))
def test_yaml_in_the_documentation_parses(block: str) -> None:
    """As above."""
    assert list(yaml.safe_load_all(block))


@pytest.mark.parametrize("block", blocks("toml"))
def test_a_table_of_prices_in_the_documentation_is_one(block: str, tmp_path: pathlib.Path) -> None:
    """With a currency, where only a model is shown."""
    (tmp_path / "prices.toml").write_text(block if "currency" in block else f'currency = "USD"\n{block}')

    assert prices.table(str(tmp_path / "prices.toml")).models


def test_every_make_target_that_is_named_exists() -> None:
    """Also those of the readme's first lines."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    said = re.compile(r"(?:^|`|\S=\S+ )make ([a-z-]+)", re.MULTILINE)
    named = {target for path in PAGES for target in said.findall(path.read_text())}

    assert {"run", "test"} <= named <= targets


def test_every_experiment_stands_in_the_page_on_reliability_as_it_is() -> None:
    """In its own words, so that nobody has to say it twice."""
    page = (ROOT / "docs/reliability.md").read_text()

    rows = dict(re.findall(r"^\| ([A-Z]\d+) \| (.*)\. \|$", page, re.MULTILINE))

    assert {name: text[:1].lower() + text[1:] for name, text in rows.items()} == {
        name: one.holds[:1].lower() + one.holds[1:] for name, one in EXPERIMENTS.items()
    }


def test_every_experiment_runs_something_that_exists() -> None:
    """Files that are there, tests with the words it looks for, modules that can be imported."""
    for experiment in EXPERIMENTS.values():
        for words in map(shlex.split, experiment.runs):
            files = [ROOT / word for word in words if word.startswith("tests/")]
            names = " ".join(file.read_text() for file in files)
            chosen = words[words.index("-k") + 1].split(" or ") if "-k" in words else []
            assert [word for word in chosen if word not in names] == [], words
            assert files or (ROOT / words[1].replace(".", "/")).with_suffix(".py").exists() or words[1] == "tests.chaos"


def test_the_readme_names_the_pythons_that_run_py_accepts() -> None:
    """Whoever has another learns it before trying."""
    oldest, newest = (".".join(map(str, version)) for version in (run.OLDEST, run.NEWEST))

    assert f"CPython {oldest} to {newest}" in (ROOT / "README.md").read_text()


@functools.cache
def compose() -> dict[str, Any]:
    """The compose file, aliases resolved."""
    parsed: dict[str, Any] = yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())
    return parsed


def as_module(command: tuple[str, ...]) -> list[str]:
    """How `local.processes` runs a command, less the interpreter's path."""
    return ["python", "-m", *command]


def test_the_services_of_compose_run_what_the_launcher_runs() -> None:
    """One truth about command lines, kept by the launcher."""
    services = compose()["services"]

    ours = {name: service["command"] for name, service in services.items() if service["image"] == "parley"}

    expected = {name: as_module(command) for name, command in COMMANDS.items()}
    assert ours == {**expected, "migrate": as_module(MIGRATION)}
    assert {name: service["image"] for name, service in services.items() if name not in ours} == {
        "nginx": "nginx:1.29",
        "postgres": "postgres:18",
        "valkey": "valkey/valkey:9",
    }


def test_the_command_lines_of_the_deployment_guide_are_the_launchers() -> None:
    """In its table; those of systemd's units are looked at by tests/test_systemd.py."""
    text = page("how-to/deploy.md")
    table = {cells[0]: shlex.split(words_in(cells[1])[0]) for cells in rows(section(text, "What runs"))}

    expected = {name: as_module(command) for name, command in COMMANDS.items()} | {"migration": as_module(MIGRATION)}
    assert table == expected


def test_compose_publishes_the_port_of_nginx_and_no_other() -> None:
    """And that one to this machine only: TLS is for whatever stands in front."""
    published = {name: service["ports"] for name, service in compose()["services"].items() if "ports" in service}

    assert published == {"nginx": ["127.0.0.1:8000:8080"]}


def test_nginx_finds_two_of_each_where_compose_runs_them() -> None:
    """Sockets go to the gateways, everything else to the apis; browsers are told so."""
    services, nginx = compose()["services"], (ROOT / "deploy/nginx.conf").read_text()
    upstreams = dict(re.findall(r"upstream (\w+) \{[^}]*?server (\S+) resolve;", nginx))
    places = dict(re.findall(r"location (?:= )?(\S+) \{\s*proxy_pass http://(\w+);", nginx))

    assert {place: upstreams[upstream] for place, upstream in places.items()} == {
        "/ws": f"gateway:{Settings().own_gateway_port}",
        "/": f"api:{Settings().port}",
    }
    for name in ("api", "gateway"):
        assert services[name]["deploy"] == {"replicas": 2}
        assert services[name]["environment"]["GATEWAY_URL"] == "/ws"
        assert services[name]["environment"]["TRUSTED_PROXIES"] == "1"


def test_nginx_says_in_each_place_who_calls_and_which_host_was_asked() -> None:
    """A location with a header of its own has none of its server's; `tests/test_front.py` looks at what arrives."""
    nginx = (ROOT / "deploy/nginx.conf").read_text()
    places = [place for place in re.findall(r"location [^{]*\{([^}]*)\}", nginx) if "proxy_pass" in place]
    said = {
        "Host": "$http_host",
        "X-Forwarded-For": "$proxy_add_x_forwarded_for",
        "X-Forwarded-Proto": "$schemes",
    }

    assert len(places) == 2
    for place in places:
        assert said.items() <= dict(re.findall(r"proxy_set_header (\S+) (\S+);", place)).items()


def test_nginx_keeps_the_metrics_inside() -> None:
    """They have a token of their own; and through nginx one would get those of any one api."""
    nginx = (ROOT / "deploy/nginx.conf").read_text()

    assert re.search(r"location = /metrics \{\s*return 404;\s*\}", nginx)


def test_compose_demands_its_secrets() -> None:
    """A forgotten one must stop it, not become an empty password."""
    text = (ROOT / "deploy/compose.yaml").read_text()

    uses = re.findall(r"(?<!\$)\$\{(\w+)([^}]*)\}", text)

    assert {name for name, _ in uses} >= {"POSTGRES_PASSWORD", "VALKEY_PASSWORD", "ADMIN_TOKEN", "METRICS_TOKEN"}
    assert all(rest.startswith(":?") for name, rest in uses if not name.startswith("LLM_"))


def test_compose_restarts_everything_and_gives_it_time_to_stop() -> None:
    """A worker writes for up to 5 s after its grace."""
    services = {name: service for name, service in compose()["services"].items() if name != "migrate"}
    settings = [service["environment"] for service in services.values() if service["image"] == "parley"]
    grace = Settings().stop_grace_seconds

    assert {service["restart"] for service in services.values()} == {"always"}
    assert all(set(environment) <= SETTINGS for environment in settings)
    for name in COMMANDS:
        assert float(services[name]["stop_grace_period"].removesuffix("s")) > grace + 5
        assert float(services[name]["environment"]["STOP_GRACE_SECONDS"]) == grace


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile, continued lines joined, comments left out."""
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in whole.splitlines() if line)]


def test_the_image_installs_what_production_needs_and_nothing_else() -> None:
    """Neither the embedded servers nor the test tools belong on a server."""
    installed = [rest for word, rest in instructions() if word == "RUN" and "pip" in rest]

    assert len(installed) == 1
    assert re.findall(r"(\S+)-r (\S+)", installed[0]) == [("${TRACES:+", "requirements-traces.txt}")]
    assert re.findall(r" -r (\S+)", installed[0]) == ["requirements.txt"]
    assert ("ARG", "TRACES=") in instructions()
    assert "--require-hashes" in installed[0]


def test_the_image_holds_the_product_and_nothing_else() -> None:
    """What is copied exists, passes .dockerignore, and is no tool of this machine."""
    copied = [
        shlex.split(rest)[:-1] for word, rest in instructions() if word == "COPY" and not rest.startswith("--from")
    ]
    names = {name.rstrip("/") for sources in copied for name in sources}
    ignored, *allowed = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]

    assert all((ROOT / name).exists() for name in names)
    assert ignored == "*"
    assert {line.removeprefix("!") for line in allowed if line.startswith("!")} == names
    assert names >= {"api", "models", "tasks", "static", "migrations", "wsgi.py", "celeryconfig.py", "gunicorn.conf.py"}
    assert not names & {"local", "tests", "run.py", "benchmarks", "scripts"}


def test_the_image_runs_the_api_unless_told_otherwise() -> None:
    """As nobody in particular, in production, for all addresses, and stops by SIGTERM."""
    said = dict(instructions())
    environment = dict(pair.split("=", 1) for pair in shlex.split(said["ENV"]))

    assert json.loads(said["CMD"]) == as_module(COMMANDS["api"])
    assert said["USER"] not in ("root", "0")
    assert said["STOPSIGNAL"] == "SIGTERM"
    assert (environment["ENVIRONMENT"], environment["HOST"]) == ("production", "0.0.0.0")
    assert set(environment) <= SETTINGS | FOREIGN_VARIABLES
    assert "/health'" in said["HEALTHCHECK"]


@pytest.mark.parametrize("path", [*PAGES, *DEPLOYMENT], ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_tells_of_the_machine_it_was_written_on(path: pathlib.Path) -> None:
    """Paths and package mirrors of one machine are noise on every other."""
    local = re.compile(r"(?<![\w.])/(?:work|root|home|Users)/|index-url|://[^\s)]*pypi|registry\.|\w\.io/")

    assert local.findall(path.read_text()) == []


@pytest.mark.parametrize("path", sorted((ROOT / "docs/decisions").glob("0*.md")), ids=lambda path: path.stem)
def test_a_decision_has_its_number_and_its_three_parts(path: pathlib.Path) -> None:
    """Context, decision, consequences; and the index has its title."""
    title, *parts = headings(path.read_text())

    number, _, sentence = title.partition(": ")
    assert path.name.startswith(f"{number}-")
    assert parts == ["Context", "Decision", "Consequences"]
    assert f"| [{number}]({path.name}) | {sentence} |" in page("decisions/README.md")
