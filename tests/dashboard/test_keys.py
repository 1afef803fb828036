"""The page's list of keys in a real browser: it follows a watch, whatever comes of it."""

import asyncio
import json
import re
import signal
from base64 import b64encode
from pathlib import Path

import pytest
from playwright.async_api import Route, expect

from tests.cluster.harness import Cluster, running_cluster
from tests.dashboard.browser import WAIT_MS, chromium, tab
from tests.dashboard.test_browser import CALM, axe

pytestmark = [pytest.mark.slowest, pytest.mark.timeout(300)]

BURST_CHANGES = 20_000
CHANGES_PER_WRITE = 100


async def put(cluster: Cluster, name: str, key: str, value: bytes = b"v") -> int:
    async with cluster.http.put(f"{cluster.url(name)}/kv/{key}", data=value) as answer:
        return answer.status


async def burst(cluster: Cluster, name: str) -> None:
    """Many changes of few keys, as fast as the cluster takes them."""
    waiting = iter(range(BURST_CHANGES // CHANGES_PER_WRITE))

    async def writer() -> None:
        for number in waiting:
            at = range(number * CHANGES_PER_WRITE, (number + 1) * CHANGES_PER_WRITE)
            keys = (b64encode(b"burst-%03d" % (one % 300)).decode() for one in at)
            puts = [{"request_put": {"key": key, "value": "dg=="}} for key in keys]
            async with cluster.http.post(f"{cluster.url(name)}/v3/kv/txn", json={"success": puts}) as answer:
                assert answer.status == 200, await answer.text()

    await asyncio.gather(*(writer() for _ in range(8)))


async def test_a_burst_of_changes_holds_the_page_up_at_no_time_and_ends_in_what_is_there(tmp_path: Path) -> None:
    async with (
        running_cluster(tmp_path, 3, *CALM) as cluster,
        chromium() as browser,
        tab(browser, cluster.url("n1"), traced=True) as here,
    ):
        note, keys = here.page.locator("#kv-note"), here.page.locator("#kv tbody tr")
        await expect(note).to_contain_text("live")
        await burst(cluster, "n1")
        async with cluster.http.get(f"{cluster.url('n1')}/kv/?limit=50") as answer:
            listed = await answer.json()
        await expect(note).to_have_text(f"300 keys, the first 50 shown, revision {listed['revision']}, live")
        shown = [re.split(r"\s+", (await row.inner_text()).strip()) for row in await keys.all()]
        assert shown == [
            [one["key"], "1", "B", str(one["mod_revision"]), str(one["version"])] for one in listed["keys"]
        ]
        await here.behaved()


def said(revision: int) -> str:
    """A change, as a node tells it."""
    key = f"burst-{revision % 300:03}"
    about = {"key": key, "key_base64": b64encode(key.encode()).decode(), "revision": revision}
    about |= {"value": "v", "value_base64": "dg==", "create_revision": 2, "version": revision}
    return f"id: {revision}\nevent: put\ndata: {json.dumps(about)}\n\n"


@pytest.mark.longest
async def test_changes_that_come_faster_than_any_cluster_makes_them_hold_the_page_up_at_no_time(tmp_path: Path) -> None:
    """Twenty thousand in one piece, and again with each new attempt."""
    told = 0

    async def answer(route: Route) -> None:
        nonlocal told
        told += 1
        body = "event: watching\ndata: {}\n\n" + "".join(said(revision) for revision in range(2, 20_002))
        await route.fulfill(status=200, content_type="text/event-stream", body=body)

    async with (
        running_cluster(tmp_path, 3, *CALM) as cluster,
        chromium() as browser,
        tab(browser, cluster.url("n1"), traced=True) as here,
    ):
        note, again = here.page.locator("#kv-note"), here.page.get_by_role("button", name="list", exact=True)
        await expect(note).to_contain_text("live")
        await here.page.route("**/kv/?*watch=1*", answer)
        await again.click()
        async with asyncio.timeout(WAIT_MS / 1000):
            while told < 3:  # noqa: ASYNC110 - the page tells nobody
                await asyncio.sleep(0.05)
        await here.page.unroute_all(behavior="wait")
        await again.click()
        await expect(note).to_have_text("0 keys, revision 1, live")
        await here.behaved()


async def test_keys_go_on_where_their_node_dies_and_where_it_is_cut_off(tmp_path: Path) -> None:
    async with (
        running_cluster(tmp_path, 3, *CALM, "--monitor-port", "0") as cluster,
        chromium() as browser,
        tab(browser, cluster.monitor.rstrip("/")) as here,
    ):
        here.expected |= {"502", "503", "504"}  # while the cluster has no leader
        note, keys = here.page.locator("#kv-note"), here.page.locator("#kv tbody")
        await expect(note).to_contain_text("live")
        leader = await cluster.leader()
        cluster.signal(leader, signal.SIGKILL)
        other = await cluster.leader((leader,))
        assert await put(cluster, other, "after-death") == 200
        await expect(keys).to_contain_text("after-death")
        await expect(note).to_contain_text(", live")
        await cluster.start_node(leader)
        await cluster.all_known()
        served = await _who_is_watched(cluster)
        for peer in set(cluster.nodes) - {served}:
            words = {"peer": peer, "seconds": 300}
            async with cluster.http.post(f"{cluster.url(served)}/commands/cut_link", json=words) as answer:
                assert answer.status == 200
        assert await put(cluster, await cluster.leader((served,)), "after-cut") == 200
        await expect(keys).to_contain_text("after-cut")
        await expect(note).to_contain_text("2 keys")
        await here.behaved()


async def _who_is_watched(cluster: Cluster) -> str:
    statuses = await cluster.statuses()
    return next(name for name, status in statuses.items() if status["store"]["watches"])


async def test_a_full_store_is_an_alarm_that_everybody_can_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAFT_QUOTA_BYTES", str(1 << 20))
    async with (
        running_cluster(tmp_path, 3, *CALM) as cluster,
        chromium() as browser,
        tab(browser, cluster.url("n1"), bypass_csp=True) as here,
    ):
        await expect(here.page.locator("#node")).to_contain_text("of 1.0 MB")
        number = 0
        while await put(cluster, "n1", f"big-{number}", b"x" * 100_000) == 200:
            number += 1
        await cluster.all_applied()  # refused is what n1 has applied too much for; n2 may be an entry behind
        async with cluster.http.get(f"{cluster.url('n2')}/status") as answer:
            assert [one["alarm"] for one in (await answer.json())["alarms"]] == ["NOSPACE"]
        alarms = here.page.locator("#alarms")
        await expect(alarms).to_contain_text("NOSPACE on n1, n2, n3: the store holds its quota")
        await expect(here.page.locator("#ability")).to_contain_text("refuses puts (the store is full)")
        assert await axe(here.page) == []
        assert await _compacted(cluster, number) == 200
        await expect(alarms).to_be_hidden()
        await here.behaved()


async def _compacted(cluster: Cluster, keys: int) -> int:
    """Room is made as operators do."""
    url = cluster.url("n1")
    for number in range(keys):
        async with cluster.http.delete(f"{url}/kv/big-{number}") as answer:
            revision = json.loads(await answer.read())["revision"]
    async with cluster.http.post(f"{url}/v3/kv/compaction", json={"revision": revision}) as answer:
        return answer.status
