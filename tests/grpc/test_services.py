"""etcd's services and gRPC's health, asked by Google's client."""

import asyncio
from typing import Any

import grpc
import pytest

from node.runtime.ports import NotProposed, ReadFailed, Readiness, Unknown
from node.statemachine.writes import Put
from tests.grpc.client import KV, Client, client
from tests.grpc.double import Serving, serving, until
from tests.grpc.messages import message, new
from tests.http2.raw import DATA, HEADERS, frame, raw


async def refused(call: object) -> tuple[int, str]:
    """Code and sentence of a call that fails."""
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await call  # type: ignore[misc]
    return failed.value.code().value[0], failed.value.details() or ""


async def test_a_key_is_put_read_changed_and_deleted() -> None:
    async with serving() as served, client(served.target) as ask:
        put = await ask.put(b"a", b"1")
        assert (put.header.revision, put.header.raft_term) == (2, 7)
        found = await ask.range(b"a")
        assert [(kv.key, kv.value, kv.mod_revision, kv.version) for kv in found.kvs] == [(b"a", b"1", 2, 1)]
        assert found.count == 1
        again = await ask.put(b"a", b"2", prev_kv=True)
        assert again.prev_kv.value == b"1"
        old = await ask.range(b"a", revision=2)
        assert old.kvs[0].value == b"1"
        deleted = await ask.ask(
            f"{KV}/DeleteRange", ("DeleteRangeRequest", "DeleteRangeResponse"), key=b"a", prev_kv=True
        )
        assert (deleted.deleted, deleted.prev_kvs[0].value) == (1, b"2")
        assert (await ask.range(b"a")).count == 0


async def test_a_transaction_takes_the_branch_that_holds() -> None:
    async with serving() as served, client(served.target) as ask:
        created = await ask.ask(f"{KV}/Txn", ("TxnRequest", "TxnResponse"), **create_if_missing(b"k", b"v"))
        assert created.succeeded
        assert created.responses[0].response_put.header.revision == 2
        again = await ask.ask(f"{KV}/Txn", ("TxnRequest", "TxnResponse"), **create_if_missing(b"k", b"w"))
        assert not again.succeeded
        assert again.responses[0].response_range.kvs[0].value == b"v"


def create_if_missing(key: bytes, value: bytes) -> dict[str, Any]:
    return {
        "compare": [new("Compare", key=key, target=2, mod_revision=0)],
        "success": [new("RequestOp", request_put=new("PutRequest", key=key, value=value))],
        "failure": [new("RequestOp", request_range=new("RangeRequest", key=key))],
    }


async def test_errors_have_etcds_codes_and_sentences() -> None:
    async with serving() as served, client(served.target) as ask:
        assert await refused(ask.put(b"", b"v")) == (3, "etcdserver: key is not provided")
        await ask.put(b"a", b"1")
        future = (11, "etcdserver: mvcc: required revision is a future revision")
        assert await refused(ask.range(b"a", revision=99)) == future
        compact = ask.ask(f"{KV}/Compact", ("CompactionRequest", "CompactionResponse"), revision=99)
        assert await refused(compact) == future
        assert await refused(ask.put(b"b", bytes(1024 * 1536))) == (3, "etcdserver: request is too large")
        size = len(new("PutRequest", key=b"b", value=bytes(2 * 1024 * 1024)).SerializeToString())
        too_long = (8, f"grpc: received message larger than max ({size} vs. 2097152)")
        assert await refused(ask.put(b"b", bytes(2 * 1024 * 1024))) == too_long


async def test_what_became_of_a_write_shows_in_its_code() -> None:
    async with serving() as served, client(served.target) as ask:
        served.node.outcome = NotProposed("no-leader", "nobody leads", "")
        assert await refused(ask.put(b"a", b"1")) == (14, "etcdserver: no leader")
        served.node.outcome = Unknown("the leader is gone")
        code, sentence = await refused(ask.put(b"a", b"1"))
        assert code == 4
        assert "unknown" in sentence
        served.node.read_failure = ReadFailed("no-leader", "nobody leads", "")
        assert await refused(ask.range(b"a")) == (14, "etcdserver: no leader")
        assert (await ask.range(b"a", serializable=True)).count == 0


async def test_a_full_store_takes_no_more_but_lets_go() -> None:
    async with serving(quota_bytes=1000) as served, client(served.target) as ask:
        await ask.put(b"a", bytes(900))
        assert await refused(ask.put(b"b", b"1")) == (8, "etcdserver: mvcc: database space exceeded")
        txn: dict[str, Any] = {"success": [new("RequestOp", request_put=new("PutRequest", key=b"b"))]}
        refusal = await refused(ask.ask(f"{KV}/Txn", ("TxnRequest", "TxnResponse"), **txn))
        assert refusal == (8, "etcdserver: mvcc: database space exceeded")
        gone = await ask.ask(f"{KV}/DeleteRange", ("DeleteRangeRequest", "DeleteRangeResponse"), key=b"a")
        assert gone.deleted == 1


