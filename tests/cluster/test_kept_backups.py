"""Backups into a folder of a real cluster: what is kept, and what the metric of every node says of it."""

import time
from functools import partial
from pathlib import Path

import pytest

from tests.cluster.bare import Bare, bare_nodes
from tests.cluster.harness import raft_node

pytestmark = pytest.mark.slowest

METRIC = "raft_backup_last_success_timestamp_seconds"


def told(nodes: Bare, name: str) -> float:
    """What the metric says; 0: it is absent."""
    try:
        return nodes.metric(name, METRIC)
    except StopIteration:
        return 0.0


def all_told(nodes: Bare, since: float) -> bool:
    return all(told(nodes, name) >= since for name in nodes.ports)


def heard(nodes: Bare, name: str, at: float) -> bool:
    return told(nodes, name) == at


async def test_every_node_tells_of_the_last_backup_and_still_does_when_all_were_restarted_one_by_one(
    tmp_path: Path,
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    with bare_nodes(tmp_path, 3) as nodes:
        assert [told(nodes, name) for name in nodes.ports] == [0, 0, 0]
        for number in range(3):
            nodes.put("n1", f"k{number}", b"v")
            began = time.time()
            url = f"http://127.0.0.1:{nodes.ports['n2']}"
            code, out = await raft_node("backup", url, f"{kept}/", "--keep", "2")
            assert code == 0, out
            nodes.until(partial(all_told, nodes, began), "all were told")
            assert max(told(nodes, name) for name in nodes.ports) <= time.time()
        assert len(list(kept.iterdir())) == 2
        last = told(nodes, "n1")
        for name in nodes.ports:
            nodes.restart(name)
            nodes.until(partial(heard, nodes, name, last), f"{name} has heard of it again")
