"""A collector of OpenTelemetry for tests: takes what the real exporter sends, and reads it with OpenTelemetry's codec.

Why it exists: what a node tells is judged as a collector would see it. It knows nothing of the node.
"""

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

WAIT_SECONDS = 20.0


class Told(NamedTuple):
    """One span. Times in nanoseconds since the epoch."""

    node: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    begin: int
    end: int
    attributes: dict[str, str | int]
    events: list[str]


class Collector:
    """`spans`: all that came."""

    def __init__(self) -> None:
        self.endpoint = ""
        self.spans: list[Told] = []
        self._came = asyncio.Condition()

    async def take(self, request: web.Request) -> web.Response:
        """What an exporter posts."""
        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        async with self._came:
            self.spans += _spans(ExportTraceServiceRequest.FromString(body))
            self._came.notify_all()
        return web.Response(content_type="application/x-protobuf")

    async def until(self, holds: Callable[[list[Told]], bool]) -> list[Told]:
        """All that came, once that holds; the failure says what came instead."""
        try:
            async with asyncio.timeout(WAIT_SECONDS), self._came:
                await self._came.wait_for(lambda: holds(self.spans))
        except TimeoutError:
            raise AssertionError(f"not within {WAIT_SECONDS:.0f} s; there came {self.spans}") from None
        return self.spans


def _spans(told: ExportTraceServiceRequest) -> list[Told]:
    found = []
    for resource in told.resource_spans:
        of = {one.key: one.value.string_value for one in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                attributes: dict[str, str | int] = {
                    one.key: one.value.string_value or one.value.int_value for one in span.attributes
                }
                found.append(
                    Told(
                        of["service.instance.id"],
                        span.name,
                        span.trace_id.hex(),
                        span.span_id.hex(),
                        span.parent_span_id.hex(),
                        span.start_time_unix_nano,
                        span.end_time_unix_nano,
                        attributes,
                        [event.name for event in span.events],
                    )
                )
    return found


@asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    """A collector on a free port of this machine."""
    collector = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        collector.endpoint = f"http://127.0.0.1:{runner.addresses[0][1]}/v1/traces"
        yield collector
    finally:
        await runner.cleanup()
