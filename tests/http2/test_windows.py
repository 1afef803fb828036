"""Answers go out as a client's windows admit them, and frames are judged one by one."""

import asyncio
import struct
import time
from random import Random

import pytest

from node.api.gate import Gate
from node.api.http2.streams import STREAM_WINDOW
from node.observe.turns import Turns
from node.statemachine.writes import Put
from tests.grpc.double import serving, until
from tests.http2.raw import (
    DATA,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Raw,
    frame,
    grown,
    raw,
    setting,
)


async def test_an_answer_goes_out_byte_by_byte_as_windows_grow() -> None:
    async with serving() as served, raw(served.port, setting(4, 1)) as client:
        served.node.do(Put(b"a", b"12345678"))
        client.send(client.ask(1))
        await client.until(HEADERS, 1)
        pieces = [(await client.until(DATA, 1)).payload]
        while True:
            client.send(grown(1, 1))
            came = await client.next()
            if came.kind == DATA:
                pieces.append(came.payload)
            elif came.kind == HEADERS:
                break
        assert {len(piece) for piece in pieces} == {1}
        body = b"".join(pieces)
        assert int.from_bytes(body[1:5], "big") == len(body) - 5
        assert b"12345678" in body


async def test_a_long_answer_goes_out_whole_to_who_takes_all_of_it_and_says_nothing() -> None:
    """Nothing waits for a window, and nothing comes that would ask for the rest."""
    async with serving() as served, raw(served.port, setting(4, 2**31 - 1)) as client:
        served.node.do(Put(b"a", bytes(1_000_000)))
        client.send(grown(0, 2**31 - 1 - 65_535), frame(PING, 0, 0, bytes(8)))
        await client.until(PING)
        client.send(client.ask(1))
        async with asyncio.timeout(5):
            fields, body = await client.answer(1)
        assert fields[b"grpc-status"] == b"0"
        assert len(body) > 1_000_000


async def test_a_window_below_zero_holds_until_it_is_above() -> None:
    async with serving() as served, raw(served.port, setting(4, 10)) as client:
        served.node.do(Put(b"a", bytes(100)))
        client.send(client.ask(1))
        assert len((await client.until(DATA, 1)).payload) == 10
        client.send(frame(SETTINGS, 0, 0, setting(4, 0)), grown(1, 10), frame(PING, 0, 0, bytes(8)))
        assert (await client.until(PING)).flags == 1
        client.send(grown(1, 5))
        assert len((await client.until(DATA, 1)).payload) == 5


async def test_streams_share_the_window_of_their_connection() -> None:
    async with serving() as served, raw(served.port, setting(4, 2**31 - 1)) as client:
        served.node.do(Put(b"a", bytes(30_000)))
        client.send(*(client.ask(at) for at in (1, 3, 5, 7)))
        got = dict.fromkeys((1, 3, 5, 7), 0)
        while sum(got.values()) < 65_535:
            came = await client.until(DATA)
            got[came.stream] += len(came.payload)
        assert sum(got.values()) == 65_535
        assert served.counts.held_bytes > 50_000
        client.send(grown(0, 1_000_000))
        while served.counts.streams:
            await client.next()
        assert served.counts.held_bytes == 0


async def test_a_client_may_send_a_long_message_through_our_windows() -> None:
    async with serving() as served, raw(served.port) as client:
        value = b"\x0a\x01k\x12" + b"\x80\x80\x40" + bytes(1024 * 1024)
        body = b"\x00" + struct.pack(">I", len(value)) + value
        client.send(frame(HEADERS, 4, 1, client.block("/etcdserverpb.KV/Put")))
        connection_left, stream_left = 65_535, 65_535
        while body:
            room = min(connection_left, stream_left, 16_384, len(body))
            if room > 0:
                client.send(frame(DATA, 0, 1, body[:room]))
                body, connection_left, stream_left = body[room:], connection_left - room, stream_left - room
                continue
            came = await client.next()
            if came.kind == WINDOW_UPDATE:
                more = int.from_bytes(came.payload, "big")
                connection_left += more if not came.stream else 0
                stream_left += more if came.stream else 0
            elif came.kind == SETTINGS and not came.flags:
                stream_left += STREAM_WINDOW - 65_535
        client.send(frame(DATA, 1, 1))
        assert (await client.answer(1))[0][b"grpc-status"] == b"0"
        assert served.counts.held_bytes == 0


async def test_more_than_the_window_admits_is_a_fault_of_flow_control() -> None:
    async with serving() as served, raw(served.port) as client:
        client.send(frame(HEADERS, 4, 1, client.block()))
        client.send(*(frame(DATA, 0, 1, bytes(16_384)) for _ in range(200)))
        while (came := await client.next()).kind not in (RST_STREAM, GOAWAY):
            pass
        assert came.code in (0, 3)


async def test_one_port_speaks_both() -> None:
    async with serving() as served, raw(served.port) as client:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        client.send(client.ask(1))
        assert (await client.answer(1))[0][b":status"] == b"200"
        assert served.runner.clients.count == 2
        writer.close()


