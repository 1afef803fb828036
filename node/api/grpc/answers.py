"""Answers as gRPC writes them: protobuf's bytes of what the calls return.

Why it exists: it is what `rendering` is for JSON. What is small is made at once; of what may be long the lengths are
added up first (each message says its own before it begins), and then it is written piece by piece. Keys and values
have code of their own here, for they are most of all bytes; a test holds it to the table. It must not decide what is
answered.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from node.api.etcd.auth_calls import AuthAnswer
from node.api.etcd.calls import Answered, Header, StatusAnswer
from node.api.etcd.maintenance import AlarmAnswer, HashAnswer
from node.api.etcd.member_calls import MembersAnswer, MemberView
from node.api.etcd.rendering import CLUSTER_VERSION, SPOKEN_VERSION, problems
from node.api.etcd.schema import ENUMS
from node.api.grpc.wire import encode, varint
from node.api.slices import Steps
from node.statemachine.writes import (
    CompactResult,
    DeleteResult,
    KeyValue,
    PutResult,
    RangeResult,
    Response,
    TxnResult,
)

Parts = list["bytes | tuple[bytes, Sequence[KeyValue]]"]
"""An answer that is laid out: bytes, and versions with the tag that each is written under."""


@lru_cache(16)
def _ids(cluster: int, member: int) -> bytes:
    return (b"\x08" + varint(cluster) if cluster else b"") + (b"\x10" + varint(member) if member else b"")


@lru_cache(64)
def header_bytes(header: Header) -> bytes:
    """A ResponseHeader, with its tag as the first field of an answer."""
    revision = b"\x18" + varint(header.revision) if header.revision else b""
    term = b"\x20" + varint(header.raft_term) if header.raft_term else b""
    content = _ids(header.cluster_id, header.member_id) + revision + term
    return b"\x0a" + varint(len(content)) + content


def kv_bytes(kv: KeyValue) -> bytes:
    """A KeyValue, without tag and length."""
    key, value = kv.key, kv.value
    return b"".join(
        (
            b"\x0a" + varint(len(key)) + key if key else b"",
            b"\x10" + varint(kv.create_revision) if kv.create_revision else b"",
            b"\x18" + varint(kv.mod_revision) if kv.mod_revision else b"",
            b"\x20" + varint(kv.version) if kv.version else b"",
            b"\x2a" + varint(len(value)) + value if value else b"",
            b"\x30" + varint(kv.lease) if kv.lease else b"",
        )
    )


def _kv_size(kv: KeyValue) -> int:
    """How long `kv_bytes` is."""
    key, value = len(kv.key), len(kv.value)
    size = (1 + _varint_size(key) + key if key else 0) + (1 + _varint_size(value) + value if value else 0)
    for number in (kv.create_revision, kv.mod_revision, kv.version, kv.lease):
        if number:
            size += 1 + _varint_size(number)
    return size


def _varint_size(number: int) -> int:
    return (number.bit_length() + 6) // 7 or 1 if number >= 0 else 10


def _tagged(tag: bytes, content: bytes) -> bytes:
    return tag + varint(len(content)) + content


def small(answer: Answered, header: Header) -> bytes:
    """The whole message of what `is_small`."""
    begin = header_bytes(header)
    if isinstance(answer, PutResult):
        return begin if answer.prev is None else begin + _tagged(b"\x12", kv_bytes(answer.prev))
    if isinstance(answer, CompactResult):
        return begin
    if isinstance(answer, TxnResult):
        return begin + (b"\x10\x01" if answer.succeeded else b"")
    before, tag, kvs, after = _plain(answer)
    return b"".join((begin, before, *(_tagged(tag, kv_bytes(kv)) for kv in kvs), after))


def laying(answer: Answered, header: Header) -> Steps[tuple[int, Parts]]:
    """How long the message is, and its parts, which `pieces` writes."""
    parts: Parts = [header_bytes(header)]
    size = len(header_bytes(header))
    if isinstance(answer, TxnResult):
        size += yield from _lay_txn(answer, parts)
    elif not isinstance(answer, CompactResult):
        size += yield from _lay_plain(answer, parts)
    return size, parts


def pieces(parts: Parts, piece_bytes: int) -> Iterator[bytes]:
    """The message, in pieces that end with the version that brings them to so many bytes."""
    waiting: list[bytes] = []
    size = 0
    for part in parts:
        for one in (part,) if isinstance(part, bytes) else (_tagged(part[0], kv_bytes(kv)) for kv in part[1]):
            waiting.append(one)
            size += len(one)
            if size >= piece_bytes:
                yield b"".join(waiting)
                waiting.clear()
                size = 0
    if waiting:
        yield b"".join(waiting)


def _plain(result: PutResult | DeleteResult | RangeResult) -> tuple[bytes, bytes, Sequence[KeyValue], bytes]:
    """What follows the header: bytes before the versions, their tag, they themselves, bytes after them."""
    if isinstance(result, PutResult):
        return b"", b"\x12", () if result.prev is None else (result.prev,), b""
    if isinstance(result, DeleteResult):
        return b"\x10" + varint(result.deleted) if result.deleted else b"", b"\x1a", result.prev, b""
    count = b"\x20" + varint(result.count) if result.count else b""
    return b"", b"\x12", result.kvs, (b"\x18\x01" if result.more else b"") + count


def _lay_plain(result: PutResult | DeleteResult | RangeResult, parts: Parts) -> Steps[int]:
    before, tag, kvs, after = _plain(result)
    size = len(before) + len(after)
    for kv in kvs:
        inner = _kv_size(kv)
        size += 1 + _varint_size(inner) + inner
        yield 1
    parts += (before, (tag, kvs), after)
    return size


def _lay_txn(result: TxnResult, parts: Parts) -> Steps[int]:
    succeeded = b"\x10\x01" if result.succeeded else b""
    parts.append(succeeded)
    size = len(succeeded)
    for response in result.responses:
        yield 2
        place = len(parts)
        parts.append(b"")
        inner = yield from _lay_inner(response, parts)
        wrapped = _RESPONSE_TAGS[type(response)] + varint(inner)
        begin = b"\x1a" + varint(len(wrapped) + inner) + wrapped
        parts[place] = begin
        size += len(begin) + inner
    return size


def _lay_inner(response: Response, parts: Parts) -> Steps[int]:
    """A response inside a transaction: of its header only the revision, and of a nested transaction's nothing."""
    if isinstance(response, TxnResult):
        parts.append(b"\x0a\x00")
        return 2 + (yield from _lay_txn(response, parts))
    header = _tagged(b"\x0a", b"\x18" + varint(response.revision) if response.revision else b"")
    parts.append(header)
    return len(header) + (yield from _lay_plain(response, parts))


