"""Writes on real nodes, as a collector of OpenTelemetry sees them."""

import asyncio
import itertools
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider

from chaos.listeners import listen_no_more
from node.tracing.spans import EXPORT_SECONDS_MAX
from raftclient import RaftClient
from tests.cluster.harness import CALM, running_cluster
from tests.grpc.client import client
from tests.tracing.collector import WAIT_SECONDS, Collector, Told, collecting

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
pytestmark = [pytest.mark.slowest, pytest.mark.timeout(180)]

TRIES_MAX = 10
SAMPLED, NOT_SAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"


@pytest.fixture(autouse=True)
def quick_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")


def whole(trace_id: str, disks: int) -> Callable[[list[Told]], bool]:
    """Whether the write of that trace came, with so many disks."""

    def holds(spans: list[Told]) -> bool:
        of = [span for span in spans if span.trace_id == trace_id]
        return any(span.name == "raft.write" for span in of) and sum("disk" in span.name for span in of) >= disks

    return holds


async def until_whole(
    collector: Collector, write: Callable[[], Awaitable[tuple[str, str]]], disks: int
) -> tuple[tuple[str, str], list[Told]]:
    """Write until so many disks are told of one write: a node looks 0.25 s after the answer, once, and a disk that was
    not ready by then is told as missing. What `write` said (its trace comes first), and all that came."""
    for _ in range(TRIES_MAX):
        said = await write()
        spans = await collector.until(whole(said[0], 0))
        if whole(said[0], disks)(spans):
            return said, spans
    raise AssertionError(f"of {TRIES_MAX} writes none was on {disks} disks in time: {spans}")


async def test_a_write_is_told_from_the_client_to_every_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client's own span, made by OpenTelemetry's instrumentation of aiohttp, is the parent."""
    async with collecting() as collector:
        monkeypatch.setenv("RAFT_OTLP_ENDPOINT", collector.endpoint)
        async with running_cluster(tmp_path, 3, *CALM) as cluster:
            leader = await cluster.leader()
            provider = TracerProvider()

            async def ordered() -> tuple[str, str]:
                """The ids of the trace and of the client's span."""
                AioHttpClientInstrumentor().instrument(tracer_provider=provider)
                try:
                    with provider.get_tracer("test").start_as_current_span("order") as order:
                        async with RaftClient([cluster.url(leader)], discover=False, exactly_once=False) as raft:
                            await raft.put("k", "v")
                finally:
                    AioHttpClientInstrumentor().uninstrument()
                context = order.get_span_context()
                return f"{context.trace_id:032x}", f"{context.span_id:016x}"

            (trace_id, span_id), spans = await until_whole(collector, ordered, 3)
            (write,) = [span for span in spans if span.trace_id == trace_id and span.name == "raft.write"]
            assert write.node == leader
            assert write.parent_id not in ("", span_id)  # the request is between
            assert write.attributes["raft.outcome"] == "done"
            below = [span for span in spans if span.parent_id == write.span_id]
            others = {"n1", "n2", "n3"} - {leader}
            disks = {f"disk of {leader}", *(f"replicate to the disk of {other}" for other in others)}
            assert {span.name for span in below} == disks
            assert all(write.begin <= span.begin <= span.end for span in below)
            durable = sorted(span.end for span in below)
            assert durable[1] <= write.end, "it was answered before a majority of the disks had it"


async def test_a_follower_tells_of_the_hop_and_of_its_own_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over gRPC, with the trace in the metadata."""
    async with collecting() as collector:
        monkeypatch.setenv("RAFT_OTLP_ENDPOINT", collector.endpoint)
        async with running_cluster(tmp_path, 3, *CALM) as cluster:
            leader = await cluster.leader()
            follower = next(name for name in cluster.nodes if name != leader)
            async with client(cluster.url(follower).removeprefix("http://")) as grpc:
                tries = itertools.count(1)

                async def put() -> tuple[str, str]:
                    trace_id = f"{next(tries):032x}"
                    for traceparent in (NOT_SAMPLED, f"00-{trace_id}-{SPAN}-01"):
                        await grpc.put(b"k", b"v", metadata=(("traceparent", traceparent),))
                    return trace_id, SPAN

                (trace_id, _), spans = await until_whole(collector, put, 1)
            assert TRACE not in {span.trace_id for span in spans}, "it was not to be told"
            of = [span for span in spans if span.trace_id == trace_id]
            assert sorted(span.name for span in of) == [f"disk of {follower}", f"forward to {leader}", "raft.write"]
            (write,) = [span for span in of if span.name == "raft.write"]
            assert write.parent_id == SPAN


async def test_a_paused_disk_is_missed_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with collecting() as collector:
        monkeypatch.setenv("RAFT_OTLP_ENDPOINT", collector.endpoint)
        async with running_cluster(tmp_path, 3, *CALM) as cluster:
            leader = await cluster.leader()
            paused = next(name for name in cluster.nodes if name != leader)
            cluster.signal(paused, signal.SIGSTOP)
            headers = {"traceparent": SAMPLED}
            async with cluster.http.put(f"{cluster.url(leader)}/kv/k", data="v", headers=headers) as answer:
                assert answer.status == 200
            spans = await collector.until(whole(TRACE, 2))
            (write,) = [span for span in spans if span.trace_id == TRACE and span.name == "raft.write"]
            assert write.events == [f"not durable at {paused} yet"]


async def test_a_collector_that_says_nothing_costs_neither_writes_nor_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.append(writer)
        came.set()

    came = asyncio.Event()
    taken: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("RAFT_OTLP_ENDPOINT", f"http://127.0.0.1:{port}/v1/traces")
        async with running_cluster(tmp_path, 3, *CALM) as cluster:
            for _ in range(50):
                async with cluster.http.put(f"{cluster.url('n1')}/kv/k", data="v") as answer:
                    assert answer.status == 200
            await asyncio.wait_for(came.wait(), WAIT_SECONDS)
            began = time.monotonic()
            await cluster.stop()
            assert time.monotonic() - began < EXPORT_SECONDS_MAX, "the end waited for the collector"
    finally:
        await listen_no_more(server)
        await server.wait_closed()
        for writer in taken:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
