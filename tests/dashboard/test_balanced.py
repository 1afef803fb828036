"""A node's page where something takes each connection to another node, as an Ingress does: it says so, commands go by
the name of their node, and it becomes the page of whoever answers once its own node is gone."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from playwright.async_api import expect

from chaos.listeners import listen_no_more
from tests.cluster.harness import running_cluster
from tests.dashboard.browser import chromium, tab
from tests.dashboard.test_browser import CALM

pytestmark = [pytest.mark.slowest, pytest.mark.timeout(300)]


class Balancer:
    """Takes each connection to the next of `ports`."""

    def __init__(self, ports: list[int]) -> None:
        self.ports = ports
        self.url = ""
        self._writers: set[asyncio.StreamWriter] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.ports.append(self.ports.pop(0))
        self._writers.add(writer)
        try:
            with suppress(OSError):
                theirs, ours = await asyncio.open_connection("127.0.0.1", self.ports[0])
                self._writers.add(ours)
                await asyncio.gather(carry(reader, ours), carry(theirs, writer))
        finally:
            writer.close()

    def cut(self) -> None:
        """Every connection there is."""
        while self._writers:
            self._writers.pop().close()


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def balancer(*ports: int) -> AsyncIterator[Balancer]:
    made = Balancer(list(ports))
    server = await asyncio.start_server(made.accept, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        await listen_no_more(server)
        made.cut()


async def test_a_page_that_several_nodes_answer_says_so_and_follows_when_its_own_is_gone(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3, *CALM) as cluster:
        ports = {name: int(cluster.url(name).rpartition(":")[2]) for name in ("n1", "n2", "n3")}
        async with (
            balancer(ports["n1"]) as way,
            chromium() as browser,
            tab(browser, way.url) as here,
        ):
            page = here.page
            here.expected |= {"Failed to load resource", "net::ERR"}
            await here.headline("leads term")
            await expect(page.locator("#waiting")).to_be_hidden()
            async with page.expect_request(re.compile(r"/commands/check_timers\?node=n1$")):
                await page.click("[data-command=check_timers]")
            way.ports = [ports["n1"], ports["n2"]]
            way.cut()
            await expect(page.locator("#waiting")).to_contain_text("must keep a browser at one")
            way.ports = [ports["n2"]]
            cluster.signal("n1", signal.SIGKILL)
            await expect(page).to_have_title(re.compile("leads term .* n2$"))
            await expect(page.locator("#connection")).to_have_text("live")
            await expect(page.locator("#waiting")).to_be_hidden()
            assert not here.complaints, here.complaints
