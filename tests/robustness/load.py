"""Clients that change many keys, and one that compacts, at whichever node answers; they remember what they were told.

Why it exists: what was acknowledged must be in the truth, or the truth is none. It must not know who watches.
"""

import asyncio
from base64 import b64encode
from random import Random
from typing import Any, NamedTuple

import aiohttp

from node.simulation.invariants.true_changes import TrueChanges
from tests.robustness.nodes import NAMES, Nodes

KEYS = (b"a", b"a/1", b"a/2", b"a/3", b"b/1", b"b/2", b"c")
WRITERS = 8
PAUSE_SECONDS_MAX = 0.04
TIMEOUT = aiohttp.ClientTimeout(0.7)
COMPACT_EVERY_SECONDS = 1.0
BEHIND_MAX = 60


def text(data: bytes) -> str:
    return b64encode(data).decode()


class Acknowledged(NamedTuple):
    """Of one revision: what was put there, by key."""

    revision: int
    puts: dict[bytes, bytes]


class Load:
    """Runs in tasks until `stopped`."""

    def __init__(self, nodes: Nodes, http: aiohttp.ClientSession, chance: Random) -> None:
        self.acknowledged: list[Acknowledged] = []
        self.compacted = 0
        """The highest revision whose compaction was asked for, done or not."""
        self.compactions = 0
        self.stopped = False
        self._nodes = nodes
        self._http = http
        self._chance = chance
        self._number = 0

    @property
    def revision(self) -> int:
        """The last that was acknowledged."""
        return max((known.revision for known in self.acknowledged), default=1)

    async def write(self) -> None:
        """One writer."""
        while not self.stopped:
            await self.one()
            await asyncio.sleep(self._chance.random() * PAUSE_SECONDS_MAX)

    async def one(self) -> None:
        """One write, whatever becomes of it."""
        chance, puts = self._chance.random(), dict[bytes, bytes]()
        if chance < 0.5:
            puts = {self._chance.choice(KEYS): self._value()}
            ((key, value),) = puts.items()
            await self._ask("put", {"key": text(key), "value": text(value)}, puts)
        elif chance < 0.7:
            start, end = self._chance.choice(((b"a/1", b""), (b"b/2", b""), (b"a/", b"a0"), (b"b", b"\0")))
            await self._ask("deleterange", {"key": text(start), "range_end": text(end)}, puts)
        else:
            gone, *others = self._chance.sample(KEYS, 2 + self._chance.randrange(4))
            puts = {key: self._value() for key in others}
            await self._ask("txn", {"success": [_delete(gone), *(_put(*each) for each in puts.items())]}, puts)

    async def last(self) -> int:
        """Put every key in one revision, then delete all in another; the first of them. Whoever watches one of them
        hears of one of both."""
        while True:
            puts = {key: self._value() for key in KEYS}
            revision = await self._ask("txn", {"success": [_put(*each) for each in puts.items()]}, puts)
            if revision and await self._ask("deleterange", {"key": text(b"\0"), "range_end": text(b"\0")}, {}):
                return revision

    async def compact(self) -> None:
        """Again and again: what is left is less than slow watchers are behind."""
        while not self.stopped:
            await asyncio.sleep(COMPACT_EVERY_SECONDS)
            revision = self.revision - self._chance.randrange(BEHIND_MAX)
            if revision > self.compacted:
                self.compacted = revision
                self.compactions += bool(await self._ask("compaction", {"revision": str(revision)}, {}))

    def are_true(self, truth: TrueChanges) -> None:
        """What was acknowledged is in the truth, where it was said to be."""
        for known in self.acknowledged:
            found = {change.key: change.value for change in truth.changes(known.revision) if change.version}
            for key, value in known.puts.items():
                assert found.get(key) == value, (known, truth.changes(known.revision))

    def _value(self) -> bytes:
        self._number += 1
        return b"%d" % self._number

    async def _ask(self, call: str, message: dict[str, Any], puts: dict[bytes, bytes]) -> int:
        """The revision of the answer; 0: nobody knows what became of it."""
        path = "kv/compaction" if call == "compaction" else f"kv/{call}"
        try:
            url = f"{self._nodes.url(self._chance.choice(NAMES))}/v3/{path}"
            async with self._http.post(url, json=message, timeout=TIMEOUT) as answer:
                if answer.status != 200:
                    return 0
                revision = int((await answer.json())["header"]["revision"])
        except (aiohttp.ClientError, TimeoutError):
            return 0
        if puts:
            self.acknowledged.append(Acknowledged(revision, puts))
        return revision


def _put(key: bytes, value: bytes) -> dict[str, Any]:
    return {"request_put": {"key": text(key), "value": text(value)}}


def _delete(key: bytes) -> dict[str, Any]:
    return {"request_delete_range": {"key": text(key)}}
