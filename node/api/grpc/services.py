"""The methods of gRPC by path: etcd's services as far as they are here, and gRPC's own for health.

Why it exists: it is the table of what is spoken; every line says which call of `node.api.etcd` it means. A method that
is not here answers code 12, as etcd does for those that it does not know. It must not hold more than
the table, and what the door needs for it.
"""

from collections.abc import AsyncGenerator, Callable
from typing import NamedTuple, Protocol

from node.access.entrance import Access
from node.api.backup import BACKUP_SECONDS_MAX, pieces_of
from node.api.etcd.auth_calls import AuthCalls
from node.api.etcd.auth_methods import methods_of
from node.api.etcd.calls import EtcdCalls, ReadableStore
from node.api.etcd.maintenance import MaintenanceCalls
from node.api.etcd.maintenance_door import BLOB_BYTES
from node.api.etcd.member_calls import MemberCalls
from node.api.etcd.routes import EtcdApi
from node.api.etcd.schema import Message
from node.api.etcd.watch_calls import WatchCalls
from node.api.gate import Gate
from node.api.grpc import answers
from node.api.grpc.door import GrpcDoor, Now
from node.api.grpc.health import Health
from node.api.grpc.leases import leases
from node.api.grpc.methods import Call, KeysMethod, Methods, PlainMethod, StreamMethod
from node.api.grpc.quick import QuickCalls, Submitter
from node.api.grpc.streaming import GeneratedStream
from node.api.grpc.turns import turns
from node.api.grpc.unary import Around
from node.api.grpc.watches import WatchedCall
from node.api.http2.counts import Counts
from node.api.operations import ready
from node.api.slices import Slices
from node.observe.metrics import Metrics
from node.runtime.ports import NodeHandle
from node.trailer import Trailer

STREAM_LEADERLESS_TIMEOUTS = 3
"""As with streams that are open (see watch_timers.py), and as with etcd's: of the longest election timeout."""


class QuickNode(NodeHandle, Submitter, Protocol):
    """A node that answers tasks and calls."""


def keys(calls: EtcdCalls, quick: QuickCalls) -> Methods:
    """The KV service."""
    return {
        "/etcdserverpb.KV/Range": KeysMethod("RangeRequest", calls.range, quick.range),
        "/etcdserverpb.KV/Put": KeysMethod("PutRequest", calls.put, quick.put),
        "/etcdserverpb.KV/DeleteRange": KeysMethod("DeleteRangeRequest", calls.delete_range, quick.delete_range),
        "/etcdserverpb.KV/Txn": KeysMethod("TxnRequest", calls.txn, quick.txn),
        "/etcdserverpb.KV/Compact": KeysMethod("CompactionRequest", calls.compact),
    }


def cluster(members: MemberCalls) -> Methods:
    """The Cluster service."""
    return {
        "/etcdserverpb.Cluster/MemberList": PlainMethod("MemberListRequest", members.list, answers.members),
        "/etcdserverpb.Cluster/MemberAdd": PlainMethod("MemberAddRequest", members.add, answers.members_added),
        "/etcdserverpb.Cluster/MemberPromote": PlainMethod("MemberPromoteRequest", members.promote, answers.members),
        "/etcdserverpb.Cluster/MemberRemove": PlainMethod("MemberRemoveRequest", members.remove, answers.members),
        "/etcdserverpb.Cluster/MemberUpdate": PlainMethod("MemberUpdateRequest", members.update, answers.members),
    }


def maintenance(api: EtcdApi) -> Methods:
    """The Maintenance service, but for its stream."""
    calls = api.maintenance
    return {
        "/etcdserverpb.Maintenance/Status": PlainMethod("StatusRequest", api.calls.status, answers.status),
        "/etcdserverpb.Maintenance/Alarm": PlainMethod("AlarmRequest", calls.alarm, answers.alarm),
        "/etcdserverpb.Maintenance/Defragment": PlainMethod("DefragmentRequest", calls.defragment, answers.nothing),
        "/etcdserverpb.Maintenance/Hash": PlainMethod("HashRequest", calls.hash, answers.hash_of),
        "/etcdserverpb.Maintenance/HashKV": PlainMethod("HashKVRequest", calls.hash_kv, answers.hash_kv),
        "/etcdserverpb.Maintenance/MoveLeader": PlainMethod("MoveLeaderRequest", calls.move_leader, answers.nothing),
    }


def snapshot(calls: MaintenanceCalls, around: Around) -> Methods:
    """The Maintenance service's stream: the file of `/backup` and its trailer, which `raft-node restore` takes."""

    async def read(message: Message) -> AsyncGenerator[bytes, None]:
        backup, trailer = await calls.snapshot(message, 0), Trailer()
        try:
            remaining = backup.info.size_bytes
            async for piece in pieces_of(backup, BLOB_BYTES):
                trailer.add(piece)
                remaining -= len(piece)
                yield answers.snapshot(remaining, piece)
            yield answers.snapshot(0, trailer.end())
        finally:
            backup.close()

    def open_stream(call: Call) -> GeneratedStream:
        return GeneratedStream(call, around, read, BACKUP_SECONDS_MAX)

    return {"/etcdserverpb.Maintenance/Snapshot": StreamMethod("SnapshotRequest", open_stream)}


def auth(calls: AuthCalls) -> Methods:
    """The Auth service."""
    return {
        f"/etcdserverpb.Auth/{each.rpc}": PlainMethod(
            f"{each.message}Request", each.call, answers.auth(f"{each.message}Response")
        )
        for each in methods_of(calls)
    }


def watches(found: WatchCalls, calls: EtcdCalls, slices: Slices) -> Methods:
    """The Watch service."""

    def open_stream(call: Call) -> WatchedCall:
        return WatchedCall(call, found, calls.header, slices)

    return {"/etcdserverpb.Watch/Watch": StreamMethod("WatchRequest", open_stream)}


class Beside(NamedTuple):
    """What else of the node gRPC has to do with. `gate` None: all comes in at once. `failing`: whether a simulated
    failure keeps clients out now. `request_timeout_us`: how long a request may wait that names no time. `access` None:
    everything is open."""

    counts: Counts
    gate: Gate | None
    failing: Callable[[], bool]
    request_timeout_us: int
    access: Access | None = None


def grpc_door(api: EtcdApi, node: QuickNode, store: ReadableStore, metrics: Metrics, beside: Beside) -> GrpcDoor:
    """The door with all services."""
    calls = api.calls

    def has_leader() -> bool:
        return node.readiness().leaderless_us == 0

    def leaderless() -> bool:
        found = node.readiness()
        limit_us = STREAM_LEADERLESS_TIMEOUTS * found.election_timeout_us
        return found.leaderless_us is None or found.leaderless_us > limit_us

    now = Now(calls.header, has_leader, leaderless, beside.failing, beside.request_timeout_us)
    door = GrpcDoor(now, api.slices, beside.counts, beside.gate, beside.access)
    quick = QuickCalls(calls, node, store, metrics)
    methods = {**keys(calls, quick), **cluster(api.members), **maintenance(api), **auth(api.auth)}
    methods |= leases(api.leases, calls, node, api.slices) | watches(api.watches, calls, api.slices)
    methods |= turns(api.locks, api.elections, calls, door)
    services = {path[1:].rpartition("/")[0] for path in methods}
    door.add({**methods, **snapshot(api.maintenance, door), **Health(lambda: ready(node).ok, services).methods()})
    return door
