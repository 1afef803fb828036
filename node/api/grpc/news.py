"""The answers of leases, watches, locks and elections as gRPC writes them.

Why it exists: as `answers`, which has those of keys. An event is written once for all who want it. What may be long is
written in slices. It must not decide what is answered.
"""

from collections.abc import Iterable

from node.api.etcd.calls import Header
from node.api.etcd.election_calls import Campaigned, Told
from node.api.etcd.lease_calls import TimeToLive
from node.api.etcd.lock_calls import Locked
from node.api.grpc.answers import header_bytes, kv_bytes
from node.api.grpc.wire import varint
from node.api.slices import Steps
from node.statemachine.writes import LeaseGranted, LeaseKept, LeaseNumbers
from node.watching.events import Event, Response

ROWS_PER_STEP = 16
"""Of a list of numbers or keys: one unit of work."""


def _number(tag: bytes, number: int) -> bytes:
    return tag + varint(number) if number else b""


def _bytes(tag: bytes, content: bytes) -> bytes:
    return tag + varint(len(content)) + content if content else b""


def granted(answer: LeaseGranted, header: Header) -> bytes:
    """A LeaseGrantResponse."""
    return header_bytes(header) + _number(b"\x10", answer.id) + _number(b"\x18", answer.ttl_s)


def kept(answer: LeaseKept, header: Header) -> bytes:
    """A LeaseKeepAliveResponse."""
    return header_bytes(header) + _number(b"\x10", answer.id) + _number(b"\x18", answer.ttl_s)


def time_to_live(answer: TimeToLive, header: Header) -> Steps[bytes]:
    """A LeaseTimeToLiveResponse."""
    head = _number(b"\x10", answer.id) + _number(b"\x18", answer.ttl_s) + _number(b"\x20", answer.granted_s)
    rows = yield from _rows(b"\x2a" + varint(len(key)) + key for key in answer.keys)
    return header_bytes(header) + head + rows


def leases(answer: LeaseNumbers, header: Header) -> Steps[bytes]:
    """A LeaseLeasesResponse."""
    rows = yield from _rows(_row(number) for number in answer.ids)
    return header_bytes(header) + rows


def _row(number: int) -> bytes:
    content = b"\x08" + varint(number)
    return b"\x12" + varint(len(content)) + content


def _rows(rows: Iterable[bytes]) -> Steps[bytes]:
    written = bytearray()
    for at, row in enumerate(rows, 1):
        written += row
        if not at % ROWS_PER_STEP:
            yield ROWS_PER_STEP // 4
    return bytes(written)


def locked(answer: Locked, header: Header) -> bytes:
    """A LockResponse."""
    return header_bytes(header) + _bytes(b"\x12", answer.key)


def campaigned(answer: Campaigned, header: Header) -> bytes:
    """A CampaignResponse."""
    leader = answer.leader
    inner = _bytes(b"\x0a", leader.name) + _bytes(b"\x12", leader.key)
    return header_bytes(header) + _bytes(b"\x12", inner + _number(b"\x18", leader.rev) + _number(b"\x20", leader.lease))


def told(answer: Told, header: Header) -> bytes:
    """A LeaderResponse."""
    return header_bytes(header) + _bytes(b"\x12", kv_bytes(answer.kv))


def watched(response: Response, header: Header) -> bytes:
    """A WatchResponse."""
    reason = response.cancel_reason.encode()
    parts = [
        header_bytes(header),
        _number(b"\x10", response.watch_id),
        b"\x18\x01" if response.created else b"",
        b"\x20\x01" if response.canceled else b"",
        _number(b"\x28", response.compact_revision),
        _bytes(b"\x32", reason),
        b"\x38\x01" if response.fragment else b"",
    ]
    parts += (event_bytes(event, with_previous=response.with_previous) for event in response.events)
    return b"".join(parts)


def event_bytes(event: Event, *, with_previous: bool) -> bytes:
    """An event as a field of its response."""
    made = event.protobuf_with_previous if with_previous else event.protobuf
    if made is None:
        content = (b"\x08\x01" if event.is_delete else b"") + _bytes(b"\x12", kv_bytes(event.kv))
        if with_previous and event.previous is not None:
            content += _bytes(b"\x1a", kv_bytes(event.previous))
        made = _bytes(b"\x5a", content)
        if with_previous:
            event.protobuf_with_previous = made
        else:
            event.protobuf = made
    return made
