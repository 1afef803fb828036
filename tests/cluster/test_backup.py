"""A backup of a cluster under load, from any node, and a new cluster made of it: real processes, as people do it."""

import json
import subprocess
import sys
import urllib.request
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.bare import Bare, bare_nodes
from tests.cluster.harness import WAIT_SECONDS, Cluster, raft_node, running_cluster
from tests.cluster.oracle import Load
from tests.ports import free_base_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

NAMES = ["n1", "n2", "n3"]


def members(base_port: int) -> str:
    return ",".join(f"{name}=127.0.0.1:{base_port + 1000 + at}" for at, name in enumerate(NAMES))


async def restore(file: Path, home: Path, base_port: int, token: str = "t") -> str:
    """All three folders; the new cluster's id."""
    ids = set()
    for name in NAMES:
        code, out = await raft_node(
            *("restore", str(file), "--data-dir", str(home / name), "--name", name, "--json"),
            *("--members", members(base_port), "--token", token),
        )
        assert code == 0, out
        ids.add(json.loads(out)["cluster_id"])
    assert len(ids) == 1, "the folders of one restore belong to one cluster"
    return str(ids.pop())


async def store_at(cluster: Cluster, url: str, revision: int) -> list[Any]:
    """Every key with its value and revisions, as they were at `revision`."""
    wanted = {"key": "AA==", "range_end": "AA==", "revision": str(revision)}
    async with cluster.http.post(f"{url}/v3/kv/range", json=wanted) as answer:
        assert answer.status == 200, await answer.text()
        return list((await answer.json())["kvs"])


def new_store(nodes: Bare, name: str) -> tuple[list[Any], int]:
    """Every key of the new cluster, and its revision."""
    url = f"http://127.0.0.1:{nodes.ports[name]}/v3/kv/range"
    request = urllib.request.Request(url, b'{"key":"AA==","range_end":"AA=="}', method="POST")
    with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
        body = json.loads(answer.read())
    return list(body["kvs"]), int(body["header"]["revision"])


@pytest.mark.slowest
async def test_a_backup_from_any_node_under_load_becomes_a_new_cluster_that_goes_on_from_there(tmp_path: Path) -> None:
    found: dict[str, Any] = {}
    async with running_cluster(tmp_path, 3) as cluster, Load(cluster, 4, pause_s=0.05) as load:
        where = ("--data-dir", str(cluster.folder / "data"))
        for name in NAMES:
            await load.more_acknowledged(50)
            told = {writer.key: writer.acknowledged for writer in load.writers}
            code, out = await raft_node("backup", name, str(tmp_path / f"{name}.snap"), *where, "--json")
            assert code == 0, out
            found = json.loads(out)
            values = {
                b64decode(kv["key"]).decode(): int(b64decode(kv["value"]))
                for kv in await store_at(cluster, cluster.url(name), found["revision"])
            }
            assert dict.fromkeys(told, True) == {key: values[key] >= told[key] for key in told}
        old = await store_at(cluster, cluster.url("n1"), found["revision"])
        base = free_base_port(3)
        new_id = await restore(tmp_path / "n3.snap", tmp_path / "new", base)
    assert new_id != found["cluster_id"]
    with bare_nodes(tmp_path / "new", 3, base_port=base) as nodes:
        kvs, revision = new_store(nodes, "n2")
        assert kvs == old, "keys, values, versions and revisions are those of the old cluster at that revision"
        assert revision == found["revision"]
        nodes.put("n1", "more", b"1")
        assert new_store(nodes, "n3")[1] == revision + 1, "revisions go on"
        for name in NAMES:
            status = nodes.status(name)
            assert (status["cluster_id"], status["commit"] > found["index"]) == (new_id, True)
            assert (await raft_node("log", "verify", str(tmp_path / "new" / name)))[0] == 0
        an_old_disk_is_no_member(nodes, cluster.folder / "data" / "n3" / "data", members(base))


def an_old_disk_is_no_member(nodes: Bare, folder: Path, seeds: str) -> None:
    """In the place of n3, with the address of n3, it is refused by the others, and learns nothing."""
    nodes.processes["n3"].terminate()
    nodes.processes["n3"].wait(WAIT_SECONDS)
    refused = 'raft_frames_refused_total{why="hello"}'
    before = {name: nodes.metric(name, refused) for name in ("n1", "n2")}
    command = [sys.executable, "-m", "node.cli", "serve", "--name", "n3", "--seeds", seeds]
    with (folder.parent / "old.log").open("wb") as log:
        old = subprocess.Popen([*command, "--port", str(nodes.ports["n3"]), "--data-dir", str(folder)], stderr=log)
    try:
        nodes.until(lambda: all(nodes.metric(name, refused) > before[name] for name in before), "both refuse it")
        nodes.put("n1", "without", b"it")
        status = nodes.status("n3")
        assert (status["leader"], status["role"] == "leader") == ("", False)
        assert status["cluster_id"] != nodes.status("n1")["cluster_id"]
        assert not any(peer["link_up"] for peer in nodes.status("n1")["peers"] if peer["name"] == "n3")
    finally:
        old.terminate()
        old.wait(WAIT_SECONDS)
