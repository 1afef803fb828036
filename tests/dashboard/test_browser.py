"""The page in a real browser, on real clusters: `make test-slow`."""

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from chaos.listeners import listen_no_more
from node.runtime.commands import COMMANDS
from tests.cluster.harness import Cluster, running_cluster, standing_cluster, visiting
from tests.dashboard.browser import AXE, Tab, chromium, tab

CALM = ("--heartbeat-ms", "100", "--election-timeout-ms", "2000-3000")
"""A browser takes much of a small machine: leaders change only where a test makes them."""
LASTING_SECONDS = "300"
"""Of faults that a test looks at for long: none may end by itself meanwhile."""

pytestmark = [pytest.mark.slowest, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cluster of three for the tests that break nothing; what they write and delay is nobody else's concern."""
    with standing_cluster(tmp_path_factory.mktemp("standing"), 3, *CALM) as folder:
        yield folder


async def followers(cluster: Cluster) -> list[str]:
    leader = await cluster.leader()
    return [name for name in cluster.nodes if name != leader]


async def axe(page: Any) -> list[str]:
    """What axe-core finds against WCAG 2.2 A and AA, one line a kind."""
    if await page.evaluate("typeof axe") == "undefined":
        await page.evaluate(AXE.read_text())
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = await page.evaluate("(tags) => axe.run({ runOnly: tags })", tags)
    return [f"{one['id']}: {[node['html'][:120] for node in one['nodes']][:3]}" for one in found["violations"]]


async def test_the_page_of_a_follower_shows_the_leader_and_behaves(standing: Path) -> None:
    async with visiting(standing) as cluster, chromium() as browser:
        follower, leader = (await followers(cluster))[0], await cluster.leader()
        async with tab(browser, cluster.url(follower), traced=True) as here:
            await here.headline(f"{leader} leads term")
            await expect(here.on_ring(leader)).to_have_attribute(
                "aria-label", re.compile(rf"{leader}, term \d+, leader")
            )
            await expect(here.on_ring(follower)).to_have_attribute("aria-label", re.compile("this node"))
            await expect(here.page.locator("#nodes tbody tr")).to_have_count(3)
            await expect(here.page.locator("#rate")).to_contain_text("messages per second, showing")
            await expect(here.page.locator("#log .entry")).not_to_have_count(0)
            await expect(here.page.locator("#events li")).not_to_have_count(0)
            await here.page.wait_for_function(
                "document.querySelector('.sky').getAnimations({subtree: true}).length > 0"
            )
            await here.behaved()


async def test_a_simulated_failure_of_the_leader_brings_another_one_on_screen(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 5, *CALM) as cluster, chromium() as browser:
        follower, leader = (await followers(cluster))[0], await cluster.leader()
        async with tab(browser, cluster.url(follower), traced=True) as here:
            await here.headline(f"{leader} leads")
            await here.settled()
            await here.on_ring(leader).click()
            await here.page.click("[data-command=simulate_failure]")
            await here.page.locator("#argument-seconds").fill(LASTING_SECONDS)
            await here.page.click("form.form button[type=submit]")
            await expect(here.page.locator(".outcomes li.ok")).to_contain_text("as if dead")
            await expect(here.page.locator("#headline")).to_have_text(
                re.compile(rf"^(?!{leader} )n\d leads term \d+; 4 of 5 voters heard")
            )
            await expect(here.on_ring(leader)).to_have_attribute("aria-label", re.compile("unknown, was leader"))
            await expect(here.page.locator("#live")).to_contain_text("leads term")
            assert await cluster.leader((leader,)) in await here.page.locator("#headline").inner_text()
            await here.behaved()
        async with tab(browser, cluster.url(leader)) as there:
            await expect(there.page.locator("#faults")).to_contain_text("simulated failure")
            await there.page.click("[data-command=recover]")
            await expect(there.page.locator("#faults")).to_be_hidden()
            await there.headline("all 5 nodes heard")


@pytest.mark.longest
async def test_it_works_with_two_of_five_nodes_dead(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 5, *CALM) as cluster, chromium() as browser:
        dead = [await cluster.leader(), (await followers(cluster))[0]]
        for name in dead:
            cluster.signal(name, signal.SIGKILL)
        leader = await cluster.leader(tuple(dead))
        here_name = next(name for name in cluster.nodes if name not in (*dead, leader))
        async with tab(browser, cluster.url(here_name), traced=True) as here:
            await here.headline(f"{leader} leads")
            await here.headline("3 of 5 voters heard")
            for name in dead:
                await expect(here.on_ring(name)).to_have_attribute("aria-label", re.compile("unknown"))
            await here.page.get_by_role("textbox", name="Key", exact=True).fill("a/b c")
            await here.page.get_by_role("textbox", name="Value").fill("hello ü")
            await here.page.get_by_role("button", name="put", exact=True).click()
            await expect(here.page.locator("#kv .said.ok")).to_contain_text("put: done, revision")
            await here.page.get_by_role("button", name="a/b c").click()
            await expect(here.page.locator("#kv .value")).to_have_text("hello ü")
            await expect(here.page.locator("#log .what").first).to_contain_text("a/b c")
            await here.page.get_by_role("button", name="delete", exact=True).click()
            await expect(here.page.locator("#kv .said.ok")).to_contain_text("delete: done")
            await expect(here.page.locator("#kv tbody tr")).to_have_count(0)
            await here.behaved()


async def test_every_command_can_be_given_from_the_page_and_its_outcome_is_shown(tmp_path: Path) -> None:
    async with (
        running_cluster(tmp_path, 3, *CALM) as cluster,
        chromium() as browser,
        tab(browser, cluster.url("n1"), traced=True) as here,
    ):
        here.expected |= {"400", "409"}  # a refusal is an answer, too
        await here.settled()
        buttons = here.page.locator("[data-command]")
        await expect(buttons).not_to_have_count(0)
        names = [await button.get_attribute("data-command") or "" for button in await buttons.all()]
        assert len(names) == len(COMMANDS), names
        names.sort(key=lambda name: name == "simulate_failure")  # last: nothing is answered while it lasts
        for name in names:
            await here.page.click(f"[data-command={name}]")
            form = here.page.locator("form.form")
            if await form.is_visible():
                for blank in await form.locator("input[required]").all():
                    if not await blank.input_value():
                        await blank.fill("n9")
                await form.locator("button[type=submit]").click()
            newest = here.page.locator(".outcomes > li").first
            await expect(newest).to_contain_text(f": {name}: ")
            assert "outcome unknown" not in await newest.inner_text()
        await here.behaved()


async def test_cut_links_are_drawn_as_cut_and_told_to_everyone(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3, *CALM) as cluster, chromium() as browser:
        one, other = await followers(cluster)
        async with tab(browser, cluster.url(one)) as here:
            await here.headline("leads")
            await here.on_ring(other).click()
            await here.page.click("[data-command=cut_link]")
            await here.page.locator("#argument-peer").select_option(one)
            await here.page.locator("#argument-direction").select_option("out")
            await here.page.locator("#argument-seconds").fill(LASTING_SECONDS)
            await here.page.click("form.form button[type=submit]")
            cut = here.page.locator("#ring .link.cut")
            await expect(here.page.locator(".outcomes li.ok")).to_contain_text("vanishes")
            # `other` speaks to nobody here any more, so this node hears nothing of it; the other side's page knows
            async with tab(browser, cluster.url(other)) as there:
                await expect(there.page.locator("#ring .link.cut")).to_have_count(1)
                await expect(there.page.locator("#faults")).to_contain_text(f"cut: {other} to {one}, one way")
                await expect(there.page.locator("#nodes")).to_contain_text(f"cut link to {one}")
                await there.page.click("[data-command=recover]")
                await expect(there.page.locator("#ring .link.cut")).to_have_count(0)
            await expect(cut).to_have_count(0)
            await here.headline("all 3 nodes heard")


async def test_the_page_outlives_its_server_and_comes_back_with_it(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3, *CALM) as cluster, chromium() as browser:
        follower = (await followers(cluster))[0]
        async with tab(browser, cluster.url(follower), traced=True) as here:
            await expect(here.page.locator("#connection")).to_have_text("live")
            await here.settled()
            here.expected.add("net::ERR")
            cluster.signal(follower, signal.SIGKILL)
            await expect(here.page.locator("#connection")).to_have_text("no connection")
            await here.headline("all of this is old")
            await cluster.start_node(follower)
            await expect(here.page.locator("#connection")).to_have_text("live")
            await here.headline("all 3 nodes heard")
            await expect(here.page.locator("#events")).to_contain_text("started")
            await here.behaved()


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.longest)])
async def test_axe_finds_nothing(standing: Path, scheme: str) -> None:
    async with visiting(standing) as cluster, chromium() as browser:
        follower, leader = (await followers(cluster))[0], await cluster.leader()
        options: dict[str, Any] = {"color_scheme": scheme, "bypass_csp": True}
        async with tab(browser, cluster.url(follower), **options) as here:
            page = here.page
            await here.headline(f"{leader} leads")
            await page.get_by_role("textbox", name="Key", exact=True).fill("a")
            await page.get_by_role("button", name="put", exact=True).click()
            await expect(page.locator("#kv .said.ok")).to_be_visible()
            assert await axe(page) == []
            async with every_outcome(page):
                assert await axe(page) == []
            await page.click("[data-command=delay_link]")
            await page.click("form.form button[type=submit]")
            await expect(page.locator("#faults")).to_be_visible()
            await page.click("[data-command=drop_link]")
            assert await axe(page) == []
            await page.context.set_offline(True)
            await here.headline("all of this is old")
            assert await axe(page) == []
            await page.context.set_offline(False)
            await page.click("#help-open")
            assert await axe(page) == []
            async with cluster.http.post(f"{cluster.url(follower)}/commands/recover", json={}) as answer:
                assert answer.status == 200
        async with tab(browser, cluster.url(follower), viewport={"width": 360, "height": 780}, **options) as narrow:
            await narrow.headline(f"{leader} leads")
            assert await axe(narrow.page) == []


