"""The routes of etcd's v3 API: `/v3/kv/...`, status, members and their changes, `/version` and `/health`.

Why it exists: clients of etcd work unchanged for what is there, and get a plain 501 for what is not. It must hold no
more than the table of them: `calls` does what they ask for, `json_door` speaks.
"""

from collections.abc import Callable
from typing import Protocol

from aiohttp import web

from node.api.answers import json_answer
from node.api.etcd import auth_door, errors
from node.api.etcd.auth_calls import AuthCalls
from node.api.etcd.calls import EtcdCalls, ReadableStore
from node.api.etcd.election_calls import ElectionCalls
from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.json_door import Handler, JsonDoor, error_answer
from node.api.etcd.lease_calls import LeaseCalls, LeaseStore
from node.api.etcd.lease_door import LeaseDoor
from node.api.etcd.lock_calls import LockCalls
from node.api.etcd.maintenance import MaintenanceCalls
from node.api.etcd.maintenance_door import routes_of
from node.api.etcd.member_calls import MemberCalls
from node.api.etcd.rendering import CLUSTER_VERSION, SPOKEN_VERSION
from node.api.etcd.turns import Turns
from node.api.etcd.turns_door import TurnsDoor
from node.api.etcd.users import Users
from node.api.etcd.watch_calls import WatchCalls
from node.api.etcd.watch_door import WatchDoor
from node.api.following import Following
from node.api.quota import Quota
from node.api.slices import Slices
from node.observe.metrics import Metrics
from node.runtime.ports import NodeHandle
from node.watching.hub import WatchHub

UNSUPPORTED = ("maintenance/downgrade",)
"""What etcd has and this node has not (yet): 501, code 12."""


class Store(ReadableStore, LeaseStore, Protocol):
    """What all these calls see of the store."""


class EtcdApi:
    """Etcd's routes. `term`: the node's current one. `slices` None: shared with no other routes. `quota` None: the
    store may grow without a limit. `hub`, `following`, `users` None: of its own."""

    def __init__(
        self,
        handle: NodeHandle,
        store: Store,
        metrics: Metrics,
        term: Callable[[], int],
        slices: Slices | None = None,
        quota: Quota | None = None,
        hub: WatchHub | None = None,
        following: Following | None = None,
        users: Users | None = None,
    ) -> None:
        self.slices = slices = slices or Slices()
        self.calls = EtcdCalls(handle, store, metrics, term, slices, quota or Quota(store), users)
        self.auth = AuthCalls(self.calls)
        self.members = MemberCalls(handle, self.calls)
        self.door = JsonDoor(self.calls, slices)
        self.leases = LeaseCalls(self.calls, store, slices, handle.log_time_us)
        self.lease_door = LeaseDoor(self.leases, self.calls, self.door, slices)
        self.maintenance = MaintenanceCalls(handle, store, self.calls, slices)
        hub = hub or WatchHub(store)
        self.watches = WatchCalls(handle, hub, self.calls.users)
        turns = Turns(self.calls, self.leases, hub)
        self.locks, self.elections = LockCalls(turns), ElectionCalls(turns)
        self._turns_door = TurnsDoor(self.calls, self.door, self.locks, self.elections)
        self._watch_door = WatchDoor(self.watches, self.calls.header, slices, following or Following(slices))

    def routes(self) -> list[web.RouteDef]:
        """For the router; the last one under `/v3` takes what the others do not."""
        calls, members, door = self.calls, self.members, self.door
        posts: dict[str, Handler] = {
            "/v3/kv/range": door.keys("RangeRequest", calls.range),
            "/v3/kv/put": door.writes("PutRequest", calls.put),
            "/v3/kv/deleterange": door.writes("DeleteRangeRequest", calls.delete_range),
            "/v3/kv/txn": door.writes("TxnRequest", calls.txn),
            "/v3/kv/compaction": door.writes("CompactionRequest", calls.compact),
            "/v3/maintenance/status": door.status(),
            "/v3/cluster/member/list": door.members("MemberListRequest", members.list),
            "/v3/cluster/member/add": door.members("MemberAddRequest", members.add),
            "/v3/cluster/member/promote": door.members("MemberPromoteRequest", members.promote),
            "/v3/cluster/member/remove": door.members("MemberRemoveRequest", members.remove),
            "/v3/cluster/member/update": door.members("MemberUpdateRequest", members.update),
            "/v3/watch": self._watch_door.watch,
            **routes_of(self.maintenance, door),
            **auth_door.routes_of(self.auth, door),
            **self.lease_door.routes(),
            **self._turns_door.routes(),
            **{f"/v3/{path}": _unsupported for path in UNSUPPORTED},
        }
        return [
            *(web.post(path, handler) for path, handler in posts.items()),
            *(web.route("*", path, _no_method) for path in posts),
            web.route("*", "/v3/{path:.*}", _no_path),
            web.get("/version", _version),
            web.get("/health", self._health),
        ]

    async def _health(self, request: web.Request) -> web.Response:
        """Whether a linearizable read is possible; with `?serializable=true` only whether the node answers."""
        reason = await self.calls.health(request.query.get("serializable") == "true")
        return json_answer({"health": "false" if reason else "true", "reason": reason}, 503 if reason else 200)


async def _version(_request: web.Request) -> web.Response:
    versions = {"etcdserver": SPOKEN_VERSION, "etcdcluster": CLUSTER_VERSION, "storage": CLUSTER_VERSION}
    return json_answer(versions)


async def _unsupported(request: web.Request) -> web.Response:
    what = request.path.removeprefix("/v3/")
    return error_answer(EtcdError(Code.UNIMPLEMENTED, f"etcdserver: {what} is not supported by this cluster"))


async def _no_method(_request: web.Request) -> web.Response:
    return error_answer(EtcdError(Code.UNIMPLEMENTED, errors.NO_METHOD))


async def _no_path(_request: web.Request) -> web.Response:
    return error_answer(EtcdError(Code.NOT_FOUND, errors.NO_PATH))
