"""What operators and scripts are told to type does what its page says."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import pytest

from tests.system.recipes import MAKE_RUN, block, shell
from tests.system.stack import OPERATOR, Stack

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.outage]
SETTINGS = {"ALLOW_GUESTS": "true", "REGISTRATION": "open"}
ALSO = ("worker-batch",)
ACCOUNTS, BATCHES, DASHBOARD, DEPLOY, OPERATE = (
    f"docs/how-to/{name}.md" for name in ("accounts", "batches", "dashboard", "deploy", "operate")
)
HTTP_API, METRICS = "docs/reference/http-api.md", "docs/reference/metrics.md"
SOME_JOB = "d5628af8-e62e-4224-92a5-9bb2c950224c"


def documents(answers: str) -> list[Any]:
    """JSON, one after the other."""
    found, decoder, text = [], json.JSONDecoder(), answers.strip()
    while text:
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:].lstrip()
    return found


def test_what_operators_are_told_to_type(stack: Stack, tmp_path: pathlib.Path) -> None:
    """Dead letters are shown, done again and put away; somebody becomes an admin; figures and invariants are read."""
    first, second = (stack.finished(stack.create("[[status=400]] [[fail=9]] No"))["jobId"] for _ in range(2))
    letters = block(OPERATE, "bash", "api/dead-letters")
    *looks, redrive, discard = letters.splitlines(keepends=True)

    assert_it_makes_an_admin(stack, shell(stack, tmp_path, block(ACCOUNTS, "bash", "/invitations")))
    listed, one = documents(shell(stack, tmp_path, "".join(looks), job=first))
    assert {letter["jobId"] for letter in listed["items"]} == {first, second}
    assert one["jobId"] == first
    heads = "".join(looks[:3])
    shell(stack, tmp_path, heads + redrive, job=first)
    shell(stack, tmp_path, heads + discard, job=second)
    assert stack.finished(first)["failures"] == 1
    assert stack.job(second)["discardedAt"]
    assert "parley_jobs_moved_total" in shell(stack, tmp_path, block(METRICS, "bash", "/metrics"))
    assert "<dl" in shell(stack, tmp_path, block(DASHBOARD, "bash", "/dashboard/numbers"))
    invariants = block(OPERATE, "bash", "/api/invariants").partition("\n")[2]
    assert documents(shell(stack, tmp_path, invariants))


def assert_it_makes_an_admin(stack: Stack, printed: str) -> None:
    """Who signs in with what stands last."""
    account, last = printed.splitlines()
    username, password = last.split(": ")
    _, signed_in = stack.request("POST", "/api/auth/login", {"username": username, "password": password})
    assert (signed_in["user"]["userId"], signed_in["user"]["role"]) == (json.loads(account)["userId"], "admin")


def test_what_the_guide_to_a_deployment_says_of_the_first_account(stack: Stack, tmp_path: pathlib.Path) -> None:
    """The same, with the token that Compose was given. Without an invitation nobody would come in."""
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy/.env").write_text(f"POSTGRES_PASSWORD=x\nADMIN_TOKEN={OPERATOR}\n")
    own, _, rest = block(ACCOUNTS, "bash", "/invitations").partition("json=")
    typed = block(DEPLOY, "bash", "deploy/.env)") + f"username=ben\njson={rest.replace('username=ann ', '')}"

    assert own.count("=") == 2
    assert_it_makes_an_admin(stack, shell(stack, tmp_path, typed))


def test_what_scripts_are_told_to_type(stack: Stack, tmp_path: pathlib.Path) -> None:
    """With a key, to the batch routes as a guest."""
    (tmp_path / "prompts.txt").write_text("Why is the sky blue?\nAnd at night?\n")
    (tmp_path / "prompts.jsonl").write_text('{"message": "Why is the sky blue?"}\n')
    key, _ = stack.key("jobs:read", "jobs:write")

    with_key = block(ACCOUNTS, "bash", "export PARLEY_API_KEY").replace("parley_…", key)
    shell(stack, tmp_path, with_key.replace("python3 ", f"PARLEY_URL={MAKE_RUN} python3 "))
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 2
    (tmp_path / "results.jsonl").unlink()
    shell(stack, tmp_path, block(BATCHES, "bash", "export PARLEY_URL").replace("parley_...", key))
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 2
    (tmp_path / "results.jsonl").unlink()
    later, _, _ = block(BATCHES, "bash", "--no-wait").partition("generate |")
    shell(stack, tmp_path, f"export PARLEY_URL={MAKE_RUN} PARLEY_API_KEY={key}\n{later}")
    assert len((tmp_path / "results.jsonl").read_text().splitlines()) == 2

    typed = block(BATCHES, "bash", "letters-1")
    head, asks = typed.split("\n\n")[0], typed[typed.index("curl -s $api/$batch ") :]
    posts = typed.removeprefix(head).removesuffix(asks)
    of_json, of_lines = documents(shell(stack, tmp_path, f"{head}\n{posts}"))
    assert (of_json["total"], of_lines["total"]) == (2, 1)
    progress, *results, retried, cancelled = documents(
        shell(stack, tmp_path, f"{head}\n{asks}", batch=of_json["batchId"])
    )
    assert progress["total"] == len(results) == 2
    assert (retried["batchId"], cancelled["batchId"]) == (of_json["batchId"],) * 2


def test_the_polls_of_the_reference(stack: Stack, tmp_path: pathlib.Path) -> None:
    """Long polls, one of them with what was seen before, and the stream of a job's events."""
    job_id = stack.create("[[latency-ms=300]] Hello")

    def said(words: str) -> str:
        return shell(stack, tmp_path, block(HTTP_API, "bash", words).replace(SOME_JOB, job_id))

    assert documents(said("wait=60"))[0]["status"] == "completed"
    assert documents(said("If-None-Match"))[0]["status"] == "completed"
    assert "event: " in said("curl -N")
