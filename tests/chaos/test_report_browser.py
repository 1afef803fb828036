"""The page of a run in a real browser, opened from disk: nothing is asked of anybody, and everybody can read it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.async_api import Page, expect

from chaos.checks.verdict import Verdict
from chaos.report import html
from tests.chaos import sample_run
from tests.dashboard.browser import AXE, chromium
from tests.generated.pieces import LOOK, ROOT

pytestmark = [pytest.mark.slowest, pytest.mark.timeout(300)]


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """A failed run: it has every part that a page can have."""
    given = sample_run.evidence()
    record = sample_run.record(given)
    failed = Verdict("no-stale-read", "safety", "fail", "r2 read 6 although 7 had been acknowledged.", ("a", "b"))
    unknown = Verdict("recovered-in-time", "recovery", "unknown", "Whether the cluster recovered is unknown.")
    several = (sample_run.failover(), msgspec.structs.replace(sample_run.failover(), new_term=3))
    record = msgspec.structs.replace(
        record, exit_code=1, verdicts=(*record.verdicts, failed, unknown), failovers=several, notes=("A note.",)
    )
    path = tmp_path / "report.html"
    path.write_text(html.render(record, given.history, given.views, given.events))
    return path


@asynccontextmanager
async def opened(report: Path, **options: Any) -> AsyncIterator[tuple[Page, list[str]]]:
    """The page, and what it did that it must not do."""
    wrong: list[str] = []
    async with chromium() as browser:
        context = await browser.new_context(**{"viewport": {"width": 1400, "height": 900}, **options})
        page = await context.new_page()
        page.on("pageerror", lambda error: wrong.append(f"uncaught: {error}"))
        page.on("console", lambda message: wrong.append(f"{message.type}: {message.text}"))
        page.on("request", lambda request: wrong.append(request.url) if request.url != report.as_uri() else None)
        await page.goto(report.as_uri())
        yield page, [one for one in wrong if not one.startswith("data:")]
        assert [one for one in wrong if not one.startswith("data:")] == []
        await context.close()


async def axe(page: Page) -> list[str]:
    await page.evaluate(AXE.read_text())
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = await page.evaluate("(tags) => axe.run({ runOnly: tags })", tags)
    return [f"{one['id']}: {[node['html'][:120] for node in one['nodes']][:3]}" for one in found["violations"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 360])
async def test_the_page_asks_nobody_fits_its_screen_and_can_be_read_by_all(
    report: Path, scheme: str, width: int
) -> None:
    shape: dict[str, Any] = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}}
    async with opened(report, bypass_csp=True, **shape) as (page, _):
        await expect(page.locator("h1")).to_contain_text("Unsafe")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        for summary in await page.locator("#tables summary").all():
            await summary.click()
        assert await axe(page) == []


async def test_the_page_obeys_its_own_policy_and_tells_the_time_under_the_pointer(report: Path) -> None:
    async with opened(report) as (page, _):
        draw = page.locator("#timeline .draw").nth(3)
        await draw.scroll_into_view_if_needed()
        box = await draw.bounding_box()
        assert box is not None
        await page.mouse.move(box["x"] + (box["width"] - 6) / 2, box["y"] + 5)
        await expect(page.locator("#timeline .cursor")).to_be_visible()
        said = await page.locator("#timeline .cursor span").inner_text()
        assert float(said.removesuffix(" s")) == pytest.approx(6.0, abs=0.1)


async def test_a_role_looks_as_on_the_dashboard_whatever_rules_the_report_adds(report: Path) -> None:
    """Of each role that the run has: fill, edge and dashes, by the report's whole style sheet and by look.css alone."""
    alone = "<style>" + (ROOT / LOOK).read_text() + "</style>"
    drawn = "(e) => { const s = getComputedStyle(e); return [s.fill, s.stroke, s.strokeDasharray]; }"
    async with opened(report, bypass_csp=True) as (page, _):
        for role in ("leader", "follower", "pre-candidate", "unknown"):
            seen = await page.locator(f"#timeline svg.{role} .shape").first.evaluate(drawn)
            frame = f"<svg class='{role}'><rect class='shape'></rect></svg>"
            plain = await page.context.new_page()
            await plain.set_content(alone + frame)
            assert seen == await plain.locator(".shape").evaluate(drawn), role
            await plain.close()


async def test_the_page_can_be_zoomed_and_read_without_any_script(report: Path) -> None:
    async with opened(report, java_script_enabled=False) as (page, _):
        wide = page.locator("#timeline .wide")
        before = await wide.bounding_box()
        hidden = page.locator("#timeline text.fit4, #timeline text.fit8").first
        await expect(hidden).to_be_hidden()
        await page.locator("#zoom-8").check()
        after = await wide.bounding_box()
        assert before is not None
        assert after is not None
        assert after["width"] == pytest.approx(8 * before["width"], rel=0.01)
        await expect(hidden).to_be_visible()
        await expect(page.locator("#checks details")).to_have_attribute("open", "")


async def test_on_paper_nothing_is_cut_off(report: Path) -> None:
    async with opened(report, viewport={"width": 794, "height": 1123}) as (page, _):
        await page.emulate_media(media="print")
        cut = await page.evaluate(
            "[...document.querySelectorAll('.scroll')].filter((e) => e.scrollWidth > e.clientWidth + 1).length"
        )
        assert cut == 0
        await expect(page.locator("#zoom-1")).to_be_hidden()
