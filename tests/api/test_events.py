"""The live stream: resumable, honest about loss, bounded, and gone when the server stops."""

import asyncio
import itertools
import socket
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec
import pytest

from node.api import events as events_module
from node.api.events import EventsApi
from node.api.server import SHUTDOWN_SECONDS_MAX
from node.observe.trace import Trace
from node.raft.messages import Heartbeat
from tests.api.double import Server, client_of, serving

Event = tuple[str, str, dict[str, Any]]


def make_trace(transitions_max: int = 4096, messages_max: int = 8192) -> Trace:
    clock = itertools.count(1)
    return Trace("n1", "boot-1", lambda: next(clock), transitions_max=transitions_max, messages_max=messages_max)


def term(trace: Trace, number: int) -> None:
    trace.transition("term", number, "follower", {"from": number - 1})


async def next_event(answer: aiohttp.ClientResponse) -> Event:
    """(event name, id, data) of the next event; comments are passed over."""
    name, identity = "message", ""
    async for line in answer.content:
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "event":
            name = value
        elif field == "id":
            identity = value
        elif field == "data":
            return name, identity, msgspec.json.decode(value)
    raise EOFError


async def test_a_stream_tells_what_was_and_what_comes() -> None:
    async with serving() as server, client_of(server) as client:
        term(server.trace, 1)
        server.trace.message(True, "n2", Heartbeat(1, 1))
        async with client.get("/events") as answer:
            assert answer.content_type == "text/event-stream"
            assert (await next_event(answer))[2]["term"] == 1
            server.trace.message(True, "n2", Heartbeat(1, 1))
            term(server.trace, 2)
            _, identity, data = await next_event(answer)
            assert (data["kind"], data["term"], data["seq"]) == ("term", 2, 4)
        async with client.get("/events?messages=1", headers={"Last-Event-ID": identity}) as answer:
            server.trace.message(False, "n3", Heartbeat(2, 7))
            data = (await next_event(answer))[2]
            assert (data["kind"], data["detail"]["type"], data["detail"]["commit"]) == ("message", "heartbeat", 7)


async def test_a_stream_resumes_after_the_last_event_and_tells_what_is_gone() -> None:
    trace = make_trace(transitions_max=4)
    async with serving(trace=trace) as server, client_of(server) as client:
        for number in range(1, 4):
            term(trace, number)
        async with client.get("/events") as answer:
            await next_event(answer)
            _, identity, _ = await next_event(answer)
        async with client.get("/events", headers={"Last-Event-ID": identity}) as answer:
            assert (await next_event(answer))[2]["term"] == 3
        for number in range(4, 11):
            term(trace, number)
        async with client.get("/events", headers={"Last-Event-ID": identity}) as answer:
            assert await next_event(answer) == ("lost", "", {"transitions": 4, "messages": 0})
            assert (await next_event(answer))[2]["term"] == 7
        async with client.get("/events", headers={"Last-Event-ID": "earlier-boot.400.0"}) as answer:
            assert (await next_event(answer))[2]["transitions"] == 6


async def test_silence_is_broken_by_comments() -> None:
    trace = make_trace()
    events = EventsApi(trace, comment_interval_seconds=0.01)
    async with serving(events, trace) as server, client_of(server) as client, client.get("/events") as answer:
        assert await answer.content.readuntil(b": still here\n\n")


async def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition that nothing announces, at most some ten seconds."""
    for _ in range(10_000):
        if holds():
            return
        await asyncio.sleep(0.001)
    pytest.fail("it did not come true")


async def never_reading(server: Server) -> asyncio.StreamWriter:
    """A client that asks for the stream and reads nothing of it; the buffers between are small."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", server.port))
    _, writer = await asyncio.open_connection(sock=client, limit=1024)
    writer.write(b"GET /events?messages=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await until(lambda: server.events.open_streams == 1)
    return writer


def flood(trace: Trace, count: int) -> None:
    for number in range(count):
        trace.message(True, "n2", Heartbeat(number, number))


@pytest.mark.slowest
async def test_a_reader_that_never_reads_takes_no_memory_and_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "MESSAGES_PAUSE_SECONDS", 0.001)
    trace = make_trace(messages_max=512)
    events = EventsApi(trace, write_seconds_max=0.3)
    async with serving(events, trace) as server:
        writer = await never_reading(server)
        flood(trace, 512)
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            most, began = 0, time.monotonic()
            while events.open_streams and time.monotonic() - began < 10:
                flood(trace, 512)
                await asyncio.sleep(0.002)
                most = max(most, tracemalloc.get_traced_memory()[0] - before)
        finally:
            tracemalloc.stop()
        assert events.open_streams == 0
        assert most < 2_000_000
        writer.close()


async def test_streams_end_when_the_server_stops_even_stuck_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "MESSAGES_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(events_module, "SHUTDOWN_SECONDS_MAX", 2.0)
    trace = make_trace()
    async with serving(trace=trace) as server, client_of(server) as client:
        writer = await never_reading(server)
        async with client.get("/events") as answer:
            for _ in range(300):
                flood(trace, 300)
                await asyncio.sleep(0)
            stopping = asyncio.ensure_future(server.events.stop())
            assert await answer.content.read() == b"retry: 1000\n\n"
            await asyncio.sleep(0.01)
            assert server.events.open_streams == 1  # the other one is stuck in a write
            await stopping
        await until(lambda: server.events.open_streams == 0)
        writer.close()


async def test_a_client_that_left_is_noticed() -> None:
    trace = make_trace()
    async with serving(EventsApi(trace, comment_interval_seconds=0.01), trace) as server, client_of(server) as client:
        async with client.get("/events") as answer:
            assert answer.status == 200
            assert server.events.open_streams == 1
        await until(lambda: server.events.open_streams == 0)


async def test_too_many_streams_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "STREAMS_MAX", 1)
    async with (
        serving() as server,
        client_of(server) as client,
        client.get("/events"),
        client.get("/events") as second,
    ):
        assert (second.status, (await second.json())["error"]) == (503, "overloaded")


async def test_stopping_the_server_waits_for_no_stream_and_no_broken_upload() -> None:
    async with aiohttp.ClientSession() as client:
        async with serving() as server:
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"PUT /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhalf")
            answer = await client.get(f"{server.url}/events")
            writer.close()
            await asyncio.sleep(0.01)
            began = time.monotonic()
        assert time.monotonic() - began < SHUTDOWN_SECONDS_MAX / 2, "so long it waits for those who are served"
        assert await answer.content.read() == b"retry: 1000\n\n"
