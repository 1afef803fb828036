"""What the page says in trouble, and whose eyes it uses: real clusters, both themes, on a desk and on a telephone."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.cluster.harness import Cluster, running_cluster, standing_cluster, visiting
from tests.dashboard.browser import Tab, chromium, tab
from tests.dashboard.geometry import FLIGHTS, OVERLAPS, crowd
from tests.dashboard.test_browser import CALM, LASTING_SECONDS, axe, followers

LOOKS = tuple(product((1400, 390), ("light", "dark")))
"""Widths and themes."""

pytestmark = [pytest.mark.slowest, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Five nodes and the monitor; whoever breaks something mends it."""
    with standing_cluster(tmp_path_factory.mktemp("seen"), 5, *CALM, "--monitor-port", "0") as folder:
        yield folder


@asynccontextmanager
async def looking(browser: Browser, url: str, look: tuple[int, str]) -> AsyncIterator[Tab]:
    """The page at that width in that theme."""
    size = {"width": look[0], "height": 900}
    async with tab(browser, url.rstrip("/"), viewport=size, color_scheme=look[1], bypass_csp=True) as here:
        yield here


@asynccontextmanager
async def cut_off(cluster: Cluster, one: str, others: list[str]) -> AsyncIterator[None]:
    """`one` does not hear `others`, nor they it."""
    for peer in others:
        words = {"peer": peer, "seconds": LASTING_SECONDS}
        async with cluster.http.post(f"{cluster.url(one)}/commands/cut_link", json=words) as answer:
            assert answer.status == 200
    try:
        yield
    finally:
        await cluster.http.post(f"{cluster.url(one)}/commands/recover", json={})
        await cluster.all_known()


async def test_a_leader_that_is_cut_from_two_is_seen_so_by_hub_headline_links_and_messages(standing: Path) -> None:
    async with visiting(standing) as cluster, chromium() as browser:
        leader = await cluster.leader()
        term = max(status["term"] for status in (await cluster.statuses()).values())
        away = (await followers(cluster))[2:]
        async with cut_off(cluster, leader, away):
            for look in LOOKS:
                async with looking(browser, cluster.monitor, look) as here:
                    await here.headline(
                        f"{leader} leads term {term}; 3 of 5 voters heard by {leader}, "
                        "as seen by the monitor: from each node's own word."
                    )
                    await expect(here.page.locator("#ability")).to_have_text(
                        "Serves reads and writes; 2 of 5 follow no leader; can lose no more."
                    )
                    await expect(here.page.locator("#ring-by")).to_contain_text("as seen by the monitor")
                    await expect(here.page.locator("#ring .pip.heard")).to_have_count(3)
                    await expect(here.page.locator("#ring .group")).to_have_count(2)
                    await expect(here.page.locator("#ring .link.cut")).to_have_count(4)
                    await expect(here.page.locator("#faults span")).to_have_text(
                        re.compile(rf"^✕ cut: {leader} from {away[0]} and {away[1]}, ends in \d+ \w+$")
                    )
                    broken = here.page.locator(".flight.broken")
                    await expect(broken).not_to_have_count(0)
                    for _ in range(5):
                        assert await here.page.evaluate(FLIGHTS) == []
                        await asyncio.sleep(0.2)
                    assert await here.page.evaluate(OVERLAPS) == []
                    assert await axe(here.page) == []
            async with looking(browser, cluster.url(leader), LOOKS[0]) as here:
                await here.headline(f"{leader} leads term {term}; 3 of 5 voters heard, as seen by {leader}.")
            async with looking(browser, cluster.url(away[0]), LOOKS[0]) as here:
                await here.headline(f"4 of 5 voters heard, as seen by {away[0]}.")
                await expect(here.page.locator("#events li", has_text="hears no leader").first).to_contain_text(
                    re.compile(r", \d+ times in [\d.]+ s")
                )


@pytest.mark.longest
@pytest.mark.parametrize("look", [LOOKS[0], *(pytest.param(look, marks=pytest.mark.longest) for look in LOOKS[1:])])
async def test_labels_of_the_ring_do_not_overlap(standing: Path, look: tuple[int, str]) -> None:
    """Of three to seven nodes in every role, with faults and with long names."""
    async with visiting(standing) as cluster, chromium() as browser, looking(browser, cluster.url("n1"), look) as here:
        shown: dict[str, Any] = {}

        async def answer(route: Any) -> None:
            await route.fulfill(json=shown)

        await here.page.route("**/cluster", answer)
        scenes = product((3, 5, 7), ("n{}", "key-value-store-raft-{}"), ("calm", "cut", "dead"))
        for term, (number, name, roles) in enumerate(scenes, 900):
            shown.update(crowd(number, name, roles, term))
            await here.headline(f"leads term {term};")  # drawn in the frame of the ring
            found = await here.page.evaluate(OVERLAPS)
            assert found == [], (number, name, roles)
            assert await here.page.evaluate("document.documentElement.scrollWidth") <= look[0]
        await here.page.unroute_all(behavior="wait")