async def test_what_is_not_there_answers_unimplemented() -> None:
    async with serving() as served, client(served.target) as ask:
        unknown = "unknown method RangeStream for service etcdserverpb.KV"
        assert await refused(ask.raw(f"{KV}/RangeStream", b"")) == (12, unknown)
        assert await refused(ask.raw("/etcdserverpb.Nothing/Do", b"")) == (12, "unknown service etcdserverpb.Nothing")
        assert (await refused(ask.raw("/etcdserverpb.Maintenance/Downgrade", b"")))[0] == 12
        status = await ask.ask("/etcdserverpb.Auth/AuthStatus", ("AuthStatusRequest", "AuthStatusResponse"))
        assert (status.enabled, status.header.revision) == (False, 1)


async def test_who_wants_a_leader_is_refused_where_none_is_known() -> None:
    wants = (("hasleader", "true"),)
    async with serving() as served, client(served.target) as ask:
        assert (await ask.range(b"a", metadata=wants)).count == 0
        served.node.own_readiness = Readiness(leaderless_us=1)
        assert await refused(ask.range(b"a", metadata=wants)) == (14, "etcdserver: no leader")
        assert (await ask.range(b"a")).count == 0


async def test_a_simulated_failure_keeps_clients_out() -> None:
    async with serving() as served, client(served.target) as ask:
        served.failing = True
        assert (await refused(ask.range(b"a")))[0] == 14
        served.failing = False
        assert (await ask.range(b"a")).count == 0


async def test_a_clients_time_limit_reaches_the_node() -> None:
    async with serving() as served, client(served.target) as ask:
        await ask.put(b"a", b"1", timeout=2)
        told = served.node.timeouts_us[-1]
        assert told is not None
        assert 1_000_000 < told <= 2_010_000, "Google's client says hundredths of a second, rounded up"
        await ask.put(b"a", b"1", timeout=60)  # longer than a node waits: its own
        assert served.node.timeouts_us[-1] is None


async def test_a_call_in_a_task_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as served, client(served.target) as ask:

        async def never(_timeout_us: int | None) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(served.node, "read_barrier", never)
        assert (await refused(ask.range(b"a", b"b", timeout=0.2)))[0] == 4


async def test_a_range_longer_than_all_windows_comes_whole() -> None:
    async with serving() as served, client(served.target) as ask:
        served.node.do(*(Put(b"k%05d" % at, bytes(1000)) for at in range(3000)))
        found = await ask.range(b"k", b"l")
        assert (found.count, len(found.kvs), found.more) == (3000, 3000, False)
        assert [kv.key for kv in found.kvs] == [b"k%05d" % at for at in range(3000)]
        part = await ask.range(b"k", b"l", limit=10)
        assert (part.count, len(part.kvs), part.more) == (3000, 10, True)
        value = bytes(range(256)) * 4096
        await ask.put(b"v", value)
        assert (await ask.range(b"v")).kvs[0].value == value
        assert served.counts.held_bytes == 0


async def test_a_transaction_with_long_ranges_comes_whole() -> None:
    async with serving() as served, client(served.target) as ask:
        served.node.do(*(Put(b"k%05d" % at, bytes(100)) for at in range(2000)))
        every = new("RequestOp", request_range=new("RangeRequest", key=b"k", range_end=b"l"))
        inner = new("RequestOp", request_txn=new("TxnRequest", success=[every]))
        put = new("RequestOp", request_put=new("PutRequest", key=b"x", value=b"1"))
        found = await ask.ask(f"{KV}/Txn", ("TxnRequest", "TxnResponse"), success=[every, inner, put])
        assert len(found.responses[0].response_range.kvs) == 2000
        assert len(found.responses[1].response_txn.responses[0].response_range.kvs) == 2000
        assert found.responses[2].response_put.header.revision == found.header.revision


