"""The routes of etcd's v3 API: `/v3/kv/...`, status and members, `/version` and `/health`.

Why it exists: clients of etcd work unchanged for what is there, and get a plain 501 for what is not. It differs from
etcd in one thing on purpose: a write whose outcome is not known is 504 with code 4, never 503, because a 503 may be
repeated. It must not retry, and not read the store before the barrier.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, cast

import msgspec
from aiohttp import web

from node.api.answers import json_answer
from node.api.etcd import errors
from node.api.etcd.bodies import read_body
from node.api.etcd.decoding import Message, decode
from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.identity import cluster_number, member_number
from node.api.etcd.rendering import render
from node.api.etcd.requests import (
    check_message_size,
    check_write_size,
    compact_of,
    delete_of,
    is_serializable,
    only_reads,
    put_of,
    range_of,
    txn_of,
)
from node.observe.metrics import Metrics
from node.raft.types import Member
from node.runtime.ports import Done, DoneUntold, NodeHandle, NotProposed, Outcome, ReadFailed, Unknown
from node.statemachine.commands import (
    Command,
    Compacted,
    FutureRevision,
    Range,
    RangeResult,
    ReadError,
    Refused,
    Result,
    Txn,
    encode_command,
)

SPOKEN_VERSION = "3.6.8"
"""The release of etcd whose answers these are; clients parse it."""

CLUSTER_VERSION = "3.6.0"

UNSUPPORTED = (
    *("lease/grant", "lease/revoke", "lease/keepalive", "lease/timetolive", "lease/leases"),
    *("kv/lease/revoke", "kv/lease/timetolive", "kv/lease/leases", "watch"),
    *("cluster/member/add", "cluster/member/remove", "cluster/member/update", "cluster/member/promote"),
    *("maintenance/alarm", "maintenance/defragment", "maintenance/hash", "maintenance/hashkv"),
    *("maintenance/snapshot", "maintenance/transfer-leadership", "maintenance/downgrade"),
    *("auth/authenticate", "auth/enable", "auth/disable", "auth/status"),
    *(f"auth/user/{verb}" for verb in ("add", "get", "list", "delete", "changepw", "grant", "revoke")),
    *(f"auth/role/{verb}" for verb in ("add", "get", "list", "delete", "grant", "revoke")),
    *("election/campaign", "election/proclaim", "election/leader", "election/observe", "election/resign"),
    *("lock/lock", "lock/unlock"),
)
"""What etcd has and this node has not (yet): 501, code 12."""

_LOG = logging.getLogger("node.api")

Call = Callable[[Message, int], Awaitable[str]]


class ReadableStore(Protocol):
    """What this API sees of the store. `KeyValueStore` satisfies it."""

    @property
    def revision(self) -> int: ...
    def read(self, wanted: Range) -> RangeResult | ReadError: ...
    def read_txn(self, txn: Txn) -> Result: ...


class EtcdApi:
    """Handlers of etcd's routes. `term`: the node's current one."""

    def __init__(self, handle: NodeHandle, store: ReadableStore, metrics: Metrics, term: Callable[[], int]) -> None:
        self._handle = handle
        self._store = store
        self._metrics = metrics
        self._term = term
        self._ids = ""

    def routes(self) -> list[web.RouteDef]:
        """For the router; the last one takes what the others do not."""
        calls: dict[str, tuple[str, Call]] = {
            "/v3/kv/range": ("RangeRequest", self._range),
            "/v3/kv/put": ("PutRequest", self._put),
            "/v3/kv/deleterange": ("DeleteRangeRequest", self._delete),
            "/v3/kv/txn": ("TxnRequest", self._txn),
            "/v3/kv/compaction": ("CompactionRequest", self._compact),
            "/v3/maintenance/status": ("StatusRequest", self._status),
            "/v3/cluster/member/list": ("MemberListRequest", self._members),
        }
        posts = {path: _handler(message, call) for path, (message, call) in calls.items()}
        posts.update({f"/v3/{path}": _unsupported for path in UNSUPPORTED})
        return [
            *(web.post(path, handler) for path, handler in posts.items()),
            *(web.route("*", path, _no_method) for path in posts),
            web.route("*", "/v3/{path:.*}", _no_path),
            web.get("/version", self._version),
            web.get("/health", self._health),
        ]

    async def _range(self, message: Message, _body_bytes: int) -> str:
        wanted = range_of(message)
        if wanted.revision < 0:
            wanted = msgspec.structs.replace(wanted, revision=0)  # outside a transaction any negative one is "now"
        await self._barrier(message.get("serializable", False))
        return await self._answer(self._store.read(wanted))

    async def _put(self, message: Message, body_bytes: int) -> str:
        put = put_of(message)
        check_write_size(message, "PutRequest", body_bytes)
        return await self._write(put)

    async def _delete(self, message: Message, body_bytes: int) -> str:
        delete = delete_of(message)
        check_write_size(message, "DeleteRangeRequest", body_bytes)
        return await self._write(delete)

    async def _txn(self, message: Message, body_bytes: int) -> str:
        txn = txn_of(message)
        if only_reads(txn):
            await self._barrier(is_serializable(message))
            return await self._answer(self._store.read_txn(txn))
        check_write_size(message, "TxnRequest", body_bytes)
        return await self._write(txn)

    async def _compact(self, message: Message, _body_bytes: int) -> str:
        compact = compact_of(message)
        if compact is None:
            raise EtcdError(Code.OUT_OF_RANGE, errors.COMPACTED)
        return await self._write(compact)

    async def _status(self, _message: Message, _body_bytes: int) -> str:
        core = self._handle.status().core
        leader = next((member for member in core.voters if member.name == core.leader), None)
        fields = {
            "version": SPOKEN_VERSION,
            "dbSize": str(core.log_bytes),
            "leader": "" if leader is None else str(member_number(leader)),
            "raftIndex": str(core.commit),
            "raftTerm": str(core.term),
            "raftAppliedIndex": str(core.applied),
            "errors": [] if leader is not None else ["etcdserver: no leader"],
            "dbSizeInUse": str(core.log_bytes),
            "isLearner": core.name in {member.name for member in core.learners},
            "storageVersion": CLUSTER_VERSION,
            "dbSizeQuota": str(core.log_limit_bytes),
            "downgradeInfo": {},
        }
        present = {name: value for name, value in fields.items() if value or name == "downgradeInfo"}
        before, _, after = self._header().partition("|")
        rest = msgspec.json.encode(present).decode()[1:]
        return f'{{"header":{{{before}"revision":"{self._store.revision}",{after}}},{rest}'

    async def _members(self, message: Message, _body_bytes: int) -> str:
        await self._barrier(not message.get("linearizable", False))
        urls = {view.name: view.status.client_url for view in self._handle.views() if view.status is not None}
        core = self._handle.status().core
        members = [
            {
                "ID": str(member_number(member)),
                "name": member.name,
                **({"clientURLs": [urls[member.name]]} if urls.get(member.name) else {}),
                **({"isLearner": True} if member in core.learners else {}),
            }
            for member in (*core.voters, *core.learners)
        ]
        header = self._header().replace("|", "")
        listed = f',"members":{msgspec.json.encode(members).decode()}' if members else ""
        return f'{{"header":{{{header}}}{listed}}}'

    async def _version(self, _request: web.Request) -> web.Response:
        versions = {"etcdserver": SPOKEN_VERSION, "etcdcluster": CLUSTER_VERSION, "storage": CLUSTER_VERSION}
        return json_answer(versions)

    async def _health(self, request: web.Request) -> web.Response:
        """Whether a linearizable read is possible; with `?serializable=true` only whether the node answers."""
        reason = ""
        if request.query.get("serializable") != "true":
            failed = await self._handle.read_barrier(None)
            if failed is not None:
                reason = "RAFT NO LEADER" if failed.code == "no-leader" else f"QGET ERROR:{failed.reason}"
        return json_answer({"health": "false" if reason else "true", "reason": reason}, 503 if reason else 200)

    async def _barrier(self, serializable: bool) -> None:
        if serializable:
            self._metrics.read("stale")
            return
        self.check_barrier(await self._handle.read_barrier(None))

    def check_barrier(self, failed: ReadFailed | None) -> None:
        """Count a barrier; raises `EtcdError` where it failed."""
        self._metrics.read("linearizable" if failed is None else failed.code)
        if failed is not None:
            raise EtcdError(Code.UNAVAILABLE, _unavailable(failed))

    async def _write(self, command: Command) -> str:
        try:
            outcome = await self._handle.propose(encode_command(command), None)
        except Exception:
            _LOG.exception("a write failed in the node")
            outcome = Unknown("this node made a mistake while it wrote; its log says which")
        return await self._answer(self.result_of(outcome))

    def result_of(self, outcome: Outcome) -> Result:
        """What the store said, or an `EtcdError` that says what became of the write."""
        if isinstance(outcome, Done):
            self._metrics.proposal("done")
            return cast("Result", outcome.result)
        if isinstance(outcome, DoneUntold):
            self._metrics.proposal("done-untold")
            raise EtcdError(Code.DEADLINE_EXCEEDED, f"etcdserver: the write was done, but {outcome.reason}")
        if isinstance(outcome, Unknown):
            self._metrics.proposal("unknown")
            raise _unknown(outcome.reason)
        self._metrics.proposal(outcome.code)
        if outcome.code == "log-full":
            raise EtcdError(Code.RESOURCE_EXHAUSTED, errors.NO_SPACE)
        raise EtcdError(Code.UNAVAILABLE, _unavailable(outcome))

    async def _answer(self, result: Result) -> str:
        if isinstance(result, Compacted):
            raise EtcdError(Code.OUT_OF_RANGE, errors.COMPACTED)
        if isinstance(result, FutureRevision):
            raise EtcdError(Code.OUT_OF_RANGE, errors.FUTURE_REVISION)
        if isinstance(result, Refused):
            code, message = _REFUSALS.get(result.code, (Code.INVALID_ARGUMENT, f"etcdserver: {result.message}"))
            raise EtcdError(code, message)
        return await render(result, self._header())

    def answer_at_once(self, result: Result) -> bytes:
        """The body that answers a put or the range of one key: these are too small for `render` to pause in."""
        answering = self._answer(result)
        try:
            answering.send(None)
        except StopIteration as end:
            return str(end.value).encode() + b"\n"
        answering.close()
        raise AssertionError("the answer to one key is written in one turn")

    def _header(self) -> str:
        """Fields of a header; the revision's place is at the bar."""
        ids = self._ids
        if not ids:
            core = self._handle.status().core
            cluster = cluster_number(core.cluster_id)
            member = member_number(Member(core.name, core.incarnation))
            ids = (f'"cluster_id":"{cluster}",' if cluster else "") + f'"member_id":"{member}",'
            if cluster:  # it is born: neither changes any more
                self._ids = ids
        return f'{ids}|"raft_term":"{self._term()}"'


