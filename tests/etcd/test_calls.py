"""The calls of etcd's API through no door at all: messages in, values out, and errors with their codes."""

from collections.abc import Awaitable, Callable

import pytest

from node.api.etcd.calls import Answered, EtcdCalls, Header, StatusAnswer
from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.identity import cluster_number, member_number
from node.api.etcd.schema import Message
from node.api.quota import Quota
from node.api.slices import Slices
from node.observe.metrics import Metrics
from node.observe.trace import Trace
from node.runtime.ports import DoneUntold, NotProposed, Outcome, ReadFailed, Unknown
from node.statemachine.writes import (
    WRITE_BYTES_MAX,
    CompactResult,
    DeleteResult,
    Put,
    PutResult,
    RangeResult,
    TxnResult,
)
from tests.api.double import ScriptedNode

PUT: Message = {"key": b"a", "value": b"1"}
ALL: Message = {"key": b"\0", "range_end": b"\0"}


@pytest.fixture
async def node() -> ScriptedNode:
    return ScriptedNode()


@pytest.fixture
async def calls(node: ScriptedNode) -> EtcdCalls:
    trace = Trace("n1", "boot", lambda: 0)
    metrics = Metrics(node.status, trace, node.loop_age_us, node.store)
    return EtcdCalls(node, node.store, metrics, lambda: 7, Slices(), Quota(node.store))


async def test_every_call_on_keys_returns_the_stores_own_result(calls: EtcdCalls) -> None:
    put = await calls.put({**PUT, "prev_kv": True}, 10)
    assert (put, put.revision) == (PutResult(2), 2)
    found = await calls.range(ALL, 10)
    assert isinstance(found, RangeResult)
    assert [(kv.key, kv.value) for kv in found.kvs] == [(b"a", b"1")]
    one = await calls.range({"key": b"a"}, 10)
    assert isinstance(one, RangeResult)
    assert one.kvs == found.kvs
    reading = await calls.txn({"success": [{"request_range": ALL}]}, 10)
    assert reading == TxnResult(2, True, (found,))
    writing = await calls.txn({"success": [{"request_put": PUT}, {"request_range": {"key": b"b"}}]}, 10)
    assert writing == TxnResult(3, True, (PutResult(3), RangeResult(3, (), 0, False)))
    assert await calls.delete_range(ALL, 10) == DeleteResult(4, 1)
    assert await calls.compact({"revision": 3}, 10) == CompactResult(4)


async def test_the_header_is_numbers_and_the_answers_of_no_keys_are_values(
    calls: EtcdCalls, node: ScriptedNode
) -> None:
    core = node.own_status.core
    own, cluster = member_number(core.voters[0]), cluster_number(core.cluster_id)
    assert calls.header(5) == Header(cluster, own, 5, 7)
    status = await calls.status({}, 0)
    assert isinstance(status, StatusAnswer)
    assert (status.header, status.leader, status.commit) == (Header(cluster, own, 1, 7), own, core.commit)


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Unknown("no answer in time"), Code.DEADLINE_EXCEEDED),
        (DoneUntold(1, 1, "too long"), Code.DEADLINE_EXCEEDED),
        (NotProposed("no-leader", "none"), Code.UNAVAILABLE),
        (NotProposed("log-full", "full"), Code.RESOURCE_EXHAUSTED),
        (NotProposed("too-large", "too long for one entry"), Code.INVALID_ARGUMENT),
    ],
)
async def test_what_became_of_a_write_is_a_code(
    calls: EtcdCalls, node: ScriptedNode, outcome: Outcome, code: Code
) -> None:
    node.outcome = outcome
    with pytest.raises(EtcdError) as raised:
        await calls.put(PUT, 10)
    assert raised.value.code is code


async def test_a_write_is_judged_by_the_size_that_its_door_says(calls: EtcdCalls, node: ScriptedNode) -> None:
    writes: list[tuple[Callable[[Message, int], Awaitable[Answered]], Message]] = [
        (calls.put, PUT),
        (calls.delete_range, {"key": b"a"}),
        (calls.txn, {"success": [{"request_put": PUT}]}),
    ]
    for call, message in writes:
        with pytest.raises(EtcdError, match="too large"):
            await call(message, WRITE_BYTES_MAX)
    assert node.proposed == []


async def test_a_read_without_a_quorum_is_unavailable_and_reads_nothing(calls: EtcdCalls, node: ScriptedNode) -> None:
    node.read_failure = ReadFailed("no-leader", "no leader is known")
    node.on_barrier = [Put(b"a", b"1")]
    with pytest.raises(EtcdError) as raised:
        await calls.range(ALL, 10)
    assert (raised.value.code, raised.value.message) == (Code.UNAVAILABLE, "etcdserver: no leader")
    assert isinstance(await calls.range({**ALL, "serializable": True}, 10), RangeResult)