async def test_the_cluster_and_its_maintenance_answer() -> None:
    async with serving() as served, client(served.target) as ask:
        await ask.put(b"a", b"1")
        members = await ask.ask("/etcdserverpb.Cluster/MemberList", ("MemberListRequest", "MemberListResponse"))
        assert [member.name for member in members.members] == ["n1", "n2", "n3"]
        at = "/etcdserverpb.Maintenance"
        status = await ask.ask(f"{at}/Status", ("StatusRequest", "StatusResponse"))
        assert status.version.startswith("3.6.")
        assert status.dbSize > 0
        hashed = await ask.ask(f"{at}/HashKV", ("HashKVRequest", "HashKVResponse"))
        assert (hashed.hash_revision, hashed.compact_revision) == (2, -1)
        assert hashed.hash == (await ask.ask(f"{at}/Hash", ("HashRequest", "HashResponse"))).hash
        assert not (await ask.ask(f"{at}/Alarm", ("AlarmRequest", "AlarmResponse"))).alarms
        await ask.ask(f"{at}/Defragment", ("DefragmentRequest", "DefragmentResponse"))
        move = ask.ask(f"{at}/MoveLeader", ("MoveLeaderRequest", "MoveLeaderResponse"), targetID=5)
        assert await refused(move) == (9, "etcdserver: bad leader transferee")


async def test_health_is_told_once_and_whenever_it_changes() -> None:
    async with serving() as served, client(served.target) as ask:
        kinds = "HealthCheckRequest", "HealthCheckResponse"
        path = "/grpc.health.v1.Health"
        assert (await ask.ask(f"{path}/Check", kinds)).status == 1
        assert (await ask.ask(f"{path}/Check", kinds, service="etcdserverpb.KV")).status == 1
        assert await refused(ask.ask(f"{path}/Check", kinds, service="x")) == (5, "unknown service")
        watch = ask.stream(f"{path}/Watch", [b""])
        assert message("HealthCheckResponse").FromString(await watch.read()).status == 1
        served.node.own_readiness = Readiness(leaving=True)
        assert message("HealthCheckResponse").FromString(await watch.read()).status == 2
        watch.cancel()
        assert await watch.code() == grpc.StatusCode.CANCELLED


async def test_many_calls_at_once_get_their_own_answers() -> None:
    async with serving() as served, client(served.target) as ask:
        await asyncio.gather(*(ask.put(b"k%d" % at, b"v%d" % at) for at in range(100)))
        found = await asyncio.gather(*(ask.range(b"k%d" % at) for at in range(100)))
        assert [one.kvs[0].value for one in found] == [b"v%d" % at for at in range(100)]
        assert served.counts.streams == 0
        assert served.counts.requests == 200


async def test_a_message_that_cannot_be_read_is_an_error_of_its_client() -> None:
    async with serving() as served, client(served.target) as ask:
        wrong = (13, "grpc: error unmarshalling request: proto: wrong wireType = 0 for field Key")
        assert await refused(ask.raw(f"{KV}/Range", b"\x08\x01")) == wrong
        cut = (13, "grpc: error unmarshalling request: unexpected EOF")
        assert await refused(ask.raw(f"{KV}/Range", b"\x0a\x05a")) == cut


@pytest.mark.parametrize(
    ("body", "code", "sentence"),
    [
        (b"\x01\x00\x00\x00\x00", b"12", b"grpc: this server takes no compressed messages"),
        (b"\x00\x00\x00\x00\x03\x0a\x01a\x00\x00\x00\x00\x00", b"13", b"the request does not hold one whole message"),
        (b"\x00\x00\x00\x00\x04\x0a\x01a", b"13", b"grpc: the request does not hold one whole message"),
        (b"\x00\x00", b"13", b"grpc: the request holds no message"),
    ],
)
async def test_a_body_holds_one_whole_message(body: bytes, code: bytes, sentence: bytes) -> None:
    async with serving() as served, raw(served.port) as client:
        client.send(frame(HEADERS, 4, 1, client.block(f"{KV}/Range")), frame(DATA, 1, 1, body))
        fields, _ = await client.answer(1)
        assert fields[b"grpc-status"] == code
        assert fields[b"grpc-message"].endswith(sentence)


async def test_a_read_asks_the_others_unless_it_may_be_stale() -> None:
    async with serving() as served, client(served.target) as ask:
        await ask.range(b"a")
        assert served.node.barriers == 1
        await ask.range(b"a", serializable=True)
        assert served.node.barriers == 1


async def test_a_cancelled_call_is_let_go(served_and_asked: "tuple[Serving, Client]") -> None:
    served, ask = served_and_asked
    served.node.holding = True
    call = asyncio.ensure_future(ask.put(b"a", b"1"))
    await until(lambda: served.node.held)
    assert served.counts.streams == 1
    call.cancel()
    await until(lambda: not served.counts.streams)
    served.node.let_go()  # its answer finds nobody
    assert (await ask.range(b"a")).kvs[0].value == b"1"
    assert served.counts.held_bytes == 0


@pytest.fixture
async def served_and_asked():  # type: ignore[no-untyped-def]
    async with serving() as served, client(served.target) as ask:
        yield served, ask
