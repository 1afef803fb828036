"""Calls that stream: the seam that watches and keep-alives stand on, with a handler that repeats what it is told."""

import asyncio
import hashlib
import struct
from collections import Counter
from collections.abc import AsyncIterator

import grpc
import pytest

from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.schema import Message
from node.api.grpc.methods import Call, StreamMethod
from node.api.grpc.streaming import MESSAGES_AT_ONCE_MAX
from node.api.http2.frames import FRAME_BYTES_MAX
from node.api.http2.receiving import MESSAGES_PER_PIECE_MAX
from node.api.http2.streams import UNTAKEN_SECONDS_MAX
from node.runtime.ports import ReadFailed, Readiness
from tests.api.double import ScriptedBackup
from tests.grpc.client import client
from tests.grpc.double import Serving, serving, until
from tests.grpc.messages import message, new
from tests.grpc.test_shares import http2_of
from tests.http2.raw import DATA, GOAWAY, HEADERS, PING, RST_STREAM, Raw, frame, grown, raw, setting

ECHO = "/test.Echo/Echo"


class Echo:
    """A `StreamHandler`. What it is told decides what it does."""

    opened: "list[Echo]"

    def __init__(self, call: Call) -> None:
        self.call = call
        self.happened: list[str] = []
        self.room = True

    def message(self, message: Message) -> None:
        key = message.get("key", b"")
        if key == b"refuse":
            raise EtcdError(Code.OUT_OF_RANGE, "not that: 100 % é")
        if key == b"break":
            raise ValueError
        if key == b"end":
            self.call.end()
        elif key == b"much":
            while self.room:
                self.room = self.call.send(bytes(FRAME_BYTES_MAX))
        else:
            self.room = self.call.send(key)

    def half_closed(self) -> None:
        self.happened.append("half-closed")
        self.call.end()

    def drained(self) -> None:
        self.happened.append("drained")

    def gone(self) -> None:
        self.happened.append("gone")


def echoing(served: Serving) -> list[Echo]:
    """Speak it; the handlers that are opened from now on."""
    opened: list[Echo] = []

    def open_one(call: Call) -> Echo:
        opened.append(Echo(call))
        return opened[-1]

    served.door.add({ECHO: StreamMethod("RangeRequest", open_one)})
    return opened


def told(key: bytes) -> bytes:
    data: bytes = new("RangeRequest", key=key).SerializeToString()
    return data


def framed(key: bytes) -> bytes:
    return b"\x00" + struct.pack(">I", len(told(key))) + told(key)


def begun(client: Raw, stream: int = 1, **fields: str) -> bytes:
    return frame(HEADERS, 4, stream, client.block(ECHO, **fields))


async def test_messages_go_both_ways_until_the_client_has_said_all() -> None:
    async with serving() as served, client(served.target) as ask:
        opened = echoing(served)
        again = asyncio.Event()

        async def requests() -> AsyncIterator[bytes]:
            yield told(b"one")
            await again.wait()
            yield told(b"two")

        stream = ask.stream(ECHO, requests())
        assert await stream.read() == b"one"
        again.set()
        assert await stream.read() == b"two"
        assert await stream.read() == grpc.aio.EOF
        assert await stream.code() == grpc.StatusCode.OK
        assert opened[0].happened == ["half-closed"]
        assert served.counts.streams == 0


@pytest.mark.parametrize(
    ("word", "code", "sentence"),
    [
        (b"refuse", b"11", b"not that: 100 %25 %C3%A9"),
        (b"break", b"13", b"this node made a mistake; its log says which"),
    ],
)
async def test_what_a_handler_raises_ends_its_call(word: bytes, code: bytes, sentence: bytes) -> None:
    async with serving() as served, raw(served.port) as client:
        opened = echoing(served)
        client.send(begun(client), frame(DATA, 0, 1, framed(b"one") + framed(word) + framed(b"three")))
        fields, body = await client.answer(1)
        assert (fields[b"grpc-status"], fields[b"grpc-message"]) == (code, sentence)
        assert body == b"\x00\x00\x00\x00\x03one"
        assert opened[0].happened == ["gone"]


async def test_a_handler_ends_its_call() -> None:
    async with serving() as served, raw(served.port) as client:
        opened = echoing(served)
        client.send(begun(client), frame(DATA, 0, 1, framed(b"end") + framed(b"more")))
        fields, body = await client.answer(1)
        assert (fields[b"grpc-status"], body) == (b"0", b"")
        assert (await client.until(RST_STREAM)).code == 0
        assert opened[0].happened == []


