"""Watchers of real nodes over each of their doors: they connect anywhere, break off when they like, and resume.

Why it exists: each door says the same in its own words; what it said is recorded, and judged afterwards. It must not
judge.
"""

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, suppress
from random import Random
from typing import Any
from urllib.parse import quote

import aiohttp
import grpc

from node.simulation.invariants.watch_guarantees import Asked, Heard
from node.statemachine.writes import KeyValue
from tests.grpc.client import client
from tests.grpc.messages import message, new
from tests.robustness.load import Load, text
from tests.robustness.nodes import NAMES, Nodes
from tests.robustness.recorded import Recorded, Told

STAYS_SECONDS_MAX = 3.0
RANGES = ((b"a", b""), (b"b/1", b""), (b"a/", b"a0"), (b"a", b"b"), (b"b", b"\0"), (b"\0", b"\0"), (b"a/2", b"b/2"))
PREFIXES = (b"a/", b"a", b"b/", b"c", b"")

Stream = Callable[[str, Recorded], AsyncGenerator[Told, None]]
"""What one node says from where that watcher is, until the stream ends or breaks."""


class Follower:
    """`records`: of each watcher that it was; a new one begins where history was gone."""

    def __init__(self, name: str, nodes: Nodes, load: Load, chance: Random, stream: Stream, asked: Asked) -> None:
        self.name = name
        self.calm = False
        """It stays where it is, if it is told something."""
        self.records = [Recorded(name, asked)]
        self.connections = 0
        self._nodes = nodes
        self._load = load
        self._chance = chance
        self._stream = stream

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            record = self.records[-1]
            if record.gone:
                again = record.asked._replace(revision=record.gone)
                record = Recorded(f"{self.name} from {record.gone} on", again)
                self.records.append(record)
            stays = STAYS_SECONDS_MAX * (1 if self.calm else self._chance.random())
            # Who is told nothing for long goes elsewhere: its node may be stopped
            with suppress(aiohttp.ClientError, grpc.aio.AioRpcError, OSError, TimeoutError):
                async with asyncio.timeout(stays):
                    await self._follow(record)
            await asyncio.sleep(self._chance.random() * 0.2)

    async def _follow(self, record: Recorded) -> None:
        self.connections += 1
        async with aclosing(self._stream(self._chance.choice(NAMES), record)) as said:
            async for told in said:
                record.take(told._replace(compacted=self._load.compacted))
                if told.kind == "gone":
                    return


def over_grpc(nodes: Nodes) -> Stream:
    """Google's client."""

    async def stream(node: str, record: Recorded) -> AsyncGenerator[Told, None]:
        asked = record.asked
        create = new(
            "WatchCreateRequest",
            key=asked.start,
            range_end=asked.end,
            start_revision=record.next,
            prev_kv=asked.prev_kv,
            filters=[*([0] * asked.no_put), *([1] * asked.no_delete)],
            progress_notify=True,
            fragment=True,
        )
        over = asyncio.Event()

        async def requests() -> AsyncIterator[bytes]:
            yield new("WatchRequest", create_request=create).SerializeToString()
            yield new("WatchRequest", progress_request=new("WatchProgressRequest")).SerializeToString()
            await over.wait()

        async with client(f"127.0.0.1:{nodes.ports[node]}") as ask:
            call = ask.stream("/etcdserverpb.Watch/Watch", requests())
            try:
                while (data := await call.read()) is not grpc.aio.EOF:
                    yield _of_grpc(message("WatchResponse").FromString(data))
            finally:
                over.set()
                call.cancel()

    return stream


def _of_grpc(said: Any) -> Told:
    events = tuple(
        Heard(_kv(event.kv, deleted=event.type == 1), _kv(event.prev_kv) if event.HasField("prev_kv") else None)
        for event in said.events
    )
    return _told(said.created, said.canceled, said.compact_revision, said.header.revision, events, said.fragment)


def _told(created: bool, canceled: bool, gone: int, revision: int, events: tuple[Heard, ...], fragment: bool) -> Told:
    if created and not canceled:
        return Told("created", revision, 0)
    if canceled:
        assert gone, "a watch was cancelled, and nothing is compacted"
        return Told("gone", gone, 0)
    return Told("events" if events or fragment else "progress", revision, 0, events, fragment)


