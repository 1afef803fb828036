"""What an open dashboard costs: writes per second with and without the page's traffic, in alternating rounds.

Why it exists: the page promises to cost at most 5 % of the writes per second. The browser itself is left out: it
runs on the viewer's machine: this asks what the page asks (`node/dashboard/static/app.js`, `source.js`) of the leader.
`python -m benchmarks.page [ROUNDS]` prints each round's ratio (with / without the page) and the median.
"""

import asyncio
import statistics
import sys
import tempfile
import threading
from pathlib import Path

import aiohttp

from benchmarks.load import Load
from benchmarks.measure import WRITE_KINDS, run_generator
from benchmarks.systems import System, running

ROUNDS = 14
CLIENTS = 64
SECONDS = 2.0
LOOK_SECONDS = 1.0
STREAM = "/events?messages=1&rate=40"
LOOKS = ("/cluster", "/stats", "/log?from=1&limit=30")


class Page:
    """The traffic of one open page, on a thread of its own; `with` it is open."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="page")
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> "Page":
        self._task = self._loop.create_task(self._open())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        assert self._task is not None
        self._loop.run_until_complete(asyncio.gather(self._task, return_exceptions=True))

    async def _open(self) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as http:
            await asyncio.gather(self._listen(http), self._look(http))

    async def _listen(self, http: aiohttp.ClientSession) -> None:
        async with http.get(self._url + STREAM) as stream:
            async for _ in stream.content.iter_any():
                pass

    async def _look(self, http: aiohttp.ClientSession) -> None:
        while True:
            for path in LOOKS:
                async with http.get(self._url + path) as answer:
                    await answer.read()
            await asyncio.sleep(LOOK_SECONDS)


def _writes(system: System, port: int) -> float:
    return run_generator(Load([("127.0.0.1", port)], WRITE_KINDS[system.api], CLIENTS, SECONDS)).per_second


def main() -> int:
    """The median of all rounds; which comes first alternates."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    ratios = []
    with tempfile.TemporaryDirectory() as folder, running("ours", Path(folder) / "ours", 3) as system:
        for number in range(rounds):
            leader = system.leader()
            assert leader is not None
            port = system.ports[leader]
            without = _writes(system, port) if number % 2 else 0.0
            with Page(port):
                watched = _writes(system, port)
            without = without or _writes(system, port)
            ratios.append(watched / without)
            print(f"{without:8,.0f} a second alone, {watched:8,.0f} with the page: {ratios[-1]:.2f}", flush=True)
    print(f"median of {rounds} rounds: {statistics.median(ratios):.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
