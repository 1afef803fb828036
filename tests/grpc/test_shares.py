"""What one client of gRPC may have: requests, bytes, and long messages under way; others are served meanwhile.

A client is an address: whoever floods comes from 127.0.0.2 or 127.0.0.3 here, and the machine's own is nobody's.
"""

import struct
from functools import partial

import pytest

from node.api import bodies as limits
from node.api.bodies import BODIES_OF_ONE_BYTES_MAX
from node.api.http2 import counts, shares
from node.api.http2.connections import Http2
from node.api.http2.shares import Share
from node.api.http2.streams import STREAM_WINDOW
from tests.grpc.double import Serving, serving, until
from tests.grpc.messages import message, new
from tests.http2.raw import DATA, HEADERS, PING, RST_STREAM, WINDOW_UPDATE, Raw, frame, raw

PUT = "/etcdserverpb.KV/Put"
TOO_MANY = {b"grpc-status": b"8", b"grpc-message": b"etcdserver: too many requests"}
MIB = 1024 * 1024
FLOODER, ANOTHER = "127.0.0.2", "127.0.0.3"


def put(size: int) -> bytes:
    """A message with a value of so many bytes, as it stands in a body."""
    data: bytes = new("PutRequest", key=b"k", value=bytes(size)).SerializeToString()
    return b"\x00" + struct.pack(">I", len(data)) + data


def begun(client: Raw, stream: int, body: bytes) -> bytes:
    """The frames of a call, as far as they may come unasked; the call goes on."""
    sent = body[:STREAM_WINDOW]
    pieces = [sent[at : at + 16_384] for at in range(0, len(sent), 16_384)]
    return frame(HEADERS, 4, stream, client.block(PUT)) + b"".join(frame(DATA, 0, stream, piece) for piece in pieces)


async def rest(client: Raw, stream: int, body: bytes) -> None:
    """What did not come unasked, once there is room for it."""
    window = STREAM_WINDOW
    while window < len(body):
        came = await client.until(WINDOW_UPDATE, stream)
        window += int.from_bytes(came.payload, "big")
    pieces = [body[at : at + 16_384] for at in range(STREAM_WINDOW, len(body), 16_384)]
    client.send(*(frame(DATA, piece is pieces[-1], stream, piece) for piece in pieces))


async def serves(served: Serving, source: str = ANOTHER) -> None:
    """Another client has its write done."""
    async with raw(served.port, source=source) as other:
        other.send(other.ask(1, put(10)[5:], PUT))
        fields, _ = await other.answer(1)
        assert fields[b"grpc-status"] == b"0"


async def refused(client: Raw, stream: int) -> None:
    fields, _ = await client.answer(stream)
    assert {name: fields[name] for name in TOO_MANY} == TOO_MANY


def is_clean(served: Serving, share: Share) -> bool:
    bodies = served.runner.clients.bodies
    of_one = (share.requests, share.held_bytes, share.short_bytes)
    return not any((*of_one, bodies.held_bytes, served.counts.streams, served.counts.held_bytes))


def share_of(served: Serving, source: str) -> Share:
    return http2_of(served)._shares._of[source]


def http2_of(served: Serving) -> Http2:
    assert served.runner._http2 is not None
    return served.runner._http2


