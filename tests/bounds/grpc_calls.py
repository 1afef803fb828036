"""For gRPC's calls their largest forms, as frames: whatever one read may hold, and the longest answers.

Why it exists: the walk over all routes takes its cases from here. No window bounds an answer; the client's own messages
keep to what there is room for at once.
"""

import struct
from collections.abc import Mapping
from typing import Any

from hpack import Encoder

from node.api.bodies import BODIES_OF_ONE_BYTES_MAX
from tests.bounds.requests import Case
from tests.grpc.messages import new
from tests.http2.raw import DATA, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame, grown, setting

FIRST_WINDOW = 65_535
EVERYTHING: dict[str, Any] = {"key": b"\0", "range_end": b"\0"}


def _head(encoder: Encoder, path: str) -> bytes:
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "127.0.0.1")]
    block: bytes = encoder.encode([*fields, ("content-type", "application/grpc"), ("te", "trailers")])
    return block


def calls(*asked: tuple[str, bytes], extra: bytes = b"") -> bytes:
    """One connection with these calls; it ends with the last answer."""
    encoder, data = Encoder(), [PREFACE, frame(SETTINGS, 0, 0, setting(4, 2**31 - 1)), grown(0, 2**31 - 65_536)]
    for at, (path, message) in enumerate(asked):
        body = b"\x00" + struct.pack(">I", len(message)) + message
        assert len(body) <= BODIES_OF_ONE_BYTES_MAX
        data.append(frame(HEADERS, 4, 2 * at + 1, _head(encoder, path)))
        pieces = [body[start : start + 16_384] for start in range(0, len(body), 16_384)]
        data += [frame(DATA, piece is pieces[-1], 2 * at + 1, piece) for piece in pieces]
    return b"".join((*data, extra, frame(GOAWAY, 0, 0, bytes(8))))


def _txn() -> bytes:
    compare = new("Compare", target=1, result=1, create_revision=0, **EVERYTHING)
    every = new("RequestOp", request_range=new("RangeRequest", **EVERYTHING))
    puts = [new("RequestOp", request_put=new("PutRequest", key=b"txn-%d" % at, value=bytes(2000))) for at in range(96)]
    data: bytes = new("TxnRequest", compare=[compare] * 4, success=[every, *puts], failure=[every]).SerializeToString()
    return data


def _flood() -> bytes:
    encoder = Encoder()
    return b"".join(
        frame(HEADERS, 4, at, _head(encoder, "/etcdserverpb.KV/Put")) + frame(RST_STREAM, 0, at, struct.pack(">I", 8))
        for at in range(10_001, 18_001, 2)
    )


_KV = "/etcdserverpb.KV"
_PUT: bytes = new("PutRequest", key=b"key-000007", value=b"v" * 200).SerializeToString()

CALLS: Mapping[str, Case] = {
    "Range of every key": Case(calls((f"{_KV}/Range", new("RangeRequest", **EVERYTHING).SerializeToString()))),
    "Txn of every key": Case(calls((f"{_KV}/Txn", _txn()))),
    "HashKV": Case(calls(("/etcdserverpb.Maintenance/HashKV", b""))),
    "Put of a long value": Case(
        calls((f"{_KV}/Put", new("PutRequest", key=b"k", value=bytes(60_000)).SerializeToString()))
    ),
    "Put of many fields": Case(calls((f"{_KV}/Put", b"\x20\x01" * 30_000))),
    "Put of one group": Case(calls((f"{_KV}/Put", b"\xfb\x06" + b"\x08\x05" * 30_000))),
    "a thousand puts in one read": Case(calls(*[(f"{_KV}/Put", _PUT)] * 1000)),
    "resets without end": Case(calls((f"{_KV}/Put", _PUT), extra=_flood())),
}
