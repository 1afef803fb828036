"""Keys of one prefix that take turns, the oldest first: what locks and elections are made of, as in etcd's clients.

Why it exists: a lock and an election differ in names alone. Each key is called `NAME/LEASE` (the lease in hex), belongs
to a lease of its own, and its turn has come when no key of the prefix was created before it: it is fair, and the queue
in which `etcdctl lock` and `etcdctl elect` stand as well. All of it is done from here, not by a node's own services for
that: a node that is left behind, or ends, may take back the key of whoever waited there, while another node says that
it is held. It must not use a lease twice: what was sent again and comes late does nothing once its lease has ended.
"""

import asyncio
import base64
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, NamedTuple, TypeVar, cast

from raftclient.asking import Send, ask
from raftclient.errors import HistoryGone, LeaseLost, NotDone
from raftclient.leases import Lease
from raftclient.watching import Change

LOOK_AGAIN_SECONDS = 5.0
"""Who waits for news of a key asks so often whether some were missed: a node that is cut off from the others goes on
with a watch, and hears nothing."""

_T = TypeVar("_T")


class Ways(NamedTuple):
    """What a client lends: its ways to the nodes, and how many seconds one request may take in all its attempts."""

    send: Send
    watch: Callable[[bytes, int], AsyncIterator[Change]]
    lease: Callable[[int], Lease]
    timeout_s: float

    async def ask(
        self, verb: str, message: Mapping[str, object], name: bytes, *, changes: bool = False
    ) -> dict[str, Any]:
        """One message about keys; `name` is for errors. See `asking.ask`."""
        until = asyncio.get_running_loop().time() + self.timeout_s
        return await ask(self.send, f"/v3/kv/{verb}", message, until, (verb.upper(), name), changes=changes)

    async def news(self, key: bytes, revision: int, *, below: bool = False) -> None:
        """Until `key` (or what is `below` it) changes from `revision` on, or it is time to look again."""
        told = cast(AsyncGenerator[Change, None], self.watch(key, revision))
        with contextlib.suppress(TimeoutError, HistoryGone):
            async with asyncio.timeout(LOOK_AGAIN_SECONDS), contextlib.aclosing(told):
                async for change in told:
                    if below or change.key == key:
                        return


class Found(NamedTuple):
    """A key of a queue. `created` and `modified`: revisions. `seen_at`: that of the answer which told of it."""

    key: bytes
    value: bytes
    created: int
    modified: int
    seen_at: int