async def test_long_messages_of_one_client_wait_for_their_own_and_others_do_not_wait_for_them() -> None:
    async with serving() as served, raw(served.port, source=FLOODER) as client:
        served.node.holding = True
        body = put(MIB)
        fit = BODIES_OF_ONE_BYTES_MAX // MIB - 1
        """The message is longer than its value: one less than the share would hold of values."""
        numbers = range(1, 2 * fit + 1, 2)
        waits = 2 * fit + 1
        for number in numbers:
            client.send(begun(client, number, body))
            await rest(client, number, body)
        await until(lambda: len(served.node.held) == fit)
        client.send(begun(client, waits, body))
        bodies, share = served.runner.clients.bodies, share_of(served, FLOODER)
        await until(lambda: bodies.waited == 1)
        client.send(client.ask(waits + 2, put(10)[5:], PUT))
        await until(lambda: len(served.node.held) == fit + 1)
        """A short message of the same client waits for nobody."""
        await until(lambda: share.held_bytes == STREAM_WINDOW)
        assert bodies.held_bytes == fit * (len(body) - 5)

        async with raw(served.port, source=ANOTHER) as other:
            other.send(begun(other, 1, body))
            await rest(other, 1, body)
            await until(lambda: len(served.node.held) == fit + 2)
            served.node.let_go()
            assert (await other.answer(1))[0][b"grpc-status"] == b"0"
        for number in numbers:
            assert (await client.answer(number))[0][b"grpc-status"] == b"0"
        await rest(client, waits, body)
        assert (await client.answer(waits))[0][b"grpc-status"] == b"0"
        assert is_clean(served, share)
        assert (bodies.refused, served.counts.over_share) == (0, 0)


async def test_a_long_message_without_room_in_time_is_refused_as_etcd_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ROOM_SECONDS_MAX", 0.05)
    async with serving() as served, raw(served.port, source=FLOODER) as client:
        served.runner.clients.bodies._of_one = MIB + MIB // 2
        served.node.holding = True
        body = put(MIB)
        client.send(begun(client, 1, body))
        await rest(client, 1, body)
        client.send(begun(client, 3, body))
        await refused(client, 3)
        await serves_when_let_go(served)
        assert (await client.answer(1))[0][b"grpc-status"] == b"0"
        assert (served.runner.clients.bodies.refused, served.counts.over_share) == (1, 1)
        assert is_clean(served, share_of(served, FLOODER))
        assert b"raft_http2_over_share_total 1.0" in served.metrics.render()


async def test_a_long_message_for_which_the_log_has_no_room_in_time_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ROOM_SECONDS_MAX", 0.01)
    async with serving() as served, raw(served.port, source=FLOODER) as client:
        served.runner.clients.bodies.log_room = lambda: 0
        client.send(begun(client, 1, put(MIB)))
        fields, _ = await client.answer(1)
        assert fields[b"grpc-status"] == b"8"
        assert fields[b"grpc-message"].startswith(b"etcdserver: the log has no room for a long value")
        await serves(served)
        assert is_clean(served, share_of(served, FLOODER))


async def serves_when_let_go(served: Serving) -> None:
    held = len(served.node.held)
    async with raw(served.port, source=ANOTHER) as other:
        other.send(other.ask(1, put(10)[5:], PUT))
        await until(lambda: len(served.node.held) == held + 1)
        served.node.let_go()
        assert (await other.answer(1))[0][b"grpc-status"] == b"0"


async def test_who_cancels_a_write_has_its_bytes_under_way_until_it_is_done() -> None:
    async with serving() as served, raw(served.port, source=FLOODER) as client:
        served.node.holding = True
        body = put(MIB)
        client.send(begun(client, 1, body))
        await rest(client, 1, body)
        await until(lambda: len(served.node.held) == 1)
        client.send(frame(RST_STREAM, 0, 1, struct.pack(">I", 8)), frame(PING, 0, 0, bytes(8)))
        await client.until(PING)
        share = share_of(served, FLOODER)
        assert served.runner.clients.bodies.held_bytes == len(body) - 5
        served.node.let_go()
        assert is_clean(served, share)


async def test_who_leaves_while_it_waits_leaves_no_trace() -> None:
    async with serving() as served:
        served.runner.clients.bodies._most = 0
        async with raw(served.port, source=FLOODER) as client:
            client.send(begun(client, 1, put(MIB)), begun(client, 3, put(100_000)))
            bodies = served.runner.clients.bodies
            await until(lambda: bodies.waited == 2)
            share = share_of(served, FLOODER)
            client.send(frame(RST_STREAM, 0, 1, struct.pack(">I", 8)), frame(PING, 0, 0, bytes(8)))
            await client.until(PING)
            await until(lambda: len(bodies._waiting) == 1)
        await until(lambda: not bodies._waiting)
        await until(lambda: is_clean(served, share))


