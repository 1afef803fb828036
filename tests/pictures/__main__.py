"""`python -m tests.pictures [FOLDER]`: take the pictures of README and docs anew, of a real cluster and of real runs.

FOLDER is that of a run on Kubernetes, as `make test-kubernetes` leaves them in `.cache/kubernetes`; without it, its
picture stays as it is. Look at what came out: no program sees what a newcomer does not understand.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.async_api import Browser, Page

from tests.cluster.harness import Cluster, running_cluster
from tests.dashboard.browser import chromium, tab

IMAGES = Path(__file__).parents[2] / "docs" / "images"
SCHEMES = ("light", "dark")
WIDTH = 1400
CALM = ("--heartbeat-ms", "100", "--election-timeout-ms", "2000-3000", "--monitor-port", "0")
"""Slow enough that those who are cut off are seen to wait, and to ask."""
FAULT_SECONDS, WRITE_EVERY_SECONDS = 90, 0.15
SETTLED_SECONDS = 4.0
FLIGHTS_MIN, TRIES = 5, 40
"""So many messages under way at least, one with entries among them, make a picture; waited for so often."""


async def dashboard(browser: Browser, folder: Path) -> None:
    """A leader that is cut from two of five, a slow link, and writes."""
    async with running_cluster(folder, 5, *CALM) as cluster:
        leader = await cluster.leader()
        followers = [name for name in cluster.nodes if name != leader]
        for peer in followers[2:]:
            await _order(cluster, leader, "cut_link", peer=peer, seconds=FAULT_SECONDS)
        slow, beyond = followers[:2]
        await _order(cluster, slow, "delay_link", peer=beyond, direction="out", ms=40, seconds=FAULT_SECONDS)
        writing = asyncio.create_task(_write(cluster, leader))
        for scheme in SCHEMES:
            viewport = {"width": WIDTH, "height": 1240}
            async with tab(browser, cluster.monitor.rstrip("/"), color_scheme=scheme, viewport=viewport) as shown:
                await shown.headline("3 of 5")
                await asyncio.sleep(SETTLED_SECONDS)
                for _ in range(TRIES):
                    flying = await shown.page.evaluate(
                        "document.querySelector('.sky').getAnimations({subtree: true}).length"
                    )
                    if flying > FLIGHTS_MIN and await shown.page.locator(".sky .flight.append").count():
                        break
                    await asyncio.sleep(0.1)
                await shown.page.screenshot(path=IMAGES / f"dashboard-{scheme}-{WIDTH}.png")
        writing.cancel()


async def two_kills(browser: Browser, folder: Path) -> None:
    """The timeline of two kills, and the anatomy of the first."""
    async with running_cluster(folder, 5):
        where = ("--data-dir", str(folder / "data"), "--out", str(folder / "runs"))
        command = ("kill-leader", "--mode", "sigkill", "--times", "2", "--yes", *where)
        run = await asyncio.create_subprocess_exec(sys.executable, "-m", "chaos.cli", *command)
        assert await run.wait() == 0, "a run that fails is no picture: try again"
    await _report(browser, folder / "runs" / "latest", "kill-leader", "#timeline", "#failovers article >> nth=0")


async def _report(browser: Browser, run: Path, name: str, first: str, last: str) -> None:
    """The page of that run, from the top of the one part to the end of the other."""
    for scheme in SCHEMES:
        async with _page(browser, (run / "report.html").resolve().as_uri(), scheme) as page:
            begin, end = await page.locator(first).bounding_box(), await page.locator(last).bounding_box()
            assert begin is not None
            assert end is not None
            top = max(0.0, begin["y"] - 8)
            clip = {"x": 0, "y": top, "width": WIDTH, "height": end["y"] + end["height"] + 8 - top}
            await page.screenshot(path=IMAGES / f"chaos-report-{name}-{scheme}-{WIDTH}.png", full_page=True, clip=clip)  # type: ignore[arg-type]


@asynccontextmanager
async def _page(browser: Browser, url: str, scheme: str) -> AsyncIterator[Page]:
    context = await browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light", viewport={"width": WIDTH, "height": 900}
    )
    page = await context.new_page()
    await page.goto(url)
    yield page
    await context.close()


async def _order(cluster: Cluster, node: str, command: str, **arguments: str | int) -> None:
    async with cluster.http.post(f"{cluster.url(node)}/commands/{command}", json=arguments) as answer:
        assert answer.status == 200, await answer.text()


async def _write(cluster: Cluster, leader: str) -> None:
    """On and on, until cancelled."""
    number = 0
    while True:
        for fruit in ("apples", "limes", "pears", "plums", "figs"):
            number += 1
            value = f"{number} in the basket".encode()
            async with cluster.http.put(f"{cluster.url(leader)}/kv/fruit/{fruit}", data=value) as answer:
                await answer.read()
            await asyncio.sleep(WRITE_EVERY_SECONDS)


async def main(kubernetes: Path | None) -> None:
    """All of them."""
    async with chromium() as browser:
        for take in (dashboard, two_kills):
            with tempfile.TemporaryDirectory() as folder:
                await take(browser, Path(folder))
        if kubernetes is not None:
            await _report(browser, kubernetes, "kubernetes", "header", "#timeline")


asyncio.run(main(Path(sys.argv[1]) if len(sys.argv) > 1 else None))