@pytest.mark.parametrize("last", [b"end", b"refuse"])
async def test_what_comes_after_a_call_has_ended_opens_nothing_anew(last: bytes) -> None:
    """Its client has not heard of the end yet, for it takes no answers."""
    async with serving() as served, raw(served.port, setting(4, 0)) as client:
        opened = echoing(served)
        client.send(begun(client), frame(DATA, 0, 1, framed(b"one")), frame(DATA, 0, 1, framed(last)))
        for _ in range(50):
            client.send(frame(DATA, 0, 1, framed(b"more") + framed(b"and more")))
        client.send(frame(DATA, 1, 1), frame(PING, 0, 0, bytes(8)))
        assert (await client.until(PING)).payload == bytes(8)
        client.send(grown(1, 1_000))
        fields, body = await client.answer(1)
        assert (fields[b"grpc-status"], body) == (b"0" if last == b"end" else b"11", b"\x00\x00\x00\x00\x03one")
        assert [one.happened for one in opened] == [[] if last == b"end" else ["gone"]]
        assert (served.counts.streams, served.counts.held_bytes) == (0, 0)


async def test_a_call_that_has_ended_is_not_kept_for_who_takes_no_answers() -> None:
    async with serving() as served, raw(served.port, setting(4, 0)) as client:
        echoing(served)
        client.send(begun(client), frame(DATA, 0, 1, framed(b"one")))
        client.send(begun(client, 3), frame(DATA, 0, 3, framed(b"one")), frame(PING, 0, 0, bytes(8)))
        await client.until(PING)
        (connection,) = http2_of(served)._open
        now = asyncio.get_running_loop().time()
        stuck = connection._streams.get(1)
        assert stuck is not None
        stuck.moved = now - 100  # what it has not taken so far was of an endless stream
        client.send(frame(DATA, 0, 1, framed(b"refuse")), frame(PING, 0, 0, bytes(8)))
        await client.until(PING)
        connection.tend(now + UNTAKEN_SECONDS_MAX - 1)
        assert served.counts.streams == 2
        connection.tend(now + 1_000)
        assert (served.counts.streams, dict(served.counts.faults)) == (1, {"answer-not-taken": 1})


async def test_several_messages_may_come_in_one_piece_and_one_in_many() -> None:
    async with serving() as served, raw(served.port) as client:
        echoing(served)
        data = framed(b"a") + framed(b"b" * 300) + framed(b"c")
        client.send(begun(client), *(frame(DATA, 0, 1, data[at : at + 7]) for at in range(0, len(data), 7)))
        client.send(frame(DATA, 1, 1))
        _, body = await client.answer(1)
        assert body == b"".join(b"\x00" + struct.pack(">I", len(one)) + one for one in (b"a", b"b" * 300, b"c"))