@asynccontextmanager
async def every_outcome(page: Any) -> AsyncIterator[None]:
    """One command is answered, with its details open, and one is not answered yet."""
    await page.click("[data-command=state_details]")
    await page.locator(".outcomes summary").click()
    await expect(page.locator(".outcomes pre")).to_be_visible()
    answer = asyncio.Event()

    async def late(route: Any) -> None:
        await answer.wait()
        await route.continue_()

    await page.route("**/commands/check_timers*", late)
    await page.click("[data-command=check_timers]")
    waiting = page.locator(".outcomes .open")
    await expect(waiting).to_contain_text("was asked for check_timers, no answer yet")
    try:
        yield
    finally:
        answer.set()
    await expect(waiting).to_have_count(0)
    await expect(page.locator(".outcomes li").first).to_contain_text(": check_timers: ")
    await page.unroute_all(behavior="wait")


async def test_axe_finds_nothing_on_the_page_before_its_first_figures(standing: Path) -> None:
    async with (
        visiting(standing) as cluster,
        chromium() as browser,
        tab(browser, cluster.url("n1"), bypass_csp=True) as here,
    ):
        await here.page.add_init_script("window.requestAnimationFrame = () => 1")  # built, and never drawn
        await here.page.reload()
        await expect(here.page.locator("#legend > *")).not_to_have_count(0)
        assert await axe(here.page) == []


