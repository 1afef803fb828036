"""Asks every node what it is, again and again, and keeps the answers.

Why it exists: the proof that a fault took hold, the proof that the cluster is whole again and half of the checks live
on it. Each node is asked by a task of its own, so that one that hangs delays nobody. It must not decide anything.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping

import aiohttp

from chaos.clock import Clock
from chaos.model import View
from chaos.targets.port import Target

EVERY_SECONDS = 0.1
VIEWS_MAX = 20_000
"""Views that are kept. When there are more, every second one that shows nothing new is dropped."""


class Sampler:
    """`views`: in the order in which they were answered, at most VIEWS_MAX. `dropped`: how many were thinned out.
    `learn` is told of each, and of the node that was asked."""

    def __init__(
        self,
        target: Target,
        session: aiohttp.ClientSession,
        clock: Clock,
        every_s: float = EVERY_SECONDS,
        views_max: int = VIEWS_MAX,
        learn: Callable[[View, str], None] | None = None,
    ) -> None:
        self.views: list[View] = []
        self.dropped = 0
        self._target, self._session, self._clock = target, session, clock
        self._every_s, self._views_max, self._learn = every_s, views_max, learn
        self._latest: dict[str, View] = {}
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to ask; harmless when it has begun."""
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._follow(node), name=f"sample {node}") for node in self._target.nodes
            ]

    async def stop(self) -> None:
        """Ask no more; what was seen stays."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def latest(self) -> dict[str, View]:
        """By node, what those say that answered when they were asked last."""
        return dict(self._latest)

    async def until(self, predicate: Callable[[Mapping[str, View]], bool], timeout_s: float) -> bool:
        """Whether `predicate` of `latest()` came true in time; it is tried after every answer and every silence."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not predicate(self._latest):
                    await self._changed.wait()
                return True
        return predicate(self._latest)

    async def _follow(self, node: str) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self._every_s
            view = await self._target.system.view(self._session, node, self._target.url(node), self._clock)
            if view is None:
                self._latest.pop(node, None)
            else:
                self._latest[node] = view
                if self._learn is not None:
                    self._learn(view, node)
                self.views.append(view)
                if len(self.views) > self._views_max:
                    self.views = thinned(self.views)
                    self.dropped += self._views_max + 1 - len(self.views)
            self._changed.set()
            self._changed = asyncio.Event()
            await asyncio.sleep(max(0.0, due - loop.time()))


def thinned(views: list[View]) -> list[View]:
    """About half of them: of each node every second one, and each that shows another role, term, leader, process,
    disk or configuration than the one before it, and both where an index falls from one to the next."""
    kept: list[View] = []
    before: dict[str, tuple[object, ...]] = {}
    skipped: set[str] = set()
    falls = _falls(views)
    for number, view in enumerate(views):
        shows = (view.role, view.term, view.leader, view.boot, view.incarnation, view.voters, view.fatal)
        if before.get(view.name) == shows and view.name not in skipped and number not in falls:
            skipped.add(view.name)
            continue
        skipped.discard(view.name)
        before[view.name] = shows
        kept.append(view)
    return kept


def _falls(views: list[View]) -> set[int]:
    """The places of those after which a node's index falls, and of those that show it."""
    found: set[int] = set()
    last: dict[str, int] = {}
    for number, view in enumerate(views):
        before = last.get(view.name)
        if before is not None:
            high = views[before]
            if view.commit < high.commit or view.applied < high.applied or view.last_index < high.last_index:
                found |= {before, number}
        last[view.name] = number
    return found