@pytest.mark.parametrize("streams", [1, 20])
async def test_however_many_messages_come_at_once_so_many_are_taken_in_a_turn(
    streams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A watch is created by seven bytes: 36,000 of them came in one read."""
    turn, taken = [0], Counter[int]()
    loop, echo = asyncio.get_running_loop(), Echo.message

    def count_turns() -> None:
        turn[0] += 1
        if turn[0] > 0:
            loop.call_soon(count_turns)

    def counted(self: Echo, message: Message) -> None:
        taken[turn[0]] += 1
        echo(self, message)

    monkeypatch.setattr(Echo, "message", counted)
    many = 4000 // streams
    async with serving() as served, raw(served.port) as client:
        opened = echoing(served)
        loop.call_soon(count_turns)
        numbers = range(1, 2 * streams, 2)
        client.send(*(begun(client, number) for number in numbers))
        client.send(grown(0, 1 << 20), *(grown(number, 1 << 20) for number in numbers))
        client.send(*(frame(DATA, 0, number, framed(b"a") * many) for number in numbers if many * 8 <= FRAME_BYTES_MAX))
        if streams == 1:
            client.send(*(frame(DATA, 0, 1, framed(b"a") * (many // 4)) for _ in range(4)))
        client.send(*(frame(DATA, 1, number) for number in numbers))
        answers, ended = Counter[int](), 0
        while ended < streams:
            came = await client.next()
            answers[came.stream] += len(came.payload) if came.kind == DATA else 0
            ended += came.kind == HEADERS and came.flags & 1
        turn[0] = -1 << 30
        assert [answers[number] for number in numbers] == [many * 6] * streams, "all of them, each once"
        assert {each.happened[-1] for each in opened} == {"half-closed"}
    assert max(taken.values()) <= MESSAGES_PER_PIECE_MAX + 3 * MESSAGES_AT_ONCE_MAX


async def test_a_last_message_that_is_cut_short_ends_its_call() -> None:
    async with serving() as served, raw(served.port) as client:
        opened = echoing(served)
        client.send(begun(client), frame(DATA, 1, 1, framed(b"one") + framed(b"two")[:-1]))
        fields, body = await client.answer(1)
        assert (fields[b"grpc-status"], fields[b"grpc-message"]) == (b"13", b"grpc: the last message is cut short")
        assert body == b"\x00\x00\x00\x00\x03one"
        assert opened[0].happened == ["gone"]


async def test_a_handler_is_told_when_to_stop_and_when_to_go_on() -> None:
    async with serving() as served, raw(served.port) as client:
        opened = echoing(served)
        client.send(begun(client), frame(DATA, 0, 1, framed(b"much")))
        received = 0
        while received < 65_535:
            received += len((await client.until(DATA)).payload)
        assert not opened[0].room
        assert served.counts.held_bytes < 64 * 1024
        assert opened[0].happened == []
        client.send(grown(0, 1_000_000), grown(1, 1_000_000))
        await until(lambda: opened[0].happened == ["drained"])
        assert served.counts.held_bytes == 0


@pytest.mark.parametrize("how", ["cancel", "leave", "reset"])
async def test_a_handler_learns_that_its_client_is_gone(how: str) -> None:
    async with serving() as served, raw(served.port) as client:
        opened = echoing(served)
        client.send(begun(client), frame(DATA, 0, 1, framed(b"one")))
        await client.until(DATA)
        if how == "cancel":
            client.send(frame(RST_STREAM, 0, 1, struct.pack(">I", 8)))
        elif how == "leave":
            client.writer.close()
        else:
            client.writer.transport.abort()
        await until(lambda: opened[0].happened == ["gone"])
        assert not opened[0].call.send(b"more")
        opened[0].call.end()
        assert served.counts.streams == 0


async def test_a_stream_ends_with_its_time() -> None:
    async with serving() as served, raw(served.port) as client:
        opened = echoing(served)
        client.send(begun(client, grpc_timeout="50m"), frame(DATA, 0, 1, framed(b"one")))
        fields, _ = await client.answer(1)
        assert fields[b"grpc-status"] == b"4"
        assert opened[0].happened == ["gone"]


async def test_a_stream_that_wants_a_leader_is_not_opened_without_one() -> None:
    async with serving() as served, raw(served.port) as client:
        opened = echoing(served)
        client.send(begun(client, hasleader="true"), frame(DATA, 0, 1, framed(b"one")))
        await client.until(DATA)
        assert opened[0].call.needs_leader
        for number, leaderless_us in ((3, 3001), (5, None)):
            served.node.own_readiness = Readiness(leaderless_us=leaderless_us, election_timeout_us=1000)
            client.send(begun(client, number, hasleader="true"), frame(DATA, 0, number, framed(b"one")))
            fields, _ = await client.answer(number)
            assert (fields[b"grpc-status"], fields[b"grpc-message"]) == (b"14", b"etcdserver: no leader")
        assert len(opened) == 1


async def test_an_election_refuses_no_stream_that_wants_a_leader() -> None:
    """Whoever watched through the node that died comes in the midst of it."""
    async with serving() as served, raw(served.port) as client:
        opened = echoing(served)
        served.node.own_readiness = Readiness(leaderless_us=3000, election_timeout_us=1000)
        client.send(begun(client, hasleader="true"), frame(DATA, 0, 1, framed(b"one")))
        await client.until(DATA)
        assert opened[0].call.needs_leader


async def test_streams_end_when_the_node_stops_and_their_clients_may_go_on_elsewhere() -> None:
    async with serving() as served, raw(served.port) as client:
        opened = echoing(served)
        client.send(begun(client), frame(DATA, 0, 1, framed(b"one")))
        await client.until(DATA)
        stopping = asyncio.ensure_future(served.runner.cleanup())
        await client.until(GOAWAY)
        fields, _ = await client.answer(1)
        assert (fields[b"grpc-status"], fields[b"grpc-message"]) == (b"14", b"etcdserver: server stopped")
        assert opened[0].happened == ["gone"]
        assert await client.end() == 0
        await stopping


async def test_a_message_of_a_stream_has_a_limit() -> None:
    async with serving() as served, raw(served.port) as client:
        echoing(served)
        client.send(begun(client), frame(DATA, 0, 1, b"\x00" + struct.pack(">I", 70_000)))
        fields, _ = await client.answer(1)
        assert fields[b"grpc-status"] == b"8"


async def snapshot(served: Serving) -> list[tuple[int, bytes]]:
    async with client(served.target) as ask:
        stream = ask.channel.unary_stream(
            "/etcdserverpb.Maintenance/Snapshot", bytes, message("SnapshotResponse").FromString
        )(b"")
        return [(one.remaining_bytes, one.blob) async for one in stream]


async def test_a_snapshot_is_the_file_and_what_etcds_tools_look_for_after_it() -> None:
    async with serving() as served:
        backup = ScriptedBackup(bytes(range(256)) * 1000)
        served.node.backup_file = backup
        pieces = await snapshot(served)
        whole = b"".join(blob for _, blob in pieces)
        assert whole[: len(backup.data)] == backup.data
        assert pieces[-1][0] == 0
        assert len(whole) % 512 == 32
        assert whole[-32:] == hashlib.sha256(whole[:-32]).digest()
        assert backup.closed == 1


async def test_a_snapshot_that_cannot_be_read_breaks_off() -> None:
    async with serving() as served:
        backup = ScriptedBackup(bytes(300_000))
        backup.broken_at = 200_000
        served.node.backup_file = backup
        with pytest.raises(grpc.aio.AioRpcError):
            await snapshot(served)
        assert backup.closed == 1
        served.node.backup_file = ReadFailed("overloaded", "one at a time")
        with pytest.raises(grpc.aio.AioRpcError, match="one at a time"):
            await snapshot(served)