class Place:
    """One key in the queue called `name`. `token`: its revision of creation; 0: it is not there yet. `had_at`: the
    revision as of which it was found to be the first."""

    def __init__(self, ways: Ways, name: bytes, ttl_s: int) -> None:
        self.key = b""
        self.token = 0
        self.had_at = 0
        self.lease = ways.lease(ttl_s)
        self._ways = ways
        self._name = name
        self._modified = 0
        self._left = False
        self._setting = asyncio.Lock()

    async def take(self, value: bytes, wait_s: float | None) -> None:
        """Stand in the queue until it is this one's turn. Raises `NotDone`, `LeaseLost` where the lease is lost
        meanwhile, TimeoutError where others were before it for `wait_s`. Whoever fails or is cancelled has left."""
        await self.lease.__aenter__()
        try:
            if self._left:  # while the lease was granted
                raise self._gone()
            await _while_it_lives(self.lease, self._take(value, wait_s))
        except BaseException:
            await self.leave()
            raise

    async def leave(self) -> None:
        """The lease is revoked, and the key goes with it; where no node can be asked, once the lease ends. It may be
        called again, and while somebody takes it, who learns of it."""
        self._left = True
        if self.lease.id:
            await self.lease.__aexit__(None, None, None)

    async def set(self, value: bytes) -> int:
        """Another value for the key; the revision of that write. Done once: each attempt demands the revision at which
        the key was last seen. Raises `LeaseLost`, `NotDone`, `OutcomeUnknown`."""
        async with self._setting:
            while True:
                self.lease.check()
                compare = [_is(self.key, "CREATE", self.token), _is(self.key, "MOD", self._modified)]
                answer = await self._txn(compare, [self._put(value)], [_range(key=self.key)], changes=True)
                if answer.get("succeeded"):
                    self._modified = _revision(answer)
                    return self._modified
                there = _found(answer, 0)
                if there is None or there.created != self.token:
                    raise self._gone()
                self._modified = there.modified
                if there.value == value:  # an attempt that was not answered
                    return there.modified

    async def _take(self, value: bytes, wait_s: float | None) -> None:
        before = await self._create(value)
        try:
            async with asyncio.timeout(wait_s):
                while before is not None:
                    before = await self._after(before)
        except TimeoutError:
            shown = self._name[:100].decode(errors="replace")
            raise TimeoutError(f"others were before in {shown!r} for {wait_s:g} s; nothing is held") from None

    async def _create(self, value: bytes) -> Found | None:
        """Make the key, unless an attempt that was not answered has; the oldest of the queue, where that is another."""
        self.key = b"%s/%x" % (self._name, self.lease.id)
        oldest = self._queue(sort_order="ASCEND")
        absent, mine = [_is(self.key, "CREATE", 0)], _range(key=self.key)
        try:
            answer = await self._txn(absent, [self._put(value), oldest], [mine, oldest])
        except NotDone as error:
            raise (self._gone() if error.status == 404 else error) from None
        if answer.get("succeeded"):
            self.token = self._modified = _revision(answer)
        elif (there := _found(answer, 0)) is not None:
            self.token, self._modified = there.created, there.modified
        first, self.had_at = _found(answer, 1), _revision(answer)
        return None if first is None or first.created == self.token else first

    async def _after(self, before: Found) -> Found | None:
        """Whoever is still before this one once there was news of `before`. A cluster that cannot be asked is asked
        again as long as the lease lives."""
        older = self._queue(sort_order="DESCEND", max_create_revision=str(self.token - 1))
        try:
            await self._ways.news(before.key, before.seen_at + 1)
            answer = await self._txn([_is(self.key, "CREATE", self.token)], [older], [])
        except NotDone as error:
            if error.status:
                raise
            return before
        if not answer.get("succeeded"):
            raise self._gone()
        self.had_at = _revision(answer)
        return _found(answer, 0)

    async def _txn(
        self, compare: list[Any], success: list[Any], failure: list[Any], *, changes: bool = False
    ) -> dict[str, Any]:
        message = {"compare": compare, "success": success, "failure": failure}
        return await self._ways.ask("txn", message, self._name, changes=changes)

    def _put(self, value: bytes) -> dict[str, Any]:
        return {"request_put": {"key": _text(self.key), "value": _text(value), "lease": str(self.lease.id)}}

    def _queue(self, **more: str) -> dict[str, Any]:
        return {"request_range": queue(self._name) | {"limit": "1", "sort_target": "CREATE", **more}}

    def _gone(self) -> LeaseLost:
        self.lease.lost.set()
        return LeaseLost(self.lease.id)


async def first_of(ways: Ways, name: bytes) -> tuple[Found | None, int]:
    """The key of the queue whose turn it is, and the revision as of which that is so."""
    message = queue(name) | {"limit": "1", "sort_target": "CREATE", "sort_order": "ASCEND"}
    answer = await ways.ask("range", message, name)
    return _key(answer, _revision(answer)), _revision(answer)


def queue(name: bytes) -> dict[str, str]:
    """The range of all keys of a queue: what begins with `name` and a slash."""
    return {"key": _text(name + b"/"), "range_end": _text(name + b"0")}  # 0 follows the slash


async def _while_it_lives(lease: Lease, work: Coroutine[Any, Any, _T]) -> _T:
    """What the work comes to. Raises `LeaseLost` where the lease is lost meanwhile."""
    doing = asyncio.create_task(work, name=f"take a turn with lease {lease.id}")
    doing.add_done_callback(lambda done: done.cancelled() or done.exception())  # it may fail after nobody cares
    losing = asyncio.create_task(lease.lost.wait(), name=f"loss of lease {lease.id}")
    try:
        await asyncio.wait((doing, losing), return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            result = doing.result()
            lease.check()
            return result
        raise LeaseLost(lease.id)
    finally:
        doing.cancel()
        losing.cancel()
        await asyncio.wait((doing, losing))


def _is(key: bytes, target: str, revision: int) -> dict[str, str]:
    field = {"CREATE": "create_revision", "MOD": "mod_revision"}[target]
    return {"key": _text(key), "target": target, "result": "EQUAL", field: str(revision)}


def _range(key: bytes) -> dict[str, Any]:
    return {"request_range": {"key": _text(key)}}


def _found(answer: Mapping[str, Any], at: int) -> Found | None:
    """What the range at that place of a transaction found."""
    return _key(answer["responses"][at].get("response_range", {}), _revision(answer))


def _key(answer: Mapping[str, Any], seen_at: int) -> Found | None:
    for kv in answer.get("kvs", ()):
        key, value = base64.b64decode(kv["key"]), base64.b64decode(kv.get("value", ""))
        return Found(key, value, int(kv["create_revision"]), int(kv["mod_revision"]), seen_at)
    return None


def _revision(answer: Mapping[str, Any]) -> int:
    return int(answer["header"].get("revision", 0))


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