async def test_short_messages_under_way_have_a_bound_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "SHORT_OF_ONE_BYTES_MAX", 3 * len(put(1000)))
    async with serving() as served, raw(served.port, source=FLOODER) as client:
        served.node.holding = True
        client.send(*(client.ask(number, put(1000)[5:], PUT) for number in (1, 3, 5, 7)))
        await refused(client, 7)
        await serves_when_let_go(served)
        for number in (1, 3, 5):
            assert (await client.answer(number))[0][b"grpc-status"] == b"0"
        assert is_clean(served, share_of(served, FLOODER))


async def test_one_client_has_three_quarters_of_the_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "REQUESTS_MAX", 8)
    monkeypatch.setattr(shares, "REQUESTS_OF_ONE_MAX", 6)
    async with serving() as served, raw(served.port, source=FLOODER) as first, raw(served.port, source=FLOODER) as more:
        first.send(*(frame(HEADERS, 4, number, first.block()) for number in (1, 3, 5)))
        more.send(*(frame(HEADERS, 4, number, more.block()) for number in (1, 3, 5)))
        await until(lambda: served.counts.streams == 6)
        more.send(more.ask(7))
        await refused(more, 7)
        await serves(served)
        async with raw(served.port, source=ANOTHER) as other:
            other.send(*(frame(HEADERS, 4, number, other.block()) for number in (1, 3, 5)))
            assert (await other.until(RST_STREAM, 5)).code == 7, "all together have no more: it may be sent again"
        first.send(frame(DATA, 1, 1, bytes(5)))
        assert (await first.answer(1))[0][b"grpc-status"] != b"8"


async def test_keep_alives_that_are_not_answered_are_requests_of_their_client() -> None:
    async with serving() as served, raw(served.port, source=FLOODER) as client:
        served.node.holding = True
        client.send(frame(HEADERS, 4, 1, client.block("/etcdserverpb.Lease/LeaseKeepAlive")))
        alive = new("LeaseKeepAliveRequest", ID=7).SerializeToString()
        one = b"\x00" + struct.pack(">I", len(alive)) + alive
        client.send(frame(DATA, 0, 1, one * 3))
        await until(lambda: len(served.node.held) == 3)
        share = share_of(served, FLOODER)
        assert share.requests == 4
        share.requests_max = 3
        client.send(frame(DATA, 0, 1, one))
        await refused(client, 1)
        assert share.requests == 3
        served.node.let_go()
        assert (share.requests, share.under_way) == (0, 0)


async def test_what_is_held_of_one_client_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "HELD_OF_ONE_BYTES_MAX", 100_000)
    async with serving() as served, raw(served.port, source=FLOODER) as client:
        client.send(
            *(frame(HEADERS, 4, at, client.block(PUT)) + frame(DATA, 0, at, put(15_000)) for at in range(1, 15, 2))
        )
        await refused(client, 13)
        await serves(served)
        share = share_of(served, FLOODER)
        assert 80_000 < share.held_bytes <= 100_000
        for at in range(1, 13, 2):
            client.send(frame(RST_STREAM, 0, at, struct.pack(">I", 8)))
        await until(lambda: is_clean(served, share))


async def test_a_partial_message_of_a_stream_is_held_too() -> None:
    async with serving() as served, raw(served.port, source=FLOODER) as client:
        client.send(frame(HEADERS, 4, 1, client.block("/etcdserverpb.Watch/Watch")))
        client.send(frame(DATA, 0, 1, b"\x00" + struct.pack(">I", 20_000) + bytes(10_000)))
        await until(lambda: served.counts.held_bytes == 10_005)
        share = share_of(served, FLOODER)
        client.send(frame(RST_STREAM, 0, 1, struct.pack(">I", 8)))
        await until(lambda: is_clean(served, share))


