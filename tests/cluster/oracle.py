"""Clients that remember: each owns a key and writes 1, 2, 3, ..., keeping what it was told of every write.

Why it exists: "no acknowledged write is lost" needs somebody who knows what was acknowledged.
"""

import asyncio
from collections import Counter
from collections.abc import Callable

import aiohttp

from tests.cluster.harness import Cluster


class Writer:
    """`run` until `stopped`; `acknowledged` is the last value that was answered with 200. `pause_s`: how long to wait
    before the next write, now."""

    def __init__(self, cluster: Cluster, number: int, pause_s: Callable[[], float]) -> None:
        self.key = f"writer-{number}"
        self.acknowledged = 0
        self.attempted = 0
        self.outcomes: Counter[str] = Counter()
        self.stopped = False
        self._cluster = cluster
        self._urls = [str(node["url"]) for node in cluster.nodes.values()]
        self._next_url = number
        self._pause_s = pause_s

    async def run(self) -> None:
        """Write one value after the other; go to another node after any failure."""
        while not self.stopped:
            self.attempted += 1
            url = self._urls[self._next_url % len(self._urls)]
            outcome = await self._put(url, self.attempted)
            self.outcomes[outcome] += 1
            if outcome == "200":
                self.acknowledged = self.attempted
                await asyncio.sleep(self._pause_s())
            else:
                self._next_url += 1
                await asyncio.sleep(0.01)  # a refused connection answers at once: do not spin

    async def _put(self, url: str, value: int) -> str:
        try:
            timeout = aiohttp.ClientTimeout(total=8)
            body = str(value).encode()
            async with self._cluster.http.put(f"{url}/kv/{self.key}", data=body, timeout=timeout) as answer:
                await answer.read()
                return str(answer.status)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return type(error).__name__


class Load:
    """Many writers at once; `async with` starts them and stops them.

    `pause_s`: between two writes of one writer while nobody waits for them, in stories that are not about full load:
    it would take the time from what they are about.
    """

    def __init__(self, cluster: Cluster, writers: int, pause_s: float = 0.0) -> None:
        self.writers = [Writer(cluster, number, self._pause_now) for number in range(writers)]
        self._cluster = cluster
        self._pause_s = pause_s
        self._waited_for = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Load":
        self._tasks = [asyncio.create_task(writer.run()) for writer in self.writers]
        return self

    async def __aexit__(self, *_: object) -> None:
        for writer in self.writers:
            writer.stopped = True
        await asyncio.gather(*self._tasks)

    def _pause_now(self) -> float:
        return 0.0 if self._waited_for else self._pause_s

    @property
    def acknowledged(self) -> int:
        return sum(writer.outcomes["200"] for writer in self.writers)

    async def more_acknowledged(self, count: int) -> None:
        """Wait until `count` more writes were acknowledged."""
        goal = self.acknowledged + count

        async def reached() -> bool:
            return self.acknowledged >= goal

        self._waited_for += 1
        try:
            await self._cluster.until(reached, f"{count} more acknowledged writes")
        finally:
            self._waited_for -= 1

    async def nothing_is_lost(self) -> None:
        """Every writer's key holds its last acknowledged value, or a later one whose outcome it was not told."""
        url = self._cluster.url(await self._cluster.leader())
        for writer in self.writers:
            async with self._cluster.http.get(f"{url}/kv/{writer.key}") as answer:
                assert answer.status == 200 or writer.acknowledged == 0, (writer.key, answer.status)
                value = int(await answer.read()) if answer.status == 200 else 0
            assert writer.acknowledged <= value <= writer.attempted, (writer.key, writer.acknowledged, value)


class Terms:
    """Watches every node's term: it must never fall, across deaths and restarts."""

    def __init__(self, cluster: Cluster) -> None:
        self.highest: dict[str, int] = {}
        self.fallen: list[str] = []
        self._cluster = cluster
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Terms":
        self._task = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            for name, status in (await self._cluster.statuses()).items():
                if status["term"] < self.highest.get(name, 0):
                    self.fallen.append(f"{name}: {self.highest[name]} -> {status['term']}")
                self.highest[name] = max(status["term"], self.highest.get(name, 0))
            await asyncio.sleep(0.05)
