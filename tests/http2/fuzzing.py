"""Any bytes, as what a client sends: the real server's connection takes them, without a socket.

Why it exists: hypothesis tries it in `make test` (test_any_bytes.py), and a fuzzer that follows the code can go on for
hours (`fuzz.py`). It must not know which bytes are right.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

from hpack import Encoder

from node.api.clients import Clients
from node.api.etcd.routes import EtcdApi
from node.api.grpc.services import Beside, grpc_door
from node.api.http2.connections import BEGINNING, Http2
from node.api.http2.counts import Counts
from node.api.quota import UNBOUNDED, Quota
from node.api.slices import Slices
from node.observe.metrics import Metrics
from node.observe.trace import Trace
from tests.grpc.double import REQUEST_TIMEOUT_US, QuickNode
from tests.http2.raw import HEADERS, PREFACE, SETTINGS, frame

TURNS = 40
"""Of the loop for one input: whatever it began is answered by then, or waits for the client."""

INPUT_BYTES_MAX = 4096

PATHS = (
    *(f"/etcdserverpb.KV/{name}" for name in ("Range", "Put", "Txn", "DeleteRange", "Compact")),
    *(f"/etcdserverpb.Lease/{name}" for name in ("LeaseGrant", "LeaseKeepAlive", "LeaseTimeToLive", "LeaseLeases")),
    *(f"/etcdserverpb.Maintenance/{name}" for name in ("Status", "Alarm", "Hash", "HashKV", "Defragment")),
    *("/etcdserverpb.Watch/Watch", "/etcdserverpb.Cluster/MemberList", "/v3lockpb.Lock/Lock"),
    *("/v3electionpb.Election/Campaign", "/v3electionpb.Election/Observe", "/grpc.health.v1.Health/Watch", "/no/such"),
)


class Taking(asyncio.Transport):
    """What a connection writes to: it takes all of it. `told`: what came."""

    def __init__(self, protocol: Any = None) -> None:
        super().__init__()
        self.protocol = protocol
        self.told = bytearray()
        self.closed = False

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def write(self, data: Any) -> None:
        self.told += data

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


class Server:
    """The real doors in front of a scripted node."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.node = QuickNode()
        self.counts = Counts()
        trace = Trace("n1", "boot-1", lambda: 1)
        metrics = Metrics(self.node.status, trace, self.node.loop_age_us, self.node.store, http2=self.counts)
        slices, quota = Slices(), Quota(self.node.store, UNBOUNDED)
        api = EtcdApi(self.node, self.node.store, metrics, lambda: 7, slices, quota, self.node.hub)
        beside = Beside(self.counts, None, lambda: False, REQUEST_TIMEOUT_US)
        self.http2 = Http2(grpc_door(api, self.node, self.node.store, metrics, beside).serve, self.counts)
        self.clients = Clients(10, loop)


def _head(path: str) -> bytes:
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "127.0.0.1")]
    return Encoder().encode([*fields, ("content-type", "application/grpc"), ("te", "trailers")])


_HEADS = [_head(path) for path in PATHS]


def pieces(data: bytes) -> Iterator[bytes]:
    """What a client sends. By the first byte: the very bytes, or frames that are made of them. A frame takes four
    bytes (kind, flags, stream, length) and its payload; one of the kind HEADERS may begin with the head of a call."""
    if not data:
        return
    if data[0] & 1:
        yield PREFACE + frame(SETTINGS, 0, 0) if data[0] & 2 else b""
        yield data[1:]
        return
    yield PREFACE + frame(SETTINGS, 0, 0)
    at, waiting = 1, bytearray()
    while at + 4 <= len(data):
        kind, flags, stream, size = data[at : at + 4]
        payload = data[at + 4 : at + 4 + size]
        at += 4 + size
        if kind & 0x80:  # the length in front of a message of gRPC
            payload = bytes(3) + len(payload).to_bytes(2, "big") + payload
        if kind & 0x0F == HEADERS and flags & 0x80:
            payload, flags = _HEADS[len(payload) % len(_HEADS)] + payload[1:], flags & 0x7F
        waiting += frame(kind & 0x0F, flags, stream, payload)
        if kind & 0x40:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)


async def sent(data: bytes, server: Server | None = None) -> bytes:
    """Send it, wait, and go away: what was answered. Raises `AssertionError` where something stays, and whatever the
    loop caught. `server`: one that others used before."""
    loop = asyncio.get_running_loop()
    caught: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: caught.append(context))
    server, transport = server or Server(loop), Taking()
    began = False
    for piece in pieces(data):
        if not began and len(piece) >= len(BEGINNING) and piece.startswith(BEGINNING):
            server.http2.begin(transport, piece, server.clients)
            began = True
        elif began and not transport.closed:
            transport.protocol.data_received(piece)
        for _ in range(TURNS):
            await asyncio.sleep(0)
    if began:
        transport.protocol.connection_lost(None)
        for _ in range(TURNS):
            await asyncio.sleep(0)
    left = (server.counts.connections, server.counts.streams, server.node.hub.watches)
    assert left == (0, 0, 0), f"connections, streams and watches stay: {left}"
    assert not caught, caught
    _check_frames(bytes(transport.told))
    return bytes(transport.told)


def _check_frames(told: bytes) -> None:
    at = 0
    while at < len(told):
        assert at + 9 <= len(told), "the head of a frame is cut short"
        at += 9 + int.from_bytes(told[at : at + 3], "big")
    assert at == len(told), "a frame is cut short"
