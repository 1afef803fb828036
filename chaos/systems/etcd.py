"""etcd 3.5 and later, as a `System`: its JSON API, its log and its metrics.

What is told by whom: commit and applied index by `maintenance/status`; role, term and leader by the node's own log
(etcdlog.py); when a node last heard from another by its count of bytes received; the order of all writes by a watch
from the first revision, which stands in for Raft's log (etcdhistory.py). What was refused with 4xx did not happen; with
503 it may have.

Why it exists: the checks are worth most where the nodes are somebody else's. It must not retry, and not judge.
"""

import asyncio
import re
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from pathlib import Path

import aiohttp

from chaos.clock import Clock
from chaos.errors import ChaosError
from chaos.model import Event, LogLine, Member, Peer, View
from chaos.observe import past
from chaos.observe.nodeapi import (
    STATUS_TIMEOUT_SECONDS,
    UNREACHABLE,
    CommandAnswer,
    Outcome,
    Reply,
    command,
    get_bytes,
    nothing_sent,
    number_in,
    post_bytes,
    said,
)
from chaos.systems.etcdhistory import MISSING, EtcdMember, ask, coded, decode, history, reason
from chaos.systems.etcdlog import EtcdLog
from chaos.systems.port import Feature

COUNT_EVERY_US = 250_000
"""Bytes received are asked for so often at most: /metrics is long. A view is as old as they are."""
MEMBERS_EVERY_SECONDS = 5.0
LOOK_EVERY_SECONDS = 0.05
"""Into the log of a node, for its events."""
KEYS_MAX = 10_000
_RECEIVED = re.compile(rb'^etcd_network_peer_received_bytes_total\{From="([0-9a-f]+)"\} (\S+)$', re.MULTILINE)


