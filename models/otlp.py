"""OTLP: spans as OpenTelemetry's SDK makes them, and sends them over HTTP. Imported by `models.traces` alone.

How many wait, how long one attempt to send them takes, which traces are sampled: that is the SDK's, and it reads
`OTEL_BSP_*`, `OTEL_EXPORTER_OTLP_*` and `OTEL_TRACES_SAMPLER` itself. By default 2,048 spans wait, the oldest are
dropped beyond that, and sending takes 10 s at most, in a thread of its own (a greenlet under gunicorn).

A collector that is down is said once, and counted: the SDK would write a line for each batch.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from models import heartbeats, logs, metrics, traces
from models.traces import Facts, Kind, Parent

SPANS = metrics.counter("parley_trace_spans_total", "Spans that ended, were sent, or could not be.", "result")
UNNAMED = "unknown_service"
"""How the SDK calls what nobody has named."""

log = logs.logger()


class Span(traces.Span):
    """One that is made. Of a trace that is not sampled it only hands its context on."""

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer, self._span = tracer, span
        context = span.get_span_context()
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def note(self, facts: Facts) -> None:
        """Add these facts."""
        self._span.set_attributes(_known(facts))

    def failed(self, code: str) -> None:
        """It came to nothing."""
        self._span.set_attribute("error.type", code)
        self._span.set_status(Status(StatusCode.ERROR))

    def child(self, name: str, *, kind: Kind, facts: Facts) -> Span:
        """Begin a part of it."""
        return _started(self._tracer, name, kind=kind, parent=self._span, facts=facts)

    def carry(self) -> None:
        """What this thread stores and logs from now on belongs to it."""
        traces.carry(self.traceparent)

    def end(self) -> None:
        """It is over."""
        self._span.end()


class Maker:
    """Makes the spans of one process.

    Raises:
        ValueError: one of the SDK's own settings is refused by it.
    """

    def __init__(self, *, process: str, exporter: SpanExporter | None = None) -> None:
        # Before anything of it can speak.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        # Not until the process ends, as it would like to: `end` has a bound.
        self._provider = TracerProvider(resource=_resource(process), shutdown_on_exit=False)
        self._provider.add_span_processor(_Counted(Sender(exporter or OTLPSpanExporter())))
        self._tracer = self._provider.get_tracer("parley")

    def start(self, name: str, *, kind: Kind, parent: Parent | None, facts: Facts) -> Span:
        """Begin a span: of its parent's trace, or of a new one."""
        return _started(self._tracer, name, kind=kind, parent=None if parent is None else _remote(parent), facts=facts)

    def end(self, *, seconds: float) -> None:
        """Send what is left. A collector that does not answer is left to a thread that ends with the process."""
        last = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        last.start()
        last.join(seconds)


def _started(tracer: trace.Tracer, name: str, *, kind: Kind, parent: trace.Span | None, facts: Facts) -> Span:
    # INVALID_SPAN and not None: that would be whatever some library has made the present one.
    context = trace.set_span_in_context(trace.INVALID_SPAN if parent is None else parent)
    return Span(tracer, tracer.start_span(name, context=context, kind=SpanKind[kind], attributes=_known(facts)))


def _remote(parent: Parent) -> trace.Span:
    return NonRecordingSpan(
        SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=TraceFlags(parent.flags))
    )


def _known(facts: Facts) -> dict[str, str | int | float | bool]:
    return {name: fact for name, fact in facts.items() if fact is not None}


def _resource(process: str) -> Resource:
    resource = Resource.create({SERVICE_INSTANCE_ID: heartbeats.name_of_this_process(), "parley.process": process})
    if str(resource.attributes[SERVICE_NAME]).startswith(UNNAMED):
        resource = resource.merge(Resource({SERVICE_NAME: f"parley-{process}"}))
    return resource


class _Counted(BatchSpanProcessor):
    """What has ended and is neither sent nor refused was dropped, or waits."""

    def on_end(self, span: ReadableSpan) -> None:
        """Put it into the queue."""
        if span.context is not None and span.context.trace_flags.sampled:
            SPANS.labels("ended").inc()
        super().on_end(span)


class Sender(SpanExporter):
    """Another exporter, counted, whose failures are said when they begin and when they end."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter, self._fails = exporter, False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send these. What could not be sent is not tried again: newer ones come."""
        result = self._sent(spans)
        fails = result is not SpanExportResult.SUCCESS
        SPANS.labels("failed" if fails else "sent").inc(len(spans))
        if fails != self._fails:
            self._fails = fails
            if fails:
                log.warning("traces_not_sent", spans=len(spans))
            else:
                log.info("traces_sent_again")
        return result

    def _sent(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            return self._exporter.export(spans)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next batch is tried, too
            log.debug("traces_failed", error=type(error).__name__)
            return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Give up what is under way."""
        self._exporter.shutdown()
