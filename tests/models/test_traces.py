"""Traces: what is read of a header, what is imported, and that nobody waits for a collector."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from structlog.testing import capture_logs

from models import otlp, traces
from models.traces import Parent
from tests.conftest import ROOT, Servers

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


class Taker(SpanExporter):
    """Takes spans, or does not."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []
        self.result = SpanExportResult.SUCCESS
        self.asked, self.works = threading.Event(), threading.Event()
        self.works.set()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep them."""
        self.asked.set()
        self.works.wait()
        self.spans += spans
        return self.result


@pytest.fixture
def taker(monkeypatch: pytest.MonkeyPatch) -> Iterator[Taker]:
    """Where this process's spans go."""
    mine = Taker()
    monkeypatch.setattr(traces._Process, "maker", otlp.Maker(process="test", exporter=mine))
    yield mine
    mine.works.set()
    traces.end()
    traces.carry(None)


@pytest.mark.parametrize(
    ("said", "flags"),
    [
        (GOOD, 1),
        (f"00-{TRACE}-{SPAN}-00", 0),
        (f"00-{TRACE}-{SPAN}-03", 3),
        (f"00-{TRACE}-{SPAN}-ff", 3),
        (f"01-{TRACE}-{SPAN}-01", 1),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", 1),
    ],
)
def test_a_context_is_read_as_w3c_writes_it(said: str, flags: int) -> None:
    """Flags that nobody has given a meaning are not handed on."""
    assert traces.parsed(said) == Parent(int(TRACE, 16), int(SPAN, 16), flags)


@pytest.mark.parametrize(
    "said",
    [
        None,
        "",
        "00",
        GOOD.upper(),
        GOOD + "\n",
        " " + GOOD,
        GOOD + "-",
        GOOD + "-more",
        GOOD + ", " + GOOD,
        f"ff-{TRACE}-{SPAN}-01",
        f"01-{TRACE}-{SPAN}-01more",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}0-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE[1:]}g-{SPAN}-01",
        f"00-{TRACE[1:]}\N{ARABIC-INDIC DIGIT ONE}-{SPAN}-01",
        f"00_{TRACE}_{SPAN}_01",
        "' OR 1=1 --",
        "0" * 10_000,
    ],
)
def test_what_is_no_context_is_none(said: str | None) -> None:
    """W3C: a trace that cannot be read is not gone on with, and nobody is refused for it."""
    assert traces.parsed(said) is None


def test_a_span_belongs_to_its_parents_trace_and_says_so_to_those_that_follow(taker: Taker) -> None:
    """In this process and in others."""
    outer = traces.start("outer", kind="SERVER", parent=GOOD, facts={"here": 1, "not": None})
    inner = outer.child("inner", kind="CLIENT", facts={})
    for span in (inner, outer):
        span.end()
    traces.end()

    assert [span.name for span in taker.spans] == ["inner", "outer"]
    assert {f"{span.context.trace_id:032x}" for span in taker.spans if span.context} == {TRACE}
    assert [f"{span.parent.span_id:016x}" for span in taker.spans if span.parent] == [
        str(outer.traceparent).split("-")[2],
        SPAN,
    ]
    assert traces.parsed(outer.traceparent) is not None
    assert dict(taker.spans[1].attributes or {}) == {"here": 1}


def test_a_trace_that_its_caller_does_not_sample_is_handed_on_and_not_sent(taker: Taker) -> None:
    """The next process must not sample half of it."""
    span = traces.start("quiet", kind="SERVER", parent=f"00-{TRACE}-{SPAN}-00", facts={})
    span.end()
    traces.end()

    assert str(span.traceparent).startswith(f"00-{TRACE}-")
    assert str(span.traceparent).endswith("-00")
    assert taker.spans == []


def test_lines_of_a_trace_say_which(taker: Taker) -> None:
    """As long as it is carried."""
    traces.start("one", kind="SERVER", parent=GOOD, facts={}).carry()

    assert traces._facts() == {"trace_id": TRACE}
    traces.carry(None)
    assert traces._facts() == {}


