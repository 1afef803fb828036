"""`/kv/{key}`: the store for a human with curl. Bytes in, bytes out, revisions as ETags.

Why it exists: it turns HTTP into commands and outcomes into honest status codes: 503 only where a write was provably
never proposed, 504 where nobody knows (pitfall 34). It must not retry, and not read the store before the barrier.
"""

import asyncio
import logging
from typing import Protocol

from aiohttp import web

from node.api.answers import JSON_HEADERS, Problem, json_answer, json_text, malformed, try_again
from node.api.connection import room_for_body
from node.api.etcd.errors import EtcdError
from node.api.etcd.users import Users
from node.api.inputs import (
    Query,
    decode,
    precondition,
    session_of,
    target_of,
    too_large,
)
from node.api.kv_answers import (
    missing,
    named,
    not_permitted,
    result_of,
    row,
    session_refused,
    store_full,
    unexpected,
    unreadable,
)
from node.api.kv_watch import KeyWatch
from node.api.once import Numbers, OwnCluster, encoded
from node.api.pages import next_page
from node.api.quota import Quota
from node.api.slices import ReadJob, Slices
from node.api.streaming import PIECE_BYTES, answer_in_pieces, cut, in_pieces, listed
from node.observe.metrics import Metrics
from node.runtime.ports import NodeHandle, Unknown
from node.statemachine.writes import (
    KEY_BYTES_MAX,
    VALUE_BYTES_MAX,
    Compacted,
    Compare,
    DeleteRange,
    DeleteResult,
    FutureRevision,
    KeyValue,
    Put,
    PutResult,
    Range,
    RangeResult,
    ReadError,
    Relation,
    Result,
    StoreWrite,
    Target,
    Txn,
    TxnResult,
    prefix_end,
)

_LOG = logging.getLogger("node.api")

LIST_KEYS_DEFAULT = 100
LIST_KEYS_MAX = 1000

_PREFIX = "/kv/"
_READ = ("consistency", "revision", "timeout_ms")
_LIST = ("prefix", "from", "limit", "watch", *_READ)
_CONSISTENCY = ("linearizable", "stale")


BODY_TIMEOUT_US = 5_000_000
"""How long a value may take to arrive where the request names no `timeout_ms`."""


