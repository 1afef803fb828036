"""Spans of OpenTelemetry for traced writes, sent by its own exporter to the address that was set.

Why it exists: it is the one module that imports OpenTelemetry, which is an extra, `.[otel]`.
Spans are made after the fact, of times that are known; sending them is the library's business, on a thread of its own
with a bounded queue. A collector that is away, or stops without a word, costs spans and nothing else.
"""

import threading

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from node.tracing.paths import Seen
from node.tracing.writes import Parent, TracedWrite

CLOSE_SECONDS_MAX = 1.0
"""How long a node that ends waits for the last spans to be sent."""

EXPORT_SECONDS_MAX = 5.0
"""One request to the collector."""


class Spans:
    """`endpoint`: where an OTLP collector takes traces over HTTP, such as http://127.0.0.1:4318/v1/traces."""

    def __init__(self, endpoint: str, node: str, boot: str, version: str) -> None:
        resource = Resource.create(
            {"service.name": "raft", "service.instance.id": node, "service.version": version, "raft.boot": boot}
        )
        self._node = node
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_SECONDS_MAX)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("raft", version)

    def write(self, told: TracedWrite) -> None:
        """One span for the write, and below it one per disk and one per hop, as far as this node saw them."""
        context = None if told.parent is None else set_span_in_context(_remote(told.parent))
        span = self._tracer.start_span(
            "raft.write",
            context,
            SpanKind.SERVER,
            {
                "raft.node": self._node,
                "raft.leader": told.leader,
                "raft.outcome": told.outcome,
                "raft.index": told.index,
                "raft.term": told.term,
                "raft.write.bytes": told.size_bytes,
            },
            start_time=told.begun_us * 1000,
        )
        if told.outcome != "done":
            span.set_status(Status(StatusCode.ERROR, told.outcome))
        if told.leader and told.leader != self._node:
            self._below(span, f"forward to {told.leader}", told.leader, told.begun_us, told.answered_us)
        if told.seen is not None:
            self._disks(span, told.seen)
        span.end(told.answered_us * 1000)

    def _disks(self, span: Span, seen: Seen) -> None:
        if seen.disk_done_us:
            self._below(span, f"disk of {self._node}", self._node, seen.disk_begun_us, seen.disk_done_us)
        for peer, sent_us in seen.sent_us.items():
            durable_us = seen.durable_at_us.get(peer)
            if durable_us is None:
                span.add_event(f"not durable at {peer} yet", {"raft.peer": peer})
            else:
                self._below(span, f"replicate to the disk of {peer}", peer, sent_us, durable_us)

    def _below(self, parent: Span, name: str, peer: str, from_us: int, until_us: int) -> None:
        child = self._tracer.start_span(
            name, set_span_in_context(parent), SpanKind.INTERNAL, {"raft.peer": peer}, start_time=from_us * 1000
        )
        child.end(until_us * 1000)

    def close(self) -> None:
        """Send what waits, but do not wait for a collector that does not answer."""
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(CLOSE_SECONDS_MAX)


def _remote(parent: Parent) -> NonRecordingSpan:
    flags = TraceFlags(TraceFlags.SAMPLED)
    return NonRecordingSpan(SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=flags))