async def test_the_page_of_a_dead_node_is_old_says_since_when_and_where_to_go(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3, *CALM) as cluster, chromium() as browser:
        name, other = await followers(cluster)
        async with looking(browser, cluster.url(name), LOOKS[0]) as here:
            page = here.page
            await here.settled()
            await expect(page.locator("#lost")).to_be_hidden()
            await page.click("[data-command=cut_link]")
            cluster.signal(name, signal.SIGKILL)
            await expect(page.locator("#lost-words")).to_contain_text(
                re.compile(rf"^{name} has not answered for [\d.]+ m?s: .* and commands are off\.$")
            )
            early = await page.locator("#ability").inner_text()
            assert re.match(r"Not known now\. [\d.]+ m?s ago: Serves reads and writes; ", early)
            for width, scheme in LOOKS:
                await page.set_viewport_size({"width": width, "height": 900})
                await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                buttons = page.locator("[data-command], .form [type=submit], #kv button")
                assert await buttons.count() > 15
                assert await buttons.locator(":scope:not(:disabled)").count() == 0
                assert await page.evaluate("document.documentElement.scrollWidth") <= width
                assert await axe(page) == []
            links = page.locator("#lost-links a")
            hrefs = sorted([await link.get_attribute("href") or "" for link in await links.all()])
            assert hrefs == sorted(f"{cluster.url(one)}/" for one in cluster.nodes if one != name)
            await expect(page.locator("#ability")).not_to_have_text(early)
            await expect(page.locator("#nodes tbody")).to_contain_text(re.compile(r"[5-9](\.\d)? s ago"))
            await expect(page.locator("#kv-note")).to_contain_text("Could not load the keys")
            await page.get_by_role("link", name=other, exact=True).first.click()
            await here.headline(f"as seen by {other}")
            await expect(page.locator("#ability")).to_have_text(
                "Serves reads and writes; 1 of 3 not heard; can lose no more."
            )


@pytest.mark.longest
async def test_a_dead_nodes_panels_stay_its_own_and_say_how_old_they_are(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3, *CALM, "--monitor-port", "0") as cluster, chromium() as browser:
        leader, name = await cluster.leader(), (await followers(cluster))[0]
        async with looking(browser, cluster.monitor, LOOKS[0]) as here:
            panels = [here.page.locator(f"#{panel}-title") for panel in ("log", "stats", "events", "output")]

            async def all_are_of(one: str) -> None:
                for panel in panels:
                    await expect(panel).to_have_text(re.compile(rf" of {one}$"))
                await expect(here.page.locator("#node-title")).to_have_text(one)

            await all_are_of(leader)
            await here.on_ring(name).click()
            await all_are_of(name)
            await expect(here.page.locator("#log .entry")).not_to_have_count(0)
            cluster.signal(name, signal.SIGKILL)
            await expect(here.page.locator("#ability")).to_contain_text("1 of 3 down")
            await all_are_of(name)
            await expect(here.page.locator("#log-note")).to_contain_text("last heard")
            await expect(here.page.locator("#log .entry")).not_to_have_count(0)
            await expect(here.page.locator("#node")).to_contain_text(f"Commands are off: {name} does not run.")
            assert await here.page.locator("[data-command]:not(:disabled)").count() == 0
            await here.page.locator("#viewpoint").select_option("")
            await all_are_of(await cluster.leader())
            await expect(here.page.locator("#kv-title")).to_have_text("Keys and values through whoever answers")
        async with looking(browser, cluster.monitor, LOOKS[0]) as late:
            await late.on_ring(name).click()
            await expect(late.page.locator("#stats")).to_contain_text(f"{name} does not run, and this page has read")
            await expect(late.page.locator("#log")).to_contain_text(f"{name} does not run, and this page has read")


async def test_in_the_first_seconds_nothing_is_missing_it_is_only_not_measured_yet(standing: Path) -> None:
    async with (
        visiting(standing) as cluster,
        chromium() as browser,
        looking(browser, cluster.url("n1"), LOOKS[0]) as here,
    ):
        later = asyncio.Event()

        async def late(route: Any) -> None:
            await later.wait()
            await route.continue_()

        for path in ("**/stats", "**/log?*"):
            await here.page.route(path, late)
        await here.page.reload()
        await here.headline("all 5 nodes heard")
        await expect(here.page.locator("#stats")).to_contain_text("Not measured yet.")
        await expect(here.page.locator("#log")).to_contain_text("Not read yet.")
        later.set()
        await expect(here.page.locator("#stats")).to_contain_text("elections started")
        await expect(here.page.locator("#stats")).not_to_contain_text("Not measured yet.", use_inner_text=True)
        await here.page.unroute_all(behavior="wait")


