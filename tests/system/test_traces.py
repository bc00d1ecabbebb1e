"""One trace from the POST to the end of the job, through real processes; and a collector that does not answer."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

import pytest

from tests.collector import Collector
from tests.conftest import Servers
from tests.fake_llm import FakeLLM
from tests.system.stack import ENOUGH, Stack, eventually

pytestmark = pytest.mark.xdist_group("people")

TRACE_ID, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SECRET = "What my doctor said"
# Milliseconds after which the SDK sends what has gathered, and seconds that it gives the collector.
AT_THE_END = {"OTEL_BSP_SCHEDULE_DELAY": "600000"}
AT_ONCE = {"OTEL_BSP_SCHEDULE_DELAY": "20"}
IMPATIENTLY = {**AT_ONCE, "OTEL_EXPORTER_OTLP_TIMEOUT": "0.5"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    """One that takes what comes."""
    with Collector() as server:
        yield server


@pytest.fixture
def stack(
    request: pytest.FixtureRequest, tmp_path: pathlib.Path, worker_id: str, llm: FakeLLM, collector: Collector
) -> Iterator[Stack]:
    """Real processes that send traces."""
    servers = Servers(worker_id, purpose="_traces")
    servers.erase_redis()
    ours = {
        "LLM_BASE_URL": llm.base_url,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "NO_PROXY": "*",
        "STOP_GRACE_SECONDS": "10",  # a slow machine gets the time to send its last spans
        **request.param,
    }
    mine = Stack(tmp_path, servers, ours)
    try:
        mine.start_all()
        yield mine
    finally:
        collector.works.set()
        mine.close()
        servers.drop()


@pytest.mark.parametrize("stack", [AT_THE_END], indirect=True)
def test_one_trace_joins_the_post_its_attempts_and_their_calls(
    stack: Stack, collector: Collector, llm: FakeLLM
) -> None:
    """The caller's own. Nothing was sent before, so each process also proves that it sends its last spans."""
    status, made = stack.request(
        "POST",
        "/api/jobs",
        {"message": f"[[fail=1]] {SECRET}"},
        traceparent=f"00-{TRACE_ID}-{CALLER}-01",
    )
    assert status == 201
    job = stack.finished(made["jobId"])
    for name in ENOUGH:
        stack.terminate(name)

    assert job["status"] == "completed"
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["retried", "completed"]
    mine = [span for span in collector.spans if span.trace_id == TRACE_ID]
    (post,) = collector.named("POST")
    first, second = sorted(collector.named("attempt"), key=lambda span: span.facts["parley.attempt"])
    failed, answered = sorted(collector.named("chat"), key=lambda span: not span.is_error)
    announced = collector.named("announce")
    assert {span.service for span in mine} == {"parley-api", "parley-dispatcher", "parley-worker"}
    assert collector.spans == mine
    assert (post.name, post.parent_id) == ("POST /api/jobs", CALLER)
    assert post.facts == {
        "http.request.method": "POST",
        "http.route": "/api/jobs",
        "http.response.status_code": 201,
    }
    assert len(announced) >= 2
    assert {span.parent_id for span in (first, second, *announced)} == {post.span_id}
    assert {span.facts["parley.job.id"] for span in (first, second, *announced)} == {made["jobId"]}
    assert (first.is_error, first.facts["parley.outcome"], first.facts["parley.failures"]) == (True, "retried", 0)
    assert (second.is_error, second.facts["parley.outcome"], second.facts["parley.failures"]) == (False, "completed", 1)
    assert (failed.parent_id, answered.parent_id) == (first.span_id, second.span_id)
    assert failed.facts["error.type"] == first.facts["error.type"] == job["attempts"][0]["errorCode"]
    assert answered.facts == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "fake-model",
        "gen_ai.response.model": "fake-model",
        "gen_ai.usage.input_tokens": job["usage"]["promptTokens"],
        "gen_ai.usage.output_tokens": job["usage"]["completionTokens"],
    }
    assert not [body for body in collector.bodies if SECRET.encode() in body]
    assert not [one for one in llm.stats()["recent"] if "traceparent" in one["headers"]]
    assert f'"trace_id": "{TRACE_ID}"' in line_of(stack, "api", "job_created")
    assert f'"trace_id": "{TRACE_ID}"' in line_of(stack, "worker", "provider_failed")


@pytest.mark.parametrize("stack", [IMPATIENTLY], indirect=True)
def test_a_collector_that_hangs_costs_no_job(stack: Stack, collector: Collector) -> None:
    """It is said when it falls silent and when it is back; a process that stops does not wait for it."""
    collector.works.clear()
    during = stack.finished(stack.create("Nobody takes my spans"))
    eventually(lambda: line_of(stack, "worker", "traces_not_sent"))
    assert stack.finished(stack.create("Nor mine"))["status"] == "completed"
    collector.works.set()
    eventually(lambda: stack.finished(stack.create("Mine")) and line_of(stack, "worker", "traces_sent_again"))
    collector.works.clear()
    last = stack.finished(stack.create("And gone"))
    for name in ENOUGH:
        stack.terminate(name)

    assert (during["status"], last["status"]) == ("completed", "completed")
    assert "opentelemetry" not in (stack.folder / "worker.log").read_text()


@pytest.mark.outage
@pytest.mark.parametrize("stack", [AT_ONCE], indirect=True)
def test_a_killed_worker_and_an_erased_redis_do_not_break_a_trace(
    stack: Stack, collector: Collector, llm: FakeLLM
) -> None:
    """What the dead worker had not sent is missing; the next attempt says that one was lost."""
    llm.script({"hang": "before"})
    _, made = stack.request("POST", "/api/jobs", {"message": "Again"}, traceparent=f"00-{TRACE_ID}-{CALLER}-01")
    eventually(lambda: stack.job(made["jobId"])["status"] == "analyzing")
    stack.kill("worker")
    stack.servers.erase_redis()
    stack.start("worker")
    stack.finished(made["jobId"])
    (post,) = eventually(lambda: collector.named("POST"))
    (attempt,) = eventually(lambda: collector.named("attempt"))

    assert (attempt.trace_id, attempt.parent_id) == (TRACE_ID, post.span_id)
    assert (attempt.facts["parley.attempt"], attempt.facts["parley.lost"]) == (2, 1)
    assert attempt.facts["parley.outcome"] == "completed"


def line_of(stack: Stack, name: str, event: str) -> str:
    log = (stack.folder / f"{name}.log").read_text()
    return next((line for line in log.splitlines() if f'"event": "{event}"' in line), "")
