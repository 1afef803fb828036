"""The judge of long tasks sees what a page does too long, and not what the test itself does in it."""

import msgspec
import pytest
from playwright.async_api import Browser

from tests.dashboard.browser import chromium
from tests.dashboard.tracing import TRACED, longest_task_ms

pytestmark = pytest.mark.slowest

URL = "http://page.test/"
WORK = "(() => { let sum = 0; for (let i = 0; i < 2e8; i++) sum += i % 7; window.sum = sum; })();"
"""Some hundred milliseconds of a processor, however many others want one: a task is judged by what it took of it."""


async def longest_of(browser: Browser, page_script: str, test_script: str = "0") -> float:
    """Milliseconds. The page is served to the browser by this process, without a network."""
    page = await browser.new_page()
    await page.route(
        f"{URL}**",
        lambda route: (
            route.fulfill(body=page_script, content_type="text/javascript")
            if route.request.url.endswith(".js")
            else route.fulfill(body='<input><script src="a.js"></script>', content_type="text/html")
        ),
    )
    await browser.start_tracing(page=page, categories=TRACED)
    await page.goto(URL)
    await page.fill("input", "a")
    await page.evaluate(test_script)
    events = msgspec.json.decode(await browser.stop_tracing())["traceEvents"]
    await page.close()
    return longest_task_ms(events, URL)


async def test_work_of_the_page_is_seen_and_work_of_the_test_is_not() -> None:
    async with chromium() as browser:
        assert await longest_of(browser, WORK) > 150
        assert await longest_of(browser, f"addEventListener('input', () => {{ {WORK} }})") > 150
        assert await longest_of(browser, f"setTimeout(() => {{ {WORK} }})") > 150
        assert await longest_of(browser, "", f"() => {{ {WORK} }}") < 100
