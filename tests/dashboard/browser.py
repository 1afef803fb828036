"""A real headless browser for a test, watched for everything that a page must not do."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.dashboard.tracing import TRACED, longest_task_ms

CHROMIUM = shutil.which(os.environ.get("CHROMIUM", "chromium"))
AXE = Path(__file__).parents[2] / ".cache" / "axe.min.js"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
)
TASK_MS_MAX = 100
"""No task of the page's main thread takes longer, in processor time: other processes may have the processor between."""

WAIT_MS = 30_000
"""Longer than the page itself waits for an answer: then the page says so, and the failure shows what it said."""

expect.set_options(timeout=WAIT_MS)


class Tab:
    """One page, and all that went wrong in it."""

    def __init__(self, page: Page, url: str, browser: Browser | None) -> None:
        self.page = page
        self._tracing = browser
        self.url = url
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        self.expected: set[str] = set()
        """Words of messages that a test provokes: refused requests, a server that is away."""
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        page.on("console", lambda message: self._console(message.type, message.text))
        page.on("request", lambda request: self._request(request.url))

    def _console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not any(words in text for words in self.expected):
            self.complaints.append(f"{kind}: {text}")

    def _request(self, url: str) -> None:
        if not url.startswith((f"{self.url}/", "blob:", "data:")):
            self.foreign.append(url)

    async def longest_task_ms(self) -> float:
        """Processor time of the main thread's longest task so far; 0 where the tab is not traced (any more)."""
        browser, self._tracing = self._tracing, None
        if browser is None:
            return 0.0
        return longest_task_ms(msgspec.json.decode(await browser.stop_tracing())["traceEvents"], self.url)

    async def reports(self) -> int:
        """Violations of the policy that the server was told of."""
        async with aiohttp.ClientSession() as http, http.get(f"{self.url}/csp-report") as answer:
            return int((await answer.json())["reports"])

    async def behaved(self) -> None:
        """The page threw nothing, wrote no error, asked nobody else, broke no policy and never stalled."""
        assert not self.complaints, self.complaints
        assert not self.foreign, self.foreign
        assert await self.reports() == 0
        longest = await self.longest_task_ms()
        print(f"longest task: {longest:.1f} ms")
        assert longest < TASK_MS_MAX

    async def headline(self, text: str) -> None:
        """Wait until the headline contains `text`."""
        await expect(self.page.locator("#headline")).to_contain_text(text)

    async def settled(self) -> None:
        """Wait until what the page asks once is answered: a fault that comes later leaves none of it unanswered."""
        await expect(self.page.locator("#kv-note")).to_contain_text("revision")

    async def moves(self) -> None:
        """Wait until something moves. (Asked from outside: the page's policy lets nobody wait by script.)"""
        async with asyncio.timeout(WAIT_MS / 1000):
            while not await self.page.evaluate("document.getAnimations().length"):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.05)

    def on_ring(self, name: str) -> Any:
        """The node in the ring."""
        return self.page.locator(f'#ring [role=option][data-name="{name}"]')


@asynccontextmanager
async def chromium(*more: str) -> AsyncIterator[Browser]:
    """A browser of its own, closed afterwards. `more`: flags."""
    if CHROMIUM is None:
        raise AssertionError("there is no chromium: `make browser` installs what these tests need")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *more])
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def tab(browser: Browser, url: str, traced: bool = False, **options: Any) -> AsyncIterator[Tab]:
    """The page at `url`, in a context of its own. `traced`: how long its tasks take is judged, one tab at a time."""
    context = await browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **options})
    try:
        page = await context.new_page()
        opened = Tab(page, url, browser if traced else None)
        if traced:
            await browser.start_tracing(page=page, categories=TRACED)
        await page.goto(f"{url}/")
        yield opened
        await opened.longest_task_ms()
    finally:
        await context.close()