async def test_escape_closes_a_form_and_gives_the_keyboard_back(standing: Path) -> None:
    async with (
        visiting(standing) as cluster,
        chromium() as browser,
        looking(browser, cluster.url("n1"), LOOKS[0]) as here,
    ):
        form = here.page.locator("form.form")
        for command in ("delay_link", "transfer_leadership"):
            opener = here.page.locator(f"[data-command={command}]")
            await opener.click()
            await expect(form).to_be_visible()
            await here.page.keyboard.press("Escape")
            await expect(form).to_be_hidden()
            await expect(opener).to_be_focused()
        await here.behaved()


async def test_the_keys_follow_changes_and_say_when_they_could_not_be_loaded(standing: Path) -> None:
    async with (
        visiting(standing) as cluster,
        chromium() as browser,
        looking(browser, cluster.monitor, LOOKS[0]) as here,
    ):
        keys, note = here.page.locator("#kv tbody"), here.page.locator("#kv-note")
        await expect(note).to_contain_text("0 keys")
        async with cluster.http.put(f"{cluster.url('n1')}/kv/from-elsewhere", data=b"1") as answer:
            assert answer.status == 200
        await expect(keys).to_contain_text("from-elsewhere")

        async def refuse(route: Any) -> None:
            await route.fulfill(status=503, json={"error": "no-leader", "message": "no leader is known"})

        here.expected.add("503")
        await here.page.route("**/kv/?*", refuse)
        await here.page.get_by_role("button", name="list", exact=True).click()
        async with cluster.http.delete(f"{cluster.url('n1')}/kv/from-elsewhere") as answer:
            assert answer.status == 200
        await expect(note).to_contain_text(
            re.compile(
                r"Could not load the keys: no leader is known; what is listed is [\d.]+ m?s old, revision \d+\. "
            )
        )
        await expect(keys).to_contain_text("from-elsewhere")
        await here.page.unroute_all(behavior="wait")
        await expect(note).to_contain_text("0 keys")
        await expect(keys.locator("tr")).to_have_count(0)
        await here.behaved()


async def test_the_log_is_of_one_moment_under_load(standing: Path) -> None:
    async with visiting(standing) as cluster, chromium() as browser:
        leader = await cluster.leader()
        async with looking(browser, cluster.url(leader), LOOKS[0]) as here:
            await expect(here.page.locator("#log .entry")).not_to_have_count(0)
            done = asyncio.Event()

            async def write(number: int) -> None:
                while not done.is_set():
                    async with cluster.http.put(f"{cluster.url(leader)}/kv/load-{number}", data=b"x") as answer:
                        await answer.read()

            writers = [asyncio.create_task(write(number)) for number in range(8)]
            seen: set[int] = set()
            try:
                while len(seen) < 6:
                    edges, newest, term = await here.page.evaluate(LOG)
                    assert edges["applied"] <= edges["committed"] <= edges["last"] == newest, (edges, newest)
                    assert "as leader of term" in term
                    seen.add(newest)
                    await asyncio.sleep(0.05)
            finally:
                done.set()
                await asyncio.gather(*writers)


LOG = """() => {
  const number = (text) => Number(text.replaceAll(",", ""));
  const edges = Object.fromEntries([...document.querySelectorAll("#log .edges span")].map((one) => {
    const [name, value] = one.textContent.split(" ");
    return [name, number(value)];
  }));
  const [newest, note] = ["#log .entry .index", "#log-note"].map((where) => document.querySelector(where).textContent);
  return [edges, number(newest), note];
}"""


@pytest.mark.longest
async def test_legend_and_help_name_every_mark_and_the_right_column_is_used(standing: Path) -> None:
    async with visiting(standing) as cluster, chromium() as browser:
        for look in LOOKS:
            async with looking(browser, cluster.monitor, look) as here:
                await here.headline("all 5 nodes heard")
                marks = await here.page.evaluate("import('/static/marks.js').then((all) => [all.MARKS, all.IN_LEGEND])")
                legend = here.page.locator("#legend")
                if look[0] == 390:
                    await legend.locator("summary").click()
                shown = await legend.inner_text()
                assert [name for place in marks[1] for _, name, _ in marks[0][place] if name not in shown] == []
                await here.page.click("#help-open")
                told = await here.page.locator("#help").inner_text()
                listed = [part for place in marks[0].values() for _, *words in place for part in words]
                assert [part for part in listed if part not in told] == []
                assert await axe(here.page) == []
                await here.page.keyboard.press("Escape")
                if look[0] == 1400:
                    ring, events = [
                        await here.page.locator(one).bounding_box() for one in (".ring-card", ".events-card")
                    ]
                    assert ring
                    assert events
                    assert abs(ring["y"] + ring["height"] - events["y"] - events["height"]) < 2
                    assert events["height"] > 250
                    assert events["x"] > ring["x"] + ring["width"]