def test_nobody_waits_for_a_collector_that_hangs(taker: Taker) -> None:
    """Neither who ends a span nor who ends the process."""
    taker.works.clear()
    for _ in range(3000):  # more than the queue holds
        traces.start("one", kind="SERVER", parent=None, facts={}).end()
    assert taker.asked.wait(30)

    traces.end(seconds=0.1)

    assert "last spans" in {thread.name for thread in threading.enumerate()}, "it was not waited for"
    assert taker.spans == []
    assert not traces.is_on()


def test_a_collector_that_is_down_is_counted_and_said_once(taker: Taker) -> None:
    """And said again when it is back."""
    sender = otlp.Sender(taker)
    counted = {result: otlp.SPANS.labels(result)._value.get() for result in ("sent", "failed")}
    one: list[ReadableSpan] = [ReadableSpan("one")]
    with capture_logs() as lines:
        for result in (SpanExportResult.FAILURE, SpanExportResult.FAILURE, SpanExportResult.SUCCESS):
            taker.result = result
            sender.export(one)

    assert [line["event"] for line in lines] == ["traces_not_sent", "traces_sent_again"]
    assert otlp.SPANS.labels("failed")._value.get() == counted["failed"] + 2
    assert otlp.SPANS.labels("sent")._value.get() == counted["sent"] + 1


@pytest.mark.parametrize(("environ", "name"), [({}, "parley-worker"), ({"OTEL_SERVICE_NAME": "ours"}, "ours")])
def test_a_process_has_a_name_of_its_own_or_the_operators(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], name: str
) -> None:
    """OpenTelemetry's own variable decides."""
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)

    facts = otlp._resource("worker").attributes

    assert (facts["service.name"], facts["parley.process"]) == (name, "worker")


# redis-py looks for OpenTelemetry's metrics by itself, so those may be there; what makes and sends spans is not.
LOOK = """
import sys
import tasks.dispatcher, tasks.replies, api.gateway.server, wsgi
from models import settings, traces
traces.begin(settings.current(), process="test")
parts = ("google", "models.otlp", "opentelemetry.exporter", "opentelemetry.sdk.trace")
print(traces.is_on(), [part for part in parts if part in sys.modules])
"""


def test_off_nothing_of_it_is_imported_and_a_span_is_nothing(servers: Servers) -> None:
    """Whoever does not want traces pays nothing for them."""
    assert traces.start("one", kind="SERVER", parent=GOOD, facts={}) is traces.NOTHING
    assert traces.NOTHING.child("two", kind="CLIENT", facts={}).traceparent is None
    assert looked(servers) == "False []"


def test_on_it_is(servers: Servers) -> None:
    """What the test above looks for can be found."""
    every = "['google', 'models.otlp', 'opentelemetry.exporter', 'opentelemetry.sdk.trace']"
    assert looked(servers, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9") == f"True {every}"


def looked(servers: Servers, **ours: str) -> str:
    return run(LOOK, servers, **ours).stdout.strip()


def run(code: str, servers: Servers, **ours: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", **servers.environment, **ours}
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in ran.stderr, ran.stderr
    return ran


WITHOUT = """
import sys
sys.modules["opentelemetry"] = None
from models import settings
settings.current_or_exit()
"""


def test_a_process_without_the_library_says_what_to_install(servers: Servers) -> None:
    """Only where it is wanted."""
    plain = run(WITHOUT, servers)
    wanted = run(WITHOUT, servers, OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4318")

    assert (plain.returncode, plain.stderr) == (0, "")
    assert wanted.returncode == 1
    assert wanted.stderr.startswith("OTEL_EXPORTER_OTLP_ENDPOINT: is set, but OpenTelemetry is not installed; ")
    assert wanted.stderr.endswith("-r requirements-traces.txt\n")