class StoreView(Protocol):
    """What the API sees of the store: reading alone. `KeyValueStore` satisfies it."""

    @property
    def revision(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    def get(self, key: bytes, revision: int = 0) -> KeyValue | ReadError | None: ...
    def begin_read(self, wanted: Range) -> ReadJob: ...


class KeyValueApi:
    """Handlers of `/kv`."""

    def __init__(
        self,
        handle: NodeHandle,
        store: StoreView,
        metrics: Metrics,
        slices: Slices,
        quota: Quota | None,
        watch: KeyWatch,
        users: Users,
    ) -> None:
        self._handle = handle
        self._cluster = OwnCluster(handle)
        self._quota = quota or Quota(store)
        self._store = store
        self._metrics = metrics
        self._slices = slices
        self._watch = watch
        self._users = users

    def routes(self) -> list[web.RouteDef]:
        """For the router."""
        return [
            web.get("/kv", self.get),
            web.get("/kv/{key:.*}", self.get),
            web.put("/kv/{key:.*}", self.put),
            web.delete("/kv/{key:.*}", self.delete),
        ]

    async def get(self, request: web.Request) -> web.StreamResponse:
        """A value, or with an empty key a list, which with `watch=1` goes on with every change."""
        _, path, query_text = target_of(request)
        if path in ("/kv", _PREFIX):
            return await self._list(request, Query(query_text, _LIST))
        key, query = _key_of(path), Query(query_text, _READ)
        revision = query.number("revision", 0)
        await self._barrier(query)
        await self._require_read(key)
        found = self._store.get(key, revision)
        if isinstance(found, KeyValue):
            headers = {
                "Content-Type": "application/octet-stream",
                "ETag": f'"{found.mod_revision}"',
                "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
            }
            size_bytes = len(found.value)
            if size_bytes <= PIECE_BYTES:
                return web.Response(body=found.value, headers=headers)
            return await answer_in_pieces(request, cut(found.value), self._slices, headers, size_bytes)
        if found is None:
            raise missing(key, self._store.revision)
        raise unreadable(found)

    async def put(self, request: web.Request) -> web.Response:
        """Set a value, with `If-Match` only where the key is still at that revision."""
        _, path, query_text = target_of(request)
        key, query = _key_of(path), Query(query_text, ("timeout_ms", "lease"))
        if len(key) > KEY_BYTES_MAX:
            raise too_large("key", KEY_BYTES_MAX, "POST /v3/kv/put takes a longer one")
        timeout_us, demanded, numbers = query.timeout_us(), precondition(request), session_of(request)
        lease = query.number("lease", 0)
        put = Put(key, await _body(request, timeout_us), lease)
        if self._quota.exceeded:
            self._metrics.proposal("store-full")
            raise store_full(self._quota.bytes_max)
        result = await self._write(key, put, demanded, timeout_us, numbers)
        if not isinstance(result, PutResult):
            raise unexpected(result)
        return json_answer({"revision": result.revision, **named(key)}, headers={"ETag": f'"{result.revision}"'})

    async def delete(self, request: web.Request) -> web.Response:
        """Remove a key; 404 where there is none."""
        _, path, query_text = target_of(request)
        key, query = _key_of(path), Query(query_text, ("timeout_ms",))
        demanded, numbers = precondition(request), session_of(request)
        result = await self._write(key, DeleteRange(key), demanded, query.timeout_us(), numbers)
        if not isinstance(result, DeleteResult):
            raise unexpected(result)
        if not result.deleted:
            raise missing(key, result.revision)
        return json_answer({"revision": result.revision, "deleted": result.deleted, **named(key)})

    async def _list(self, request: web.Request, query: Query) -> web.StreamResponse:
        if query.number("watch", 0, 0, 1):
            await self._barrier(query)
            prefix = query.bytes("prefix")
            await self._require_read(prefix or b"\0", prefix_end(prefix))
            return await self._watch.follow(request, query, stale=_is_stale(query))
        prefix, start = query.bytes("prefix"), query.bytes("from")
        limit, revision = query.number("limit", LIST_KEYS_DEFAULT, 1, LIST_KEYS_MAX), query.number("revision", 0)
        await self._barrier(query)
        wanted = Range(max(prefix, start) or b"\0", prefix_end(prefix), revision, limit + 1)
        await self._require_read(wanted.key, wanted.range_end)
        found = await self._slices.read(self._store.begin_read(wanted))
        if isinstance(found, (Compacted, FutureRevision)):
            raise unreadable(found)
        if not isinstance(found, RangeResult):
            raise RuntimeError("the store answers a range with a range")
        shown, beyond = found.kvs[:limit], found.kvs[limit:]
        about = {
            "revision": found.revision,
            "count": found.count,
            "more": bool(beyond),
            "next": next_page(query, shown[-1].key, beyond[0].key, revision or found.revision) if beyond else None,
        }
        rows = (json_text(row(kv)) for kv in shown)
        return await answer_in_pieces(request, in_pieces(listed(about, "keys", rows)), self._slices, JSON_HEADERS)

    async def _require_read(self, key: bytes, range_end: bytes = b"") -> None:
        """While the cluster's users are in force; see `node.api.etcd.users`."""
        try:
            await self._users.require_read(key, range_end)
        except EtcdError as error:
            raise not_permitted(error) from None

    async def _barrier(self, query: Query) -> None:
        timeout_us = query.timeout_us()
        if _is_stale(query):
            self._metrics.read("stale")
            return
        failed = await self._handle.read_barrier(timeout_us)
        self._metrics.read("linearizable" if failed is None else failed.code)
        if failed is not None:
            raise try_again(failed.code, failed.reason, failed.leader)

    async def _write(
        self, key: bytes, write: Put | DeleteRange, demanded: int | None, timeout_us: int | None, numbers: Numbers
    ) -> Result:
        foreign = self._cluster.refusal(numbers)
        if foreign is not None:
            raise session_refused(foreign, self._metrics)
        command: StoreWrite = write
        if demanded is not None:
            same = Compare(key, Target.MOD_REVISION, Relation.EQUAL, demanded)
            command = Txn((same,), (write,), (Range(key, keys_only=True),))
        try:
            data = await self._users.marked(encoded(command, numbers))
            outcome = await self._handle.propose(data, timeout_us, numbers.session, numbers.sequence)
        except EtcdError as error:
            raise not_permitted(error) from None
        except Exception:
            _LOG.exception("a write failed in the node")
            outcome = Unknown("this node made a mistake while it wrote; its log says which")
        result = result_of(outcome, self._metrics)
        if not isinstance(result, TxnResult):
            return result
        response = result.responses[0]
        if result.succeeded:
            return response
        current = response.kvs[0].mod_revision if isinstance(response, RangeResult) and response.kvs else 0
        raise Problem(
            412,
            "revision-mismatch",
            f"the key is at revision {current}" if current else "there is no such key",
            headers={"ETag": f'"{current}"'} if current else None,
            revision=current,
            **named(key),
        )


def _is_stale(query: Query) -> bool:
    return query.choice("consistency", _CONSISTENCY) == "stale"


def _key_of(path: str) -> bytes:
    key = decode("key", path[len(_PREFIX) :])
    if not key:
        raise malformed("key", "the key is empty; write /kv/KEY")
    return key


async def _body(request: web.Request, timeout_us: int | None) -> bytes:
    """The value: raw bytes, bounded in size and in the time that it may take to arrive."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "unsupported", "a value is stored as it is; send it without Content-Encoding")
    if (request.content_length or 0) > VALUE_BYTES_MAX:
        raise too_large("value", VALUE_BYTES_MAX)
    try:
        if request.content.is_eof():  # it came with its headers, and waits for room as others do
            body = await request.read()
            await room_for_body(request, len(body))
            return body
        await room_for_body(request, request.content_length or VALUE_BYTES_MAX)
        async with asyncio.timeout((timeout_us or BODY_TIMEOUT_US) / 1e6):
            return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise too_large("value", VALUE_BYTES_MAX) from None
    except TimeoutError:
        raise Problem(408, "timeout", "the body did not arrive in time; nothing was written") from None
    except web.RequestPayloadError:
        raise malformed("body", "the body is broken; nothing was written") from None