@pytest.mark.parametrize("size", [1, 3, 16, 23])
async def test_the_preface_may_come_in_pieces(size: int) -> None:
    async with serving() as served, raw(served.port, hello=False) as client:
        data = PREFACE + frame(SETTINGS, 0, 0) + client.ask(1)
        for at in range(0, len(data), size):
            client.send(data[at : at + size])
            await client.writer.drain()
            await asyncio.sleep(0)
        assert (await client.answer(1))[0][b"grpc-status"] == b"0"


async def test_a_request_of_http_1_may_come_in_pieces() -> None:
    async with serving() as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        for byte in b"PUT /kv/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx":
            writer.write(bytes((byte,)))
            await writer.drain()
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_what_is_not_grpc_gets_a_sentence() -> None:
    async with serving() as served, raw(served.port) as client:
        block = client.encoder.encode([(":method", "GET"), (":scheme", "http"), (":path", "/kv/a")])
        client.send(frame(HEADERS, 5, 1, block))
        fields, body = await client.answer(1)
        assert fields[b":status"] == b"415"
        assert b"gRPC" in body
        client.send(frame(HEADERS, 5, 3, client.block(origin="http://evil.example")))
        assert (await client.answer(3))[0][b":status"] == b"403"


async def test_who_is_asked_to_leave_is_answered_first() -> None:
    async with serving() as served, raw(served.port) as client:
        served.node.holding = True
        client.send(client.ask(1))
        await until(lambda: served.node.held)
        served.runner.retire_connections()
        went = await client.until(GOAWAY)
        assert (went.code, int.from_bytes(went.payload[:4], "big")) == (0, 1)
        client.send(client.ask(3), frame(PING, 0, 0, bytes(8)))
        await client.until(PING)  # what came before it was looked at
        served.node.let_go()
        assert (await client.answer(1))[0][b"grpc-status"] == b"0"
        assert await client.end() == 0
        assert served.counts.requests == 1


async def test_a_client_that_ends_its_side_is_answered() -> None:
    async with serving() as served, raw(served.port) as client:
        served.node.holding = True
        client.send(client.ask(1), frame(HEADERS, 4, 3, client.block()))
        await until(lambda: served.node.held)
        client.writer.write_eof()
        await until(lambda: served.counts.streams <= 1)
        served.node.let_go()
        assert (await client.answer(1))[0][b"grpc-status"] == b"0"
        await client.end()


async def test_an_idle_connection_makes_room() -> None:
    async with serving(clients_max=1) as served, raw(served.port) as client:
        client.send(client.ask(1))
        await client.answer(1)
        loop = asyncio.get_running_loop()
        await asyncio.sleep(1.1)
        assert loop.time() - 1 > 0
        async with raw(served.port) as other:
            other.send(other.ask(1))
            assert (await other.answer(1))[0][b"grpc-status"] == b"0"
        assert await client.end() == 0


def mutated(chance: Random, client: Raw) -> bytes:
    """Frames of a usual call, and something wrong with one of them."""
    pieces = [client.ask(1), grown(0, 100), frame(PING, 0, 0, bytes(8)), client.ask(3), client.ask(5)]
    data = bytearray(b"".join(pieces))
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(data))
        kind = chance.randrange(3)
        if kind == 0:
            data[at] = chance.randrange(256)
        elif kind == 1:
            del data[at : at + chance.randrange(20)]
        else:
            data[at:at] = chance.randbytes(chance.randrange(30))
    return bytes(data)


async def test_whatever_comes_ends_its_connection_at_most(caplog: pytest.LogCaptureFixture) -> None:
    chance = Random(5)
    async with serving() as served:
        for _ in range(60):
            async with raw(served.port) as client:
                client.send(mutated(chance, client), frame(PING, 0, 0, b"the end!"))
                client.writer.write_eof()
                await client.end()
        async with raw(served.port) as client:
            client.send(client.ask(1))
            assert (await client.answer(1))[0][b"grpc-status"] == b"0"
        await until(lambda: served.counts.connections <= 1)
        assert (served.counts.streams, served.counts.held_bytes) == (0, 0)
        assert served.counts.faults
    assert not caplog.records


async def test_what_waits_at_the_gate_is_not_read_further() -> None:
    turns = Turns(time.perf_counter, time.thread_time, 1.0)
    gate = Gate(turns, asyncio.get_running_loop().call_soon)
    async with serving(gate) as served, raw(served.port) as client:
        client.send(client.ask(1))
        await client.answer(1)
        gate.shut(True)
        client.send(frame(PING, 0, 0, bytes(8)), *(frame(99, 0, 0, bytes(16_000)) for _ in range(600)))
        http2 = served.runner._http2
        assert http2 is not None
        (connection,) = http2._open
        await until(lambda: connection._receiving.waiting_bytes)
        for _ in range(50):
            await asyncio.sleep(0.002)
        assert connection._receiving.waiting_bytes <= 1024 * 1024
        gate.shut(False)
        assert (await client.until(PING)).flags == 1
        client.send(client.ask(3))
        assert (await client.answer(3))[0][b"grpc-status"] == b"0"
