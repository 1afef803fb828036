"""HTTP/2's known attacks: each is ended with the right code and counted, while other clients are served."""

import asyncio
import struct
import time
from collections.abc import Callable

import pytest
from hpack import Encoder, NeverIndexedHeaderTuple

from node.api.gate import Gate
from node.api.http2.blocks import BLOCK_BYTES_MAX, BLOCK_BYTES_PER_FIELD, LIST_BYTES_MAX
from node.api.http2.floods import IDLE, PINGS, RESETS, SETTINGS
from node.api.http2.receiving import FIELDS_PER_PIECE_MAX
from node.api.http2.streams import HELD_BYTES_MAX, STREAMS_MAX
from node.observe.turns import Turns
from node.statemachine.writes import Put
from tests.grpc.double import Serving, serving
from tests.http2.raw import (
    CALM,
    CONTINUATION,
    DATA,
    GOAWAY,
    HEADERS,
    PING,
    PRIORITY,
    RST_STREAM,
    Raw,
    frame,
    grown,
    raw,
    setting,
)
from tests.http2.raw import SETTINGS as SETTINGS_FRAME


def resets(client: Raw) -> bytes:
    numbers = range(1, 2 * int(RESETS.most) + 801, 2)
    cancel = struct.pack(">I", 8)
    return b"".join(frame(HEADERS, 4, at, client.block()) + frame(RST_STREAM, 0, at, cancel) for at in numbers)


def pings(_client: Raw) -> bytes:
    return frame(PING, 0, 0, bytes(8)) * (int(PINGS.most) + 100)


def settings(_client: Raw) -> bytes:
    return frame(SETTINGS_FRAME, 0, 0) * (int(SETTINGS.most) + 10)


def continuations(client: Raw) -> bytes:
    return frame(HEADERS, 0, 1, client.block()) + frame(CONTINUATION, 0, 1) * 100


def long_block(client: Raw) -> bytes:
    piece = b"\x00\x01a\x7f\x81\x7d" + bytes(16000)
    return frame(HEADERS, 0, 1, client.block()) + frame(CONTINUATION, 0, 1, piece[:BLOCK_BYTES_MAX]) * 3


def bomb(client: Raw) -> bytes:
    """One long field, and a thousand indexes of it."""
    field = client.encoder.encode([("a", "b" * 3500)], huffman=False)
    return frame(HEADERS, 4, 1, client.block() + field + b"\xbe" * 1000)


def empty_data(client: Raw) -> bytes:
    return frame(HEADERS, 4, 1, client.block()) + frame(DATA, 0, 1) * (4 * int(IDLE.most))


def priorities(_client: Raw) -> bytes:
    return frame(PRIORITY, 0, 1, bytes(4) + b"\x01") * (4 * int(IDLE.most))


def windows(_client: Raw) -> bytes:
    return grown(0, 1) * (4 * int(IDLE.most))


def malformed(client: Raw) -> bytes:
    numbers = range(1, 2 * int(RESETS.most) + 801, 2)
    return b"".join(frame(HEADERS, 5, at, client.block(UPPER="x").replace(b"upper", b"UPPER")) for at in numbers)


def size_updates(client: Raw) -> bytes:
    return frame(HEADERS, 5, 1, b"\x20" * 10_000 + client.block())


async def serves(served: Serving) -> None:
    """Another client has its answer."""
    async with raw(served.port) as other:
        other.send(other.ask(1))
        fields, _ = await other.answer(1)
        assert fields[b"grpc-status"] == b"0"


