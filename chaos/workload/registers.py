"""Registers: the clients of a run that write and read single keys, and the history that they make together.

Why it exists: only somebody who was there before, during and after a fault can say what was promised and what was kept.
Writers own a key each, so that the order of its values is known without asking anybody. It must not judge, and must
neither load a small machine nor grow without end.
"""

import asyncio
import contextlib
from collections.abc import Collection
from random import Random

import aiohttp

from chaos.clock import Clock
from chaos.errors import ChaosError
from chaos.targets.port import Target
from chaos.workload.client import REQUEST_TIMEOUT_SECONDS, Client, Pinned
from chaos.workload.history import BYTES_PER_OP, History, Op, PastRead

RATE_PER_CLIENT = 20.0
"""Requests a second that one client sends at most."""
RATE_TOTAL_MAX = 400.0
"""Requests a second of all clients: with more nodes or clients each is slower."""
OPS_MAX = 2_000_000
HISTORY_BYTES_MAX = 200 * 1024 * 1024
FINAL_READ_ATTEMPTS = 20
FINAL_READ_PAUSE_SECONDS = 0.25
PAST_WRITES_MAX = 200_000
"""The last so many acknowledged writes are asked for again by their revisions."""
PAST_WRITES_AT_ONCE = 1280


class Registers:
    """See `Workload`. `history` is bounded by OPS_MAX and HISTORY_BYTES_MAX. `run` names the keys, and must never have
    been used before."""

    name = "registers"

    def __init__(
        self,
        target: Target,
        session: aiohttp.ClientSession,
        clock: Clock,
        rng: Random,
        run: str = "",
        writers_per_node: int = 1,
        readers_per_node: int = 1,
        rate_per_client: float = RATE_PER_CLIENT,
        ops_max: int = OPS_MAX,
        bytes_max: int = HISTORY_BYTES_MAX,
    ) -> None:
        self.history = History()
        self.full = ""
        self.versions: dict[str, int] = {}
        """By key, how often it was written, known after `final_reads`."""
        self.past: dict[str, tuple[PastRead, ...]] = {}
        """By key, what it held at the revision of each acknowledged write, known after `final_reads`."""
        self._target, self._session, self._clock = target, session, clock
        self._ops_max, self._bytes_max, self._bytes = ops_max, bytes_max, 0
        self._prefix = f"chaos/{run or f'{clock.began_wall_us:x}'}/"
        count = len(target.nodes) * (writers_per_node + readers_per_node)
        every_s = 1 / min(rate_per_client, RATE_TOTAL_MAX / max(1, count))
        self._writers = self._clients("w", writers_per_node, every_s, rng)
        self._readers = self._clients("r", readers_per_node, every_s, rng)
        self.keys = tuple(self._prefix + writer.who.name for writer in self._writers)
        self._tasks: list[asyncio.Task[None]] = []
        self._news = asyncio.Event()
        """Set with every request that is kept."""

    def start(self) -> None:
        """Let the clients begin; harmless when they have."""
        if self._tasks:
            return
        work = [(client, client.write(key)) for client, key in zip(self._writers, self.keys, strict=True)]
        work += [(client, client.read(self.keys)) for client in self._readers]
        self._tasks = [asyncio.create_task(ask, name=f"client {client.who.name}") for client, ask in work]

    async def stop(self) -> None:
        """Begin no other request, and wait for those under way; what is cancelled meanwhile is of unknown outcome."""
        self._let_go()
        tasks, self._tasks = self._tasks, []
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=REQUEST_TIMEOUT_SECONDS * 2)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def acknowledged_per_second(self, window_s: float) -> float:
        """Writes that were acknowledged in the last `window_s` seconds, a second."""
        since_us = self._clock.now_us() - int(window_s * 1e6)
        count = 0
        for op in reversed(self.history):
            if op.done_us < since_us:
                break
            count += op.kind == "write" and op.outcome == "ok"
        return count / window_s

    async def until_written(self, nodes: Collection[str], since_us: int, limit_s: float) -> list[str]:
        """Wait until each of `nodes` has acknowledged a write that was sent to it after `since_us`; the names of those
        that had not when `limit_s` was over, or when the clients stopped."""
        missing = dict.fromkeys(nodes)
        seen = len(self.history)
        while seen and self.history[seen - 1].done_us >= since_us:
            seen -= 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while missing:
                    self._news.clear()
                    for op in self.history[seen:]:
                        if op.kind == "write" and op.outcome == "ok" and op.sent_us >= since_us:
                            missing.pop(op.via, None)
                    seen = len(self.history)
                    if missing and self.full:
                        break
                    if missing:
                        await self._news.wait()
        return list(missing)

    async def final_reads(self, leader_url: str, attempts: int = FINAL_READ_ATTEMPTS) -> dict[str, int]:
        """The last word on every key, read linearizably through the node at `leader_url`, and once through every
        other for the history; keys that cannot be read are left out. Call it after `stop`."""
        final: dict[str, int] = {}
        leader = next((node for node in self._target.nodes if self._target.url(node) == leader_url), leader_url)
        waiting = list(self.keys)
        for attempt in range(attempts):
            if attempt:
                await asyncio.sleep(FINAL_READ_PAUSE_SECONDS)
            while waiting:
                value = await self._read_once(waiting[0], leader, leader_url)
                if value is None:
                    break
                final[waiting.pop(0)] = value
            if not waiting:
                break
        for node in self._target.nodes:
            if self._target.url(node) != leader_url:
                for key in self.keys:
                    await self._read_once(key, node, self._target.url(node))
        self.versions = await self._versions(leader_url, attempts)
        self.past = await self._read_past(leader_url)
        return final

    async def _versions(self, leader_url: str, attempts: int) -> dict[str, int]:
        """How often each key was written; empty where nobody says."""
        for attempt in range(attempts):
            if attempt:
                await asyncio.sleep(FINAL_READ_PAUSE_SECONDS)
            with contextlib.suppress(ChaosError):
                return await self._target.system.versions(self._session, leader_url, self._prefix)
        return {}

    async def _read_past(self, leader_url: str) -> dict[str, tuple[PastRead, ...]]:
        """Ask for every acknowledged write by its revision, each part through another node, so that none vouches for
        itself alone; what nobody says is left out."""
        wanted = [(op.key, op.revision) for op in self.history if op.kind == "write" and op.outcome == "ok"]
        wanted = [one for one in wanted if one[1]][-PAST_WRITES_MAX:]
        urls = [self._target.url(node) for node in self._target.nodes]
        found: dict[str, list[PastRead]] = {}
        silent: set[str] = set()
        for part, first in enumerate(range(0, len(wanted), PAST_WRITES_AT_ONCE)):
            asked = wanted[first : first + PAST_WRITES_AT_ONCE]
            for url in (urls[part % len(urls)], leader_url):
                if url in silent:
                    continue
                try:
                    answers = await self._target.system.past(self._session, url, asked)
                except ChaosError:
                    silent.add(url)  # a node that hangs takes seconds each time, and there may be hundreds of parts
                    continue
                for (key, revision), answer in zip(asked, answers, strict=True):
                    found.setdefault(key, []).append((revision, *answer))
                break
        return {key: tuple(reads) for key, reads in found.items()}

    async def _read_once(self, key: str, node: str, url: str) -> int | None:
        sent_us = self._clock.now_us()
        reply = await self._target.system.read(self._session, url, key, REQUEST_TIMEOUT_SECONDS)
        self._keep(
            Op(
                client="final",
                number=len(self.history) + 1,
                kind="read",
                key=key,
                value=reply.value,
                via=node,
                sent_us=sent_us,
                done_us=self._clock.now_us(),
                outcome=reply.outcome,
                code=reply.code,
                error=reply.error,
                revision=reply.revision,
            )
        )
        return reply.value if reply.outcome == "ok" else None

    def _clients(self, letter: str, per_node: int, every_s: float, rng: Random) -> list[Client]:
        pinned = [node for node in self._target.nodes for _ in range(per_node)]
        return [
            Client(
                Pinned(f"{letter}{number}", node, self._target.url(node), every_s),
                self._target.system,
                self._session,
                self._clock,
                Random(rng.random()),
                self._keep,
            )
            for number, node in enumerate(pinned, 1)
        ]

    def _keep(self, op: Op) -> None:
        self._bytes += BYTES_PER_OP + len(op.error)
        self.history.append(op)
        self._news.set()
        if not self.full and (len(self.history) >= self._ops_max or self._bytes >= self._bytes_max):
            self.full = (
                f"The history is full ({len(self.history)} requests, {self._bytes} bytes): the clients stopped; "
                "shorten the run, or lower their rate."
            )
            self._let_go()

    def _let_go(self) -> None:
        for client in (*self._writers, *self._readers):
            client.stop()
