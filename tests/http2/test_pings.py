"""Clients of gRPC answer each piece of a stream with a ping, to measure the way: that is no flood."""

import struct

from node.api.http2.floods import PINGS
from tests.grpc.double import serving
from tests.grpc.test_streaming import ECHO, echoing, framed
from tests.http2.raw import CALM, DATA, HEADERS, PING, frame, raw

PIECES = 4 * int(PINGS.most)


async def test_a_ping_for_each_piece_of_a_stream_is_no_flood() -> None:
    """So does the client of etcd that Kubernetes has, for each change that a watch tells it."""
    async with serving() as served, raw(served.port) as client:
        echoing(served)
        client.send(frame(HEADERS, 4, 1, client.block(ECHO)))
        for number in range(PIECES):
            client.send(frame(DATA, 0, 1, framed(b"a")))
            await client.until(DATA, 1)
            client.send(frame(PING, 0, 0, struct.pack(">Q", number)))
            await client.until(PING)
        assert client.went is None
        assert served.counts.faults == {}


async def test_pings_beyond_the_pieces_are_one() -> None:
    async with serving() as served, raw(served.port) as client:
        echoing(served)
        client.send(frame(HEADERS, 4, 1, client.block(ECHO)))
        client.send(frame(DATA, 0, 1, framed(b"a")))
        await client.until(DATA, 1)
        client.send(frame(PING, 0, 0, bytes(8)) * PIECES)
        assert await client.end() == CALM