class Etcd:
    """See `System`. `logs`: by node, the file that it writes its log into. `links`: by node, where its links with
    others are cut and reset (chaos/lab/links.py)."""

    name = "etcd"
    lacks: Collection[Feature] = ("last-index", "raft-log")
    serializable = False
    """Whether reads are served from the node's own store, unasked: then they are not linearizable."""

    def __init__(self, logs: Mapping[str, Path], links: Mapping[str, str]) -> None:
        self._names: dict[str, str] = {}
        """Of members, by their numbers in hexadecimal."""
        self._members: tuple[EtcdMember, ...] = ()
        self._members_until = 0.0
        self._paths, self._links = logs, links
        self._logs = {node: EtcdLog(path, node, self._names) for node, path in logs.items()}
        self._heard: dict[tuple[str, str], _Heard] = {}

    async def view(
        self,
        session: aiohttp.ClientSession,
        node: str,
        url: str,
        clock: Clock,
        timeout_s: float = STATUS_TIMEOUT_SECONDS,
    ) -> View | None:
        """See `System`. None too where another process began meanwhile: two lives are not mixed."""
        log = self._logs[node]
        try:
            async with asyncio.timeout(timeout_s):
                await self._know_members(session, url)
                log.read_all()
                life = log.life
                heard = self._heard.setdefault((node, life), _Heard())
                if clock.now_us() - heard.asked_us >= COUNT_EVERY_US:
                    await self._count(session, url, heard, clock)
                asked_us = heard.asked_us
                status = await ask(session, url, "maintenance/status", {})
        except (*UNREACHABLE, ChaosError):
            return None
        log.read_all()
        if not log.durable or log.life != life:
            return None
        term = max(log.durable, status.raftTerm)  # what no kill takes back
        answered_us = clock.now_us()
        voters = [member for member in self._members if not member.isLearner]
        return View(
            name=node,
            role=log.role if log.term >= term else "follower",
            term=term,
            leader=log.leader if log.term == term else "",
            commit=status.raftIndex,
            applied=status.raftAppliedIndex,
            cluster_id=f"{status.header.cluster_id:x}",
            incarnation=f"{status.header.member_id:x}",
            boot=life,
            version=status.version,
            voters=tuple(Member(member.name, f"{member.ID:x}") for member in voters),
            learners=tuple(Member(m.name, f"{m.ID:x}") for m in self._members if m.isLearner),
            peers=heard.peers([member.name for member in self._members if member.name != node]),
            election_timeout_ms=log.election_timeout_ms,
            time_us=time.time_ns() // 1000 - (answered_us - asked_us) // 2,  # it has this machine's clock
            asked_us=asked_us,
            answered_us=answered_us,
        )

    async def events(self, session: aiohttp.ClientSession, node: str, url: str) -> AsyncIterator[Event]:
        """See `System`: by its log, beside what `view` reads of it."""
        while not self._names:
            try:
                await self._know_members(session, url)
            except (*UNREACHABLE, ChaosError):
                await asyncio.sleep(LOOK_EVERY_SECONDS)
        log = EtcdLog(self._paths[node], node, self._names)
        while True:
            found = log.read_on()
            for event in found:
                yield event
            await asyncio.sleep(0 if found else LOOK_EVERY_SECONDS)

    async def write(self, session: aiohttp.ClientSession, url: str, key: str, value: int, timeout_s: float) -> Reply:
        """See `System`."""
        question = {"key": coded(key), "value": coded(str(value))}
        try:
            code, body = await post_bytes(session, f"{url}/v3/kv/put", question, timeout_s)
        except UNREACHABLE as error:
            return Reply("fail" if nothing_sent(error) else "unknown", 0, said(error))
        if code == 200:
            return Reply("ok", 200, revision=(decode(body) or MISSING).header.revision)
        outcome: Outcome = "fail" if 400 <= code < 500 else "unknown"
        return Reply(outcome, code, reason(code, body))

    async def read(self, session: aiohttp.ClientSession, url: str, key: str, timeout_s: float) -> Reply:
        """See `System`. "unknown": it was asked and did not answer, as one without a majority does."""
        question = {"key": coded(key), "serializable": self.serializable}
        try:
            code, body = await post_bytes(session, f"{url}/v3/kv/range", question, timeout_s)
        except UNREACHABLE as error:
            return Reply("fail" if nothing_sent(error) else "unknown", 0, said(error))
        found = decode(body)
        if code != 200 or found is None:
            return Reply("fail", code, reason(code, body))
        if not found.kvs:
            return Reply("ok", 404, value=0)
        return Reply("ok", 200, "", number_in(b64decode(found.kvs[0].value)), found.kvs[0].mod_revision)

    async def versions(self, session: aiohttp.ClientSession, url: str, prefix: str) -> dict[str, int]:
        """See `System`."""
        end = prefix.encode()[:-1] + bytes((prefix.encode()[-1] + 1,))
        pages = {"range_end": b64encode(end).decode(), "keys_only": True, "limit": KEYS_MAX}
        found = await ask(session, url, "kv/range", {"key": coded(prefix), **pages})
        return {b64decode(pair.key).decode(): pair.version for pair in found.kvs}

    async def past(
        self, session: aiohttp.ClientSession, url: str, wanted: Sequence[tuple[str, int]]
    ) -> list[past.Found]:
        """See `System`: by the transaction that our own nodes take as well."""
        return await past.fetch_past(session, url, wanted)

    async def log(self, session: aiohttp.ClientSession, url: str) -> tuple[LogLine, ...]:
        """See `System`: what this node's own store tells of every revision."""
        return await history(session, url)

    async def reset_links(self, session: aiohttp.ClientSession, node: str, url: str, peer: str) -> CommandAnswer:  # noqa: ARG002
        """See `System`: etcd has no such command, so whoever carries what its members say closes the connections."""
        return await command(session, self._links[node], "reset_links", {"peer": peer})

    async def _know_members(self, session: aiohttp.ClientSession, url: str) -> None:
        if time.monotonic() < self._members_until:
            return
        found = await ask(session, url, "cluster/member/list", {"linearizable": False})
        if all(member.name for member in found.members):  # a member has its name once it has joined
            self._members = tuple(sorted(found.members, key=lambda member: member.name))
            self._names.update({f"{member.ID:x}": member.name for member in found.members})
            self._members_until = time.monotonic() + MEMBERS_EVERY_SECONDS

    async def _count(self, session: aiohttp.ClientSession, url: str, heard: "_Heard", clock: Clock) -> None:
        asked_us = clock.now_us()
        code, body = await get_bytes(session, f"{url}/metrics", STATUS_TIMEOUT_SECONDS)
        if code != 200:
            raise ChaosError(f"{url}/metrics answered {code}.")
        counts = {self._names.get(found[1].decode(), ""): float(found[2]) for found in _RECEIVED.finditer(body)}
        heard.learn(counts, asked_us)


class _Heard:
    """Of one life of a node: how many bytes came from each other one, and when each count had last been lower."""

    def __init__(self) -> None:
        self.asked_us = -COUNT_EVERY_US
        self._counts: dict[str, float] = {}
        self._lower_us: dict[str, int] = {}

    def learn(self, counts: Mapping[str, float], asked_us: int) -> None:
        """Take what was counted after it was asked then; an answer that was overtaken teaches nothing."""
        if asked_us <= self.asked_us:
            return
        for name, count in counts.items():
            if self._counts and count > self._counts.get(name, 0):
                self._lower_us[name] = self.asked_us
        self._counts, self.asked_us = dict(counts), asked_us

    def peers(self, names: Collection[str]) -> tuple[Peer, ...]:
        """With how long ago they were heard at most: it may be less, by what lies between two counts."""
        ages = {name: (self.asked_us - lower_us) / 1000 for name, lower_us in self._lower_us.items()}
        return tuple(Peer(name, ages.get(name)) for name in names)