@pytest.mark.parametrize(
    ("flood", "code", "counted"),
    [
        (resets, CALM, "resets"),
        (pings, CALM, "pings"),
        (settings, CALM, "settings"),
        (continuations, CALM, "header-blocks"),
        (long_block, CALM, "header-blocks"),
        (bomb, CALM, "enhance-your-calm"),
        (empty_data, CALM, "idle-frames"),
        (priorities, CALM, "idle-frames"),
        (windows, CALM, "idle-frames"),
        (size_updates, 9, "compression-error"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_a_flood_is_ended(flood: Callable[[Raw], bytes], code: int, counted: str) -> None:
    async with serving() as served, raw(served.port) as client:
        client.send(flood(client))
        await serves(served)
        assert await client.end() == code
        assert served.counts.faults[counted] == 1
        assert served.counts.streams == 0
        assert b'raft_http2_faults_total{why="%b"} 1.0' % counted.encode() in served.metrics.render()


def of_indexes(client: Raw) -> list[bytes]:
    """Each block another one, of one byte for each field."""
    return [client.block() + b"\x95" * (400 - number) for number in range(68)]


def of_huffman(client: Raw) -> list[bytes]:
    """7,500 bytes that say 12,000."""
    return [
        client.block() + Encoder().encode([NeverIndexedHeaderTuple(f"x-{number}", "a" * 12_000)])
        for number in range(30)
    ]


@pytest.mark.parametrize("after_goaway", [False, True])
@pytest.mark.parametrize("blocks", [of_indexes, of_huffman])
async def test_header_fields_have_a_price_and_so_many_are_read_at_once(
    blocks: Callable[[Raw], list[bytes]], after_goaway: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block of 500 bytes may say 400 fields: what is counted in bytes and requests alone would hold the loop."""
    paid: list[int] = []

    def came_in(_gate: Gate, _requests: int, _began: float, _size_bytes: int, work: int) -> None:
        paid.append(work)

    monkeypatch.setattr(Gate, "frames_came_in", came_in)
    gate = Gate(Turns(time.perf_counter, time.thread_time, 1.0), asyncio.get_running_loop().call_soon)
    async with serving(gate) as served, raw(served.port) as client:
        if after_goaway:
            client.send(frame(HEADERS, 4, 1, client.block("/grpc.health.v1.Health/Watch")))  # so that it stays open
            client.send(frame(DATA, 0, 1, bytes(5)), frame(GOAWAY, 0, 0, bytes(8)))
        made = blocks(client)
        client.send(*(frame(HEADERS, 5, 2 * at + 3, block) for at, block in enumerate(made)))
        client.send(frame(PING, 0, 0, bytes(8)))
        await client.until(PING)
        assert sum(paid) > 8 * FIELDS_PER_PIECE_MAX, "they are read and paid, whoever is served"
        assert max(paid) < FIELDS_PER_PIECE_MAX + LIST_BYTES_MAX // 32 + BLOCK_BYTES_MAX // BLOCK_BYTES_PER_FIELD


async def test_ten_thousand_streams_are_not_begun() -> None:
    async with serving() as served, raw(served.port) as client:
        client.send(*(frame(HEADERS, 4, at, client.block()) for at in range(1, 2 * STREAMS_MAX + 201, 2)))
        client.send(frame(PING, 0, 0, bytes(8)))
        refused = [await client.until(RST_STREAM) for _ in range(100)]
        assert {came.code for came in refused} == {7}
        await client.until(PING)
        assert (served.counts.streams, served.counts.refused) == (STREAMS_MAX, 100)
        await serves(served)
        client.send(*(frame(HEADERS, 4, at, client.block()) for at in range(2 * STREAMS_MAX + 201, 20001, 2)))
        assert await client.end() == CALM
        assert served.counts.streams == 0


async def test_a_request_that_never_ends_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as served, raw(served.port) as client:
        client.send(frame(HEADERS, 4, 1, client.block()), frame(DATA, 0, 1, b"\x00\x00\x00\x00\x05ab"))
        client.send(frame(PING, 0, 0, bytes(8)))
        await client.until(PING)
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "time", lambda at=loop.time: at() + 61)
        served.runner.clients._sweep()
        assert (await client.until(RST_STREAM)).code == 8
        assert (served.counts.streams, served.counts.held_bytes) == (0, 0)
        assert served.counts.faults["slow-request"] == 1


async def test_answers_that_no_window_admits_are_bounded_and_end() -> None:
    no_window = setting(4, 0)
    async with serving() as served, raw(served.port, no_window) as client:
        served.node.do(Put(b"a", bytes(30_000)))
        client.send(*(client.ask(at) for at in range(1, 201, 2)))
        refused = await client.until(RST_STREAM)
        assert refused.code == 7
        assert HELD_BYTES_MAX < served.counts.held_bytes < HELD_BYTES_MAX + 40 * 31_000
        await serves(served)
        waiting = served.counts.streams
        client.send(setting_frame(setting(4, 1_000_000)), grown(0, 10_000_000))
        bodies = 0
        while waiting:
            came = await client.next()
            bodies += len(came.payload) if came.kind == DATA else 0
            waiting -= came.kind == HEADERS and bool(came.flags & 1)
        assert bodies > HELD_BYTES_MAX
        assert served.counts.held_bytes == 0


def setting_frame(payload: bytes) -> bytes:
    return frame(SETTINGS_FRAME, 0, 0, payload)


async def test_an_answer_that_is_never_taken_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as served, raw(served.port, setting(4, 0)) as client:
        served.node.do(Put(b"a", bytes(1000)))
        client.send(client.ask(1))
        await client.until(HEADERS)
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "time", lambda at=loop.time: at() + 31)
        served.runner.clients._sweep()
        assert (await client.until(RST_STREAM)).code == 8
        assert (served.counts.streams, served.counts.held_bytes) == (0, 0)


async def test_who_holds_too_much_of_all_gets_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as served, raw(served.port) as client:
        served.counts.held_bytes += 64 * 1024 * 1024
        client.send(client.ask(1))
        assert (await client.until(RST_STREAM)).code == 7
        served.counts.held_bytes -= 64 * 1024 * 1024
        client.send(client.ask(3))
        assert (await client.answer(3))[0][b"grpc-status"] == b"0"


async def test_pings_that_answer_what_was_sent_are_no_flood() -> None:
    """Clients measure the way with a ping for what comes."""
    async with serving() as served, raw(served.port) as client:
        for at in range(1, 601, 2):
            client.send(client.ask(at), frame(PING, 0, 0, bytes(8)))
            await client.answer(at)
        client.send(frame(PING, 0, 0, b"the last"))
        while (await client.until(PING)).payload != b"the last":
            pass