async def test_the_pods_of_a_release_with_a_long_name_can_be_told_apart(standing: Path) -> None:
    async with (
        visiting(standing) as cluster,
        chromium() as browser,
        tab(browser, cluster.url("n1"), bypass_csp=True) as here,
    ):
        pods = {f'"{name}"': f'"key-value-store-of-the-shop-raft-{name[1:]}"' for name in cluster.nodes}
        for path in ("**/cluster", "**/source.json"):
            await here.page.route(path, rewritten(pods))
        await here.page.reload()
        await here.headline("all 3 nodes heard")
        shown = here.page.locator("#ring [role=option] .name")
        await expect(shown).to_have_text(["…ft-1", "…ft-2", "…ft-3"])
        assert await axe(here.page) == []
        await here.page.unroute_all(behavior="wait")


async def test_the_keyboard_reaches_everything(standing: Path) -> None:
    async with (
        visiting(standing) as cluster,
        chromium() as browser,
        tab(browser, cluster.url("n1"), traced=True) as here,
    ):
        await here.headline("all 3 nodes heard")
        keys, title = here.page.keyboard, here.page.locator("#node-title")
        await keys.press("2")
        await expect(title).to_have_text("n2")
        await here.on_ring("n2").focus()
        await keys.press("ArrowRight")
        await expect(title).to_have_text("n3")
        await expect(here.on_ring("n3")).to_be_focused()
        await keys.press("Home")
        await expect(title).to_have_text("n1")
        assert await here.page.locator("#ring [role=option][tabindex='0']").count() == 1
        await keys.press("?")
        await expect(here.page.locator("#help")).to_be_visible()
        await keys.press("Escape")
        await expect(here.page.locator("#help")).to_be_hidden()
        await keys.press("/")
        await expect(here.page.locator("#events-search")).to_be_focused()
        await keys.type("2?mt/")
        await expect(here.page.locator("#events-search")).to_have_value("2?mt/")
        await expect(here.page.locator("#events li")).to_have_count(0)
        await here.behaved()