_REFUSALS = {
    "key-not-found": (Code.INVALID_ARGUMENT, errors.KEY_NOT_FOUND),
    "lease-not-found": (Code.NOT_FOUND, errors.LEASE_NOT_FOUND),
    "duplicate-key": (Code.INVALID_ARGUMENT, errors.DUPLICATE_KEY),
    "empty-key": (Code.INVALID_ARGUMENT, errors.EMPTY_KEY),
    "too-many-operations": (Code.INVALID_ARGUMENT, errors.TOO_MANY_OPERATIONS),
    "too-large": (Code.INVALID_ARGUMENT, errors.TOO_LARGE),
}


def _handler(name: str, call: Call) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            body = await read_body(request)
            message = decode(body, name)
            check_message_size(message, name, len(body))
            text = await call(message, len(body))
        except EtcdError as error:
            return error.answer()
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        return web.Response(body=text.encode() + b"\n", headers=headers)

    return handle


async def _unsupported(request: web.Request) -> web.Response:
    what = request.path.removeprefix("/v3/")
    return EtcdError(Code.UNIMPLEMENTED, f"etcdserver: {what} is not supported by this cluster").answer()


async def _no_method(_request: web.Request) -> web.Response:
    return EtcdError(Code.UNIMPLEMENTED, errors.NO_METHOD).answer()


async def _no_path(_request: web.Request) -> web.Response:
    return EtcdError(Code.NOT_FOUND, errors.NO_PATH).answer()


def _unavailable(failed: ReadFailed | NotProposed) -> str:
    if failed.code == "no-leader":
        return "etcdserver: no leader"
    return f"etcdserver: {failed.reason}"


def _unknown(reason: str) -> EtcdError:
    return EtcdError(Code.DEADLINE_EXCEEDED, f"etcdserver: it is unknown whether this was done: {reason}")
