"""The page's login in a real browser, on real nodes that ask for tokens: `make test-slow`."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.cluster.guarded import TOKENS, Guarded, guarded_nodes
from tests.dashboard.browser import chromium, tab
from tests.dashboard.test_browser import axe

CALM = ("--heartbeat-ms", "100", "--election-timeout-ms", "2000-3000")

pytestmark = [pytest.mark.slowest, pytest.mark.timeout(300)]


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Guarded]:
    with guarded_nodes(tmp_path) as made:
        made.up(*CALM)
        yield made


async def test_a_person_logs_in_works_with_the_page_and_logs_out(nodes: Guarded) -> None:
    async with chromium() as browser, tab(browser, nodes.url("n1")) as here:
        page = here.page
        here.expected |= {"403"}
        await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        await expect(page.locator("#refused")).to_be_hidden()
        assert await axe(page) == []
        await page.get_by_label("Token or password").fill("x" * 40)
        await page.get_by_role("button", name="Log in").click()
        await expect(page.locator("#refused")).to_be_visible()

        await page.get_by_label("Token or password").fill(TOKENS["write"])
        await page.get_by_role("button", name="Log in").click()
        await here.headline("leads term")
        assert await page.evaluate("document.cookie") == ""
        (cookie,) = await page.context.cookies()
        assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
        assert await page.evaluate("fetch('/kv/of-the-page', {method: 'PUT', body: 'x'}).then((a) => a.status)") == 200
        assert (
            await page.evaluate("fetch('/commands/recover', {method: 'POST', body: '{}'}).then((a) => a.status)") == 403
        )
        await expect(page.locator("#events li")).not_to_have_count(0)

        await page.get_by_role("button", name=re.compile("Log out a-write")).click()
        await expect(page.get_by_role("heading", name="Log in")).to_be_visible()
        assert await page.context.cookies() == []
        assert await here.reports() == 0
        assert not here.complaints


async def test_a_page_whose_token_is_taken_back_shows_the_login(nodes: Guarded) -> None:
    async with chromium() as browser, tab(browser, nodes.url("n1")) as here:
        here.expected |= {"401"}
        await here.page.get_by_label("Token or password").fill(TOKENS["read"])
        await here.page.get_by_role("button", name="Log in").click()
        await here.headline("leads term")
        line = (nodes.folder / "tokens-n1").read_text().splitlines()[2]
        nodes.give(f"{line}\n")
        await expect(here.page.get_by_role("heading", name="Log in")).to_be_visible()