async def test_who_wants_no_motion_gets_none_and_figures_instead(standing: Path) -> None:
    async with (
        visiting(standing) as cluster,
        chromium() as browser,
        tab(browser, cluster.url("n1"), reduced_motion="reduce") as here,
    ):
        await expect(here.page.locator("#rate")).to_contain_text(re.compile(r"^[1-9][\d.]* messages per second to"))
        assert await here.page.evaluate("document.getAnimations().length") == 0
        await here.page.click("#motion")
        await here.moves()
        await here.behaved()


async def test_nothing_is_cut_off_at_360_pixels(standing: Path) -> None:
    async with (
        visiting(standing) as cluster,
        chromium() as browser,
        tab(browser, cluster.url("n1"), viewport={"width": 360, "height": 780}) as here,
    ):
        await here.headline("leads")
        await expect(here.page.locator("#stats")).to_contain_text("elections started")
        assert await here.page.evaluate("document.documentElement.scrollWidth") <= 360
        await here.behaved()


async def start_from_the_page(here: Tab, name: str) -> None:
    await here.page.get_by_role("button", name=f"start {name}").click()
    await expect(here.page.locator(".outcomes li.ok").first).to_contain_text(f"{name} was started as process")
    await here.headline("all 3 nodes heard")


async def test_the_monitors_page_shows_all_and_starts_a_dead_node_again(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3, *CALM, "--monitor-port", "0") as cluster, chromium() as browser:
        leader, follower = await cluster.leader(), (await followers(cluster))[0]
        async with tab(browser, cluster.monitor.rstrip("/")) as here:
            await here.headline(f"{leader} leads")
            await expect(here.page.locator("#rate")).to_contain_text(f"to and from {leader}")
            await here.on_ring(follower).click()
            await expect(here.page.locator("#rate")).to_contain_text(f"to and from {follower}")
            await expect(here.page.locator("#output-title")).to_have_text(f"Output of {follower}")
            await expect(here.page.locator("#output pre")).to_contain_text("vote")
            await here.page.click("[data-command=check_timers]")
            await expect(here.page.locator(".outcomes li.ok")).to_contain_text(f"{follower}: check_timers")
            await here.page.locator("#viewpoint").select_option("")
            cluster.signal(leader, signal.SIGKILL)
            await here.on_ring(leader).click()
            await expect(here.on_ring(leader)).to_have_attribute("aria-label", re.compile(rf"{leader}, term \d+, dead"))
            await expect(here.page.locator("#headline")).to_have_text(re.compile(rf"^(?!{leader} )n\d leads"))
            await start_from_the_page(here, leader)
            assert not [one for one in here.complaints if "uncaught" in one]


async def test_members_come_and_go_from_the_monitors_page(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3, *CALM, "--monitor-port", "0") as cluster, chromium() as browser:
        leader = await cluster.leader()
        async with tab(browser, cluster.monitor.rstrip("/")) as here:
            await here.headline(f"{leader} leads")
            rows, said = here.page.locator("#members tbody tr"), here.page.locator("#members .said.ok")
            await expect(rows).to_have_count(3)
            await here.page.get_by_role("button", name="start one more node").click()
            await here.page.get_by_role("button", name="let n4 in").click()
            await expect(said).to_have_text("n4 is a learner")
            await expect(here.on_ring("n4")).to_have_attribute("aria-label", re.compile(r"n4, term \d+, learner, "))
            await expect(rows.nth(3)).to_contain_text("up to date")
            await here.page.get_by_role("button", name="give n4 a vote").click()
            await expect(said).to_have_text("n4 is a voter")
            await expect(here.page.locator("#members-note")).to_have_text("4 voters")
            await here.headline("all 4 nodes heard")
            await here.page.get_by_role("button", name=f"remove {leader}").click()
            await here.page.get_by_role("button", name="keep it").click()
            await expect(here.page.locator("#members form")).not_to_be_visible()
            await here.page.get_by_role("button", name=f"remove {leader}").click()
            await here.page.get_by_role("button", name=f"remove {leader}", exact=True).click()
            await expect(said).to_contain_text(f"{leader} is no member. Process ")
            await expect(here.page.locator("#members-note")).to_have_text("3 voters")
            await expect(here.on_ring(leader)).to_have_count(0)
            assert leader not in cluster.nodes
            assert not [one for one in here.complaints if "uncaught" in one]


