"""Answers on keys, which have code of their own, are what the table writes and Google reads."""

from random import Random
from typing import Any

from node.api.etcd.calls import Answered, Header
from node.api.etcd.rendering import is_small
from node.api.grpc import answers
from node.api.slices import at_once
from node.statemachine.writes import CompactResult, DeleteResult, KeyValue, PutResult, RangeResult, Response, TxnResult
from tests.grpc.messages import new

EDGES = (0, 1, 127, 128, 2**32, 2**63 - 1)


def number(chance: Random) -> int:
    return chance.choice((*EDGES, chance.randrange(2**63)))


def kv(chance: Random) -> KeyValue:
    key, value = (chance.randbytes(chance.choice((0, 1, 127, 128, 300))) for _ in range(2))
    lease = chance.choice((0, 0, 7, -1, -(2**63)))
    return KeyValue(key, value, number(chance), number(chance), number(chance), lease)


def plain(chance: Random) -> Response:
    kvs = tuple(kv(chance) for _ in range(chance.randrange(6)))
    kind = chance.randrange(3)
    if kind == 0:
        return PutResult(number(chance), kv(chance) if chance.random() < 0.5 else None)
    if kind == 1:
        return DeleteResult(number(chance), number(chance), kvs)
    return RangeResult(number(chance), kvs, number(chance), chance.random() < 0.5)


def txn(chance: Random, depth: int = 3) -> TxnResult:
    responses = [
        txn(chance, depth - 1) if depth and chance.random() < 0.3 else plain(chance) for _ in range(chance.randrange(4))
    ]
    return TxnResult(number(chance), chance.random() < 0.5, tuple(responses))


def header_of(chance: Random) -> Header:
    return Header(chance.randrange(2**64), chance.randrange(2**64), number(chance), number(chance))


def kv_of(kv: KeyValue) -> Any:
    return new(
        "KeyValue",
        key=kv.key,
        value=kv.value,
        create_revision=kv.create_revision,
        mod_revision=kv.mod_revision,
        version=kv.version,
        lease=kv.lease,
    )


def google(answer: Answered, header: Any) -> Any:
    if isinstance(answer, PutResult):
        return new("PutResponse", header=header, prev_kv=None if answer.prev is None else kv_of(answer.prev))
    if isinstance(answer, DeleteResult):
        prev = [kv_of(kv) for kv in answer.prev]
        return new("DeleteRangeResponse", header=header, deleted=answer.deleted, prev_kvs=prev)
    if isinstance(answer, RangeResult):
        kvs = [kv_of(kv) for kv in answer.kvs]
        return new("RangeResponse", header=header, kvs=kvs, more=answer.more, count=answer.count)
    if isinstance(answer, CompactResult):
        return new("CompactionResponse", header=header)
    responses = [_inner(response) for response in answer.responses]
    return new("TxnResponse", header=header, succeeded=answer.succeeded, responses=responses)


def _inner(response: Response) -> Any:
    names = {PutResult: "put", DeleteResult: "delete_range", RangeResult: "range", TxnResult: "txn"}
    plain = isinstance(response, TxnResult)
    header = new("ResponseHeader") if plain else new("ResponseHeader", revision=response.revision)
    return new("ResponseOp", **{f"response_{names[type(response)]}": google(response, header)})


def check(answer: Answered, header: Header, piece_bytes: int) -> None:
    fields = {name: getattr(header, name) for name in ("cluster_id", "member_id", "revision", "raft_term")}
    wanted = google(answer, new("ResponseHeader", **fields))
    size, parts = at_once(answers.laying(answer, header))
    pieces = list(answers.pieces(parts, piece_bytes))
    data = b"".join(pieces)
    assert len(data) == size
    assert type(wanted).FromString(data) == wanted
    assert data == wanted.SerializeToString(deterministic=True)
    if is_small(answer):
        assert answers.small(answer, header) == data


def test_an_answer_on_keys_is_googles() -> None:
    chance = Random(1)
    for _ in range(200):
        check(plain(chance), header_of(chance), chance.choice((1, 100, 400)))
    check(CompactResult(7), header_of(chance), 1)


def test_an_answer_of_a_transaction_is_googles() -> None:
    chance = Random(2)
    for _ in range(150):
        check(txn(chance), header_of(chance), chance.choice((1, 100, 400)))
