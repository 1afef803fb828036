"""A real kube-apiserver on three of our nodes finds its state again, whatever becomes of them."""

import asyncio
import signal
import time
from pathlib import Path

import pytest

from tests.cluster.harness import Cluster
from tests.judges.apiserver import Api
from tests.judges.applying import GROUP, Applies, Watcher, loop, seen
from tests.judges.judged import SPACE, WHY_NOT, everything_agrees, judged, log_is_clean
from tests.judges.verdicts import Window

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

LOOPS = 6
KILLS = 3
APPLIES_MIN = 60
UNDISTURBED_SECONDS = 4.0
"""So long loops apply before the next node goes."""
GRACE_SECONDS = 10.0
"""After a node is back, the API server's client may still wait to dial it again, and say so."""
AGREE_SECONDS_MAX = 10.0
WATCHED = {
    "ConfigMap": f"/api/v1/namespaces/{SPACE}/configmaps",
    "Verdict": f"/apis/{GROUP}/v1/namespaces/{SPACE}/verdicts",
}


@pytest.fixture(autouse=True)
def snapshots_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that was away comes back by a snapshot, too."""
    monkeypatch.setenv("RAFT_SNAPSHOT_ENTRIES", "100")
    monkeypatch.setenv("RAFT_SNAPSHOT_TAIL", "20")


@pytest.mark.timeout(300)
async def test_nothing_acknowledged_is_lost_whichever_node_goes(tmp_path: Path) -> None:
    """Under applies the leader is killed, three times; then every node is stopped and started, one by one."""
    async with judged(tmp_path) as (cluster, api):
        applies, stop = Applies(), asyncio.Event()
        watchers = [Watcher(api, path, kind) for kind, path in WATCHED.items()]
        for watcher in watchers:
            await watcher.begin()
        async with asyncio.TaskGroup() as tasks:
            following = [tasks.create_task(watcher.follow()) for watcher in watchers]
            loops = [tasks.create_task(loop(api, SPACE, number, applies, stop)) for number in range(LOOPS)]
            windows = await _every_node_goes(cluster)
            stop.set()
            await asyncio.gather(*loops)
            objects = await everything_agrees(cluster, api)
            print(f"{applies.in_short()}; {objects} objects alike; streams: {[one.streams for one in watchers]}")
            for watcher in watchers:
                await _nothing_is_lost(api, watcher, applies)
            for task in following:
                task.cancel()
        assert applies.acknowledged > APPLIES_MIN
        outside = applies.failed_outside(windows)
        assert not outside, f"applies failed while every node was there: {outside[:5]}"
        log_is_clean(api, windows)


async def _every_node_goes(cluster: Cluster) -> list[Window]:
    windows = [await _struck(cluster, await cluster.leader(), signal.SIGKILL) for _ in range(KILLS)]
    windows += [await _struck(cluster, name, signal.SIGTERM) for name in list(cluster.nodes)]
    await asyncio.sleep(UNDISTURBED_SECONDS)
    return windows


async def _struck(cluster: Cluster, name: str, number: signal.Signals) -> Window:
    """The node ends by that signal and is started again, after a time in which nothing happens."""
    await asyncio.sleep(UNDISTURBED_SECONDS)
    begin = time.time()
    cluster.signal(name, number)

    async def gone() -> bool:
        return not cluster.nodes[name]["pid"]

    await cluster.until(gone, f"{name} is gone")
    await cluster.start_node(name)
    await cluster.all_known()
    return Window(begin, time.time() + GRACE_SECONDS)


async def _nothing_is_lost(api: Api, watcher: Watcher, applies: Applies) -> None:
    """Every acknowledged apply is there, and who watched was told the same, each change once."""
    found = seen((await api.get(watcher.path))["items"])
    lost = applies.lost({name: value for name, (_, value) in found.items()}, watcher.kind)
    assert not lost, "\n".join(lost)
    async with asyncio.timeout(AGREE_SECONDS_MAX):
        while watcher.objects != found:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.1)
    assert watcher.revisions == sorted(set(watcher.revisions))