async def test_a_body_that_is_longer_than_its_message_says_is_broken_off() -> None:
    async with serving() as served, raw(served.port, source=FLOODER) as client:
        body = b"\x00" + struct.pack(">I", 20_000) + bytes(16_000)
        client.send(frame(HEADERS, 4, 1, client.block(PUT)), frame(DATA, 0, 1, body[:16_384]))
        client.send(*(frame(DATA, 0, 1, bytes(4_000)) for _ in range(3)))
        fields, _ = await client.answer(1)
        assert fields[b"grpc-status"] == b"13"
        assert is_clean(served, share_of(served, FLOODER))


async def test_what_one_client_asks_beyond_its_calls_under_way_is_read_when_some_are_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shares, "UNDER_WAY_MAX", 2)
    async with serving() as served, raw(served.port, source=FLOODER) as one, raw(served.port, source=FLOODER) as two:
        served.node.holding = True
        one.send(one.ask(1, put(10)[5:], PUT), one.ask(3))
        await until(lambda: len(served.node.held) == 2)
        share = share_of(served, FLOODER)
        one.send(one.ask(5))
        two.send(two.ask(1))
        async with raw(served.port, source=FLOODER) as third:
            third.send(third.ask(1))
            await until(lambda: served.counts.waited == 3)
            list(http2_of(served)._open)[2].abort()
            assert await third.end() is None
        assert len(share._waiting) == 2, "who is given up waits no more: its turn would be nobody's"
        assert (len(served.node.held), share.under_way) == (2, 2)
        await serves_when_let_go(served)
        for client, number in ((one, 1), (one, 3), (one, 5), (two, 1)):
            assert (await client.answer(number))[0][b"grpc-status"] == b"0"
        assert share.under_way == 0
        assert is_clean(served, share)
        assert b"raft_http2_waited_total" in served.metrics.render()


def test_whoever_waits_for_a_share_comes_in_though_those_before_ask_for_nothing() -> None:
    share, came = shares.Share("a", counts.Counts(), limits.Bodies()), list[int]()
    share.under_way = shares.UNDER_WAY_MAX
    for number in range(shares.UNDER_WAY_MAX + 100):
        share.wait(partial(came.append, number))
    share.done()
    assert came == [0], "there is room for one"
    while share.under_way:
        share.done()
    assert came == list(range(shares.UNDER_WAY_MAX + 100))


async def test_a_call_that_waits_for_others_is_none_that_holds_its_client_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "UNDER_WAY_MAX", 1)
    async with serving() as served, raw(served.port, source=FLOODER) as client:
        lock = "/v3lockpb.Lock/Lock"
        lease = new("LeaseGrantRequest", ID=7, TTL=60).SerializeToString()
        client.send(client.ask(1, lease, "/etcdserverpb.Lease/LeaseGrant"))
        assert (await client.answer(1))[0][b"grpc-status"] == b"0"
        client.send(client.ask(3, new("LockRequest", name=b"a", lease=7).SerializeToString(), lock))
        fields, body = await client.answer(3)
        assert fields[b"grpc-status"] == b"0"
        held = message("LockResponse").FromString(body[5:]).key
        lease = new("LeaseGrantRequest", ID=8, TTL=60).SerializeToString()
        client.send(client.ask(5, lease, "/etcdserverpb.Lease/LeaseGrant"))
        assert (await client.answer(5))[0][b"grpc-status"] == b"0"
        client.send(client.ask(7, new("LockRequest", name=b"a", lease=8).SerializeToString(), lock))
        client.send(client.ask(9, put(10)[5:], PUT))
        assert (await client.answer(9))[0][b"grpc-status"] == b"0"
        assert share_of(served, FLOODER).under_way == 0
        unlock = new("UnlockRequest", key=held).SerializeToString()
        client.send(client.ask(11, unlock, "/v3lockpb.Lock/Unlock"))
        assert (await client.answer(7))[0][b"grpc-status"] == b"0"