_RESPONSE_TAGS = {RangeResult: b"\x0a", PutResult: b"\x12", DeleteResult: b"\x1a", TxnResult: b"\x22"}


# --- answers that are small, by the table ------------------------------------------------------------------------


def _header(header: Header) -> dict[str, int]:
    return {
        "cluster_id": header.cluster_id,
        "member_id": header.member_id,
        "revision": header.revision,
        "raft_term": header.raft_term,
    }


def status(answer: StatusAnswer) -> bytes:
    """A StatusResponse."""
    fields = {
        "header": _header(answer.header),
        "version": SPOKEN_VERSION,
        "dbSize": answer.store_bytes,
        "leader": answer.leader,
        "raftIndex": answer.commit,
        "raftTerm": answer.term,
        "raftAppliedIndex": answer.applied,
        "errors": problems(answer),
        "dbSizeInUse": answer.store_bytes,
        "isLearner": answer.is_learner,
        "storageVersion": CLUSTER_VERSION,
        "dbSizeQuota": answer.quota_bytes,
        "downgradeInfo": {},
    }
    return encode(fields, "StatusResponse")


def alarm(answer: AlarmAnswer) -> bytes:
    """An AlarmResponse."""
    full = [{"memberID": answer.full, "alarm": ENUMS["AlarmType"]["NOSPACE"]}] if answer.full else []
    return encode({"header": _header(answer.header), "alarms": full}, "AlarmResponse")


def hash_of(answer: HashAnswer) -> bytes:
    """A HashResponse."""
    return encode({"header": _header(answer.header), "hash": answer.hash}, "HashResponse")


def hash_kv(answer: HashAnswer) -> bytes:
    """A HashKVResponse."""
    revisions = {"compact_revision": answer.compact_revision, "hash_revision": answer.revision}
    return encode({"header": _header(answer.header), "hash": answer.hash, **revisions}, "HashKVResponse")


def nothing(_answer: object) -> bytes:
    """A DefragmentResponse or MoveLeaderResponse, as etcd leaves them."""
    return b""


def members(answer: MembersAnswer) -> bytes:
    """The answer of every call on members but of `members_added`."""
    listed = [_member(member) for member in answer.members]
    return encode({"header": _header(answer.header), "members": listed}, "MemberListResponse")


def members_added(answer: MembersAnswer) -> bytes:
    """A MemberAddResponse."""
    listed = [_member(member) for member in answer.members]
    added = None if answer.added is None else _member(answer.added)
    return encode({"header": _header(answer.header), "member": added, "members": listed}, "MemberAddResponse")


def _member(member: MemberView) -> dict[str, Any]:
    return {
        "ID": member.id,
        "name": member.name,
        "peerURLs": [member.peer_url] if member.peer_url else [],
        "clientURLs": [member.client_url] if member.client_url else [],
        "isLearner": member.is_learner,
    }


def auth(message: str) -> Callable[[AuthAnswer], bytes]:
    """Writes one of the Auth service."""
    return lambda answer: encode({"header": _header(answer.header), **answer.fields}, message)


def snapshot(remaining: int, blob: bytes) -> bytes:
    """A SnapshotResponse: a piece, and how much follows."""
    return encode({"remaining_bytes": remaining, "blob": blob, "version": CLUSTER_VERSION}, "SnapshotResponse")


def health(serving: str) -> bytes:
    """A HealthCheckResponse."""
    return encode({"status": ENUMS["ServingStatus"][serving]}, "HealthCheckResponse")