def _kv(kv: Any, *, deleted: bool = False) -> KeyValue:
    if deleted:
        return KeyValue(kv.key, b"", 0, kv.mod_revision, 0)
    return KeyValue(kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)


def over_json(nodes: Nodes, http: aiohttp.ClientSession) -> Stream:
    """etcd's gateway: a line each."""

    async def stream(node: str, record: Recorded) -> AsyncGenerator[Told, None]:
        asked = record.asked
        create = {
            "key": text(asked.start),
            "range_end": text(asked.end),
            "start_revision": str(record.next),
            "prev_kv": asked.prev_kv,
            "progress_notify": True,
            "fragment": True,
            "filters": [*(["NOPUT"] * asked.no_put), *(["NODELETE"] * asked.no_delete)],
        }
        url = f"{nodes.url(node)}/v3/watch"
        async with http.post(url, json={"create_request": create}) as answer:
            if answer.status == 200:
                async for line in _parts(answer.content, b"\n"):
                    said = json.loads(line)
                    if "result" in said:
                        yield _of_json(said["result"])

    return stream


def _of_json(said: dict[str, Any]) -> Told:
    events = tuple(
        Heard(
            _json_kv(event["kv"], deleted=event.get("type") == "DELETE"),
            _json_kv(event["prev_kv"]) if "prev_kv" in event else None,
        )
        for event in said.get("events", ())
    )
    flags = bool(said.get("created")), bool(said.get("canceled")), int(said.get("compact_revision", 0))
    return _told(*flags, int(said["header"].get("revision", 0)), events, bool(said.get("fragment")))


def _json_kv(kv: dict[str, Any], *, deleted: bool = False) -> KeyValue:
    key, revision = b64decode(kv["key"]), int(kv["mod_revision"])
    if deleted:
        return KeyValue(key, b"", 0, revision, 0)
    numbers = int(kv["create_revision"]), revision, int(kv["version"])
    return KeyValue(key, b64decode(kv.get("value", "")), *numbers, int(kv.get("lease", 0)))


def over_events(nodes: Nodes, http: aiohttp.ClientSession) -> Stream:
    """Server-sent events: those of one revision are one thing to be told, as its last one says."""

    async def stream(node: str, record: Recorded) -> AsyncGenerator[Told, None]:
        held: list[Heard] = []
        url = f"{nodes.url(node)}/kv/?prefix={quote(record.asked.start, safe='')}&watch=1&revision={record.next}"
        async with http.get(url) as answer:
            if answer.status == 410:
                yield Told("gone", int((await answer.json())["compact_revision"]), 0)
            if answer.status != 200:
                return
            async for block in _parts(answer.content, b"\n\n"):
                fields = dict(line.partition(b": ")[::2] for line in block.split(b"\n"))
                kind, said = fields.get(b"event", b""), json.loads(fields.get(b"data", b"{}"))
                if kind == b"compacted":
                    yield Told("gone", said["compact_revision"], 0)
                elif kind == b"watching":
                    yield Told("created", int(fields[b"id"]), 0)
                elif kind == b"no-leader":
                    return  # it hears of nothing: somebody else is asked
                elif kind:
                    held.append(Heard(_sse_kv(said, deleted=kind == b"delete")))
                    if b"id" in fields:
                        yield Told("events", int(fields[b"id"]), 0, tuple(held))
                        held.clear()
                elif b"id" in fields:
                    yield Told("progress", int(fields[b"id"]), 0)

    return stream


def _sse_kv(said: dict[str, Any], *, deleted: bool) -> KeyValue:
    key, revision = b64decode(said["key_base64"]), int(said["revision"])
    if deleted:
        return KeyValue(key, b"", 0, revision, 0)
    return KeyValue(key, b64decode(said["value_base64"]), said["create_revision"], revision, said["version"])


async def _parts(content: aiohttp.StreamReader, end: bytes) -> AsyncGenerator[bytes, None]:
    waiting = b""
    async for piece in content.iter_any():
        *parts, waiting = (waiting + piece).split(end)
        for part in parts:
            if part:
                yield part
