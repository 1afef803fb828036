"""Answers as etcd's gateway writes them: field names of the protocol, int64 as strings, bytes as base64, defaults
left out.

Why it exists: it is the other half of the form that clients know. It must not decide what is answered. An answer is
made part by part, a part being at most one key with its value, so that whoever sends it can pause anywhere.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator

import msgspec

from node.api.etcd.calls import Answered, Header, StatusAnswer
from node.api.etcd.member_calls import MembersAnswer, MemberView
from node.statemachine.writes import (
    CompactResult,
    DeleteResult,
    KeyValue,
    PutResult,
    RangeResult,
    Response,
    TxnResult,
)

SPOKEN_VERSION = "3.6.8"
"""The release of etcd whose answers these are; clients parse it."""

CLUSTER_VERSION = "3.6.0"

SMALL_KEYS_MAX = 8
SMALL_BYTES_MAX = 32 * 1024
"""An answer of no more keys and bytes of keys and values is made at once: 0.1 ms."""

_NAMES = {
    PutResult: "response_put",
    DeleteResult: "response_delete_range",
    RangeResult: "response_range",
    TxnResult: "response_txn",
}


def header_text(header: Header) -> str:
    """The fields of a header."""
    cluster = f'"cluster_id":"{header.cluster_id}",' if header.cluster_id else ""
    revision = f'"revision":"{header.revision}",' if header.revision else ""
    return f'{cluster}"member_id":"{header.member_id}",{revision}"raft_term":"{header.raft_term}"'


def is_small(answer: Answered) -> bool:
    """Whether it holds nobody up to make the answer in one go."""
    if isinstance(answer, CompactResult):
        return True
    if isinstance(answer, TxnResult):
        return not answer.responses
    if isinstance(answer, PutResult):
        kvs: tuple[KeyValue, ...] = (answer.prev,) if answer.prev is not None else ()
    else:
        kvs = answer.prev if isinstance(answer, DeleteResult) else answer.kvs
    return len(kvs) <= SMALL_KEYS_MAX and sum(len(kv.key) + len(kv.value) for kv in kvs) <= SMALL_BYTES_MAX


def parts_of(answer: Answered, header: Header) -> Iterator[bytes]:
    """The body, with a newline at its end."""
    for text in _parts(answer, header):
        yield text.encode()


def whole(answer: Answered, header: Header) -> bytes:
    """The same in one piece: for what is known to be small."""
    if not isinstance(answer, (TxnResult, CompactResult)):
        return f'{{"header":{{{header_text(header)}}}{"".join(_plain(answer))}\n'.encode()
    return "".join(_parts(answer, header)).encode()


def status_body(answer: StatusAnswer) -> bytes:
    """As etcd says it of itself."""
    fields = {
        "version": SPOKEN_VERSION,
        "dbSize": str(answer.store_bytes),
        "leader": str(answer.leader) if answer.leader else "",
        "raftIndex": str(answer.commit),
        "raftTerm": str(answer.term),
        "raftAppliedIndex": str(answer.applied),
        "errors": problems(answer),
        "dbSizeInUse": str(answer.store_bytes),
        "isLearner": answer.is_learner,
        "storageVersion": CLUSTER_VERSION,
        "dbSizeQuota": str(answer.quota_bytes),
        "downgradeInfo": {},
    }
    present = {name: value for name, value in fields.items() if value or name == "downgradeInfo"}
    return f'{{"header":{{{header_text(answer.header)}}},{_json(present)[1:]}\n'.encode()


def problems(answer: StatusAnswer) -> list[str]:
    """In etcd's words, the blank at the end included."""
    leaderless = [] if answer.leader else ["etcdserver: no leader"]
    return leaderless + ([f"memberID:{answer.header.member_id} alarm:NOSPACE "] if answer.full else [])


def members_body(answer: MembersAnswer) -> bytes:
    """All members, and before them who was added."""
    added = f',"member":{_json(_member(answer.added))}' if answer.added is not None else ""
    listed = f',"members":{_json([_member(one) for one in answer.members])}' if answer.members else ""
    return f'{{"header":{{{header_text(answer.header)}}}{added}{listed}}}\n'.encode()


def _member(member: MemberView) -> dict[str, object]:
    return {
        "ID": str(member.id),
        "name": member.name,
        **({"peerURLs": [member.peer_url]} if member.peer_url else {}),
        **({"clientURLs": [member.client_url]} if member.client_url else {}),
        **({"isLearner": True} if member.is_learner else {}),
    }


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _parts(answer: Answered, header: Header) -> Iterator[str]:
    yield f'{{"header":{{{header_text(header)}}}'
    if isinstance(answer, TxnResult):
        yield from _txn(answer)
    elif isinstance(answer, CompactResult):
        yield "}"
    else:
        yield from _plain(answer)
    yield "\n"


def _plain(result: PutResult | DeleteResult | RangeResult) -> Iterator[str]:
    """What follows the header, with the closing brace."""
    if isinstance(result, PutResult):
        yield f',"prev_kv":{kv_text(result.prev)}}}' if result.prev is not None else "}"
    elif isinstance(result, DeleteResult):
        yield f',"deleted":"{result.deleted}"' if result.deleted else ""
        if result.prev:
            yield ',"prev_kvs":['
            yield from _joined(map(kv_text, result.prev))
            yield "]"
        yield "}"
    else:
        if result.kvs:
            yield ',"kvs":['
            yield from _joined(map(kv_text, result.kvs))
            yield "]"
        yield (',"more":true' if result.more else "") + (f',"count":"{result.count}"}}' if result.count else "}")


def _txn(result: TxnResult) -> Iterator[str]:
    yield ',"succeeded":true' if result.succeeded else ""
    if result.responses:
        yield ',"responses":['
        for number, response in enumerate(result.responses):
            yield f'{"," if number else ""}{{"{_NAMES[type(response)]}":'
            yield from _inner(response)
            yield "}"
        yield "]"
    yield "}"


def _inner(response: Response) -> Iterator[str]:
    """A response inside a transaction: of its header only the revision, and of a nested transaction's nothing."""
    if isinstance(response, TxnResult):
        yield '{"header":{}'
        yield from _txn(response)
    else:
        yield f'{{"header":{{"revision":"{response.revision}"}}'
        yield from _plain(response)


def _joined(texts: Iterable[str]) -> Iterator[str]:
    separator = ""
    for text in texts:
        yield separator + text
        separator = ","


def kv_text(kv: KeyValue) -> str:
    """A version of a key."""
    value = f',"value":"{b64encode(kv.value).decode()}"' if kv.value else ""
    lease = f',"lease":"{kv.lease}"' if kv.lease else ""
    return (
        f'{{"key":"{b64encode(kv.key).decode()}","create_revision":"{kv.create_revision}",'
        f'"mod_revision":"{kv.mod_revision}","version":"{kv.version}"{value}{lease}}}'
    )