async def test_what_is_asked_of_a_node_that_goes_meanwhile_breaks_nothing_and_is_asked_again(standing: Path) -> None:
    """The monitor does not know a node that was removed after the page had read the list of them."""

    async def unknown(route: Any) -> None:
        await route.fulfill(status=404, json={"error": "unknown-node", "message": "there is no such node"})

    asked = re.compile(r"/(log\?.*|stats|members|commands)$")
    async with visiting(standing) as cluster, chromium() as browser, tab(browser, cluster.url("n1")) as here:
        await expect(here.page.locator("#log .entry")).not_to_have_count(0)
        here.expected.add("404")
        await here.page.route(asked, unknown)
        await expect(here.page.locator("#log .entry")).to_have_count(0)
        await expect(here.page.locator("#members")).to_be_hidden()
        await here.page.unroute(asked)
        await expect(here.page.locator("#log .entry")).not_to_have_count(0)
        for panel in ("#members", "#stats"):
            await expect(here.page.locator(panel)).to_be_visible()
        await here.behaved()


@pytest.mark.longest
async def test_a_node_that_lost_its_disk_is_named_on_every_page_with_the_reason(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, 3, *CALM) as cluster, chromium() as browser:
        leader = await cluster.leader()
        wiped, other = await followers(cluster)
        await cluster.wipe(wiped)
        for name in (wiped, other):
            async with tab(browser, cluster.url(name)) as here:
                here.expected.add("503")  # no keys to read
                waiting = here.page.locator("#waiting")
                await expect(waiting).to_contain_text(f"{wiped} has no vote and waits:")
                await expect(waiting).to_contain_text("a node whose data was lost is a new member and has no vote")
                assert leader in await waiting.inner_text()
                assert await axe(here.page) == []
                await here.behaved()


async def test_behind_a_port_forward_one_page_is_enough_and_says_where_the_others_are(standing: Path) -> None:
    """As kubectl does it: only one node is within reach, at a port that is not its own, under the name localhost."""
    async with visiting(standing) as cluster, chromium() as browser:
        leader = await cluster.leader()
        here_name = (await followers(cluster))[0]
        names = {name: f"http://{name}.raft-headless.ns.svc:8001" for name in cluster.nodes}
        async with forwarded(cluster.url(here_name)) as port:
            context = await browser.new_context()
            try:
                page = await context.new_page()
                as_in_a_pod = {f'"{cluster.url(name)}"': f'"{url}"' for name, url in names.items()}
                await page.route("**/cluster", rewritten(as_in_a_pod))
                await page.goto(f"http://localhost:{port}/")
                here = Tab(page, f"http://localhost:{port}", None)
                await here.headline(f"{leader} leads")
                await here.on_ring(leader).click()
                await expect(page.locator("#node")).to_contain_text(f"kubectl port-forward pod/{leader} 8001")
                await expect(page.locator("#node a")).to_be_hidden()
                await page.click("[data-command=check_timers]")  # relayed: the leader itself is not within reach
                await expect(page.locator(".outcomes li.ok")).to_contain_text(f"{leader}: check_timers")
                await page.get_by_role("textbox", name="Key", exact=True).fill("k")
                await page.get_by_role("button", name="put", exact=True).click()
                await expect(page.locator("#kv .said.ok")).to_contain_text("put: done")
                await here.behaved()
            finally:
                await page.unroute_all(behavior="wait")  # the page asks on until the end
                await context.close()


def rewritten(words: dict[str, str]) -> Callable[[Any], Awaitable[None]]:
    """A route whose answers have other words."""

    async def answer(route: Any) -> None:
        real = await route.fetch()
        text = await real.text()
        for old, new in words.items():
            text = text.replace(old, new)
        await route.fulfill(response=real, body=text)

    return answer


@asynccontextmanager
async def forwarded(url: str) -> AsyncIterator[int]:
    """A port of this machine whose bytes go to `url`'s, as with `kubectl port-forward`."""
    host, _, port = url.removeprefix("http://").partition(":")

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(host, int(port))
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        await listen_no_more(server)
        await asyncio.get_running_loop().shutdown_default_executor()  # the browser's driver used it
