"""One more local node and one less, with stand-ins: names, folders, ports, and who may be ended for good."""

import asyncio
import json
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from node.supervisor import layout
from node.supervisor.control import Answer, ask
from node.supervisor.flags import flags_of
from node.supervisor.joining import one_more
from node.supervisor.layout import NODES_MAX, NodeEntry, SupervisorError
from tests.ports import free_base_port
from tests.supervisor.conftest import Cluster, alive, eventually


def entries_in(folder: Path, nodes: int = 3) -> tuple[NodeEntry, ...]:
    base = free_base_port(nodes + 3)
    return tuple(layout.entry_of(folder, f"n{number}", base) for number in range(1, nodes + 1))


def order(cluster: Cluster, what: str, node: str = "") -> Answer:
    assert what in ("start", "add", "retire")
    return asyncio.run(ask(cluster.data_dir, what, node))  # type: ignore[arg-type]


def test_the_next_node_has_the_first_name_whose_folder_and_ports_are_free(tmp_path: Path) -> None:
    entries = entries_in(tmp_path)
    (tmp_path / "n4").mkdir()  # of one that was removed: its disk is not empty
    port = int(entries[0].url.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port + 4 + layout.PEER_PORT_OFFSET)):
        found = one_more(tmp_path, entries)
        with pytest.raises(SupervisorError, match=f"Port {port + 4 + 1000}, where n5 would listen, is in use"):
            one_more(tmp_path, entries, "n5")
    assert (found.name, found.url, found.joined) == ("n6", f"http://127.0.0.1:{port + 5}", True)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("n2", "There is a node n2 already"),
        ("n4", "n4 is there, and is not what a node of that name left: remove it, or leave the name out"),
        ("n100", "no name of a local cluster's node: those are n1 to n99"),
        ("../x", "no name of a local cluster's node"),
    ],
)
def test_a_name_that_cannot_be_had_is_refused_with_the_cure(tmp_path: Path, name: str, why: str) -> None:
    entries = entries_in(tmp_path)
    (tmp_path / "n4").mkdir()
    with pytest.raises(SupervisorError, match=why):
        one_more(tmp_path, entries, name)


def test_who_left_may_be_named_again_and_gets_the_folder_that_it_left(tmp_path: Path) -> None:
    entries = entries_in(tmp_path)
    left = Path(layout.entry_of(tmp_path, "n4", 20_000).data_dir)
    left.mkdir(parents=True)
    (left / "segment-00000001.wal").touch()
    assert one_more(tmp_path, entries).name == "n5", "unnamed, it begins anew"
    found = one_more(tmp_path, entries, "n4")
    assert (found.name, found.data_dir, found.joined) == ("n4", str(left), True)


def test_there_is_an_end_to_it(tmp_path: Path) -> None:
    with pytest.raises(SupervisorError, match=f"There are {NODES_MAX} nodes already"):
        one_more(tmp_path, entries_in(tmp_path, NODES_MAX))


def test_who_joins_is_no_seed_of_its_own_and_the_others_are(tmp_path: Path) -> None:
    entries = entries_in(tmp_path)
    joined = one_more(tmp_path, entries)
    everybody = (*entries, joined)

    def seeds(entry: NodeEntry) -> list[str]:
        flags = flags_of(entry, everybody)
        return [seed.partition("=")[0] for seed in flags[flags.index("--seeds") + 1].split(",")]

    assert seeds(joined) == ["n1", "n2", "n3"]
    assert seeds(entries[0]) == ["n1", "n2", "n3", "n4"]


@pytest.mark.slowest
def test_who_joined_or_left_is_there_or_not_at_the_next_start(cluster: Cluster) -> None:
    cluster.start().until_table()
    added = order(cluster, "add")
    assert (added.ok, added.node) == (True, "n4"), added
    cluster.pids.append(added.pid or 0)
    assert alive([added.pid or 0]) == [added.pid]
    said = f"n4 was started as process {added.pid}, to be let in"
    eventually(lambda: said in cluster.output, "the line of its start")
    with ThreadPoolExecutor(2) as two_at_once:
        answers = list(two_at_once.map(lambda _: order(cluster, "retire", "n4"), range(2)))
    retired, late = sorted(answers, key=lambda answer: not answer.ok)
    assert "its folder" in retired.text
    assert late.text.startswith("There is no node n4")
    assert alive([added.pid or 0]) == []
    assert [node["name"] for node in cluster.file["nodes"]] == ["n1", "n2", "n3"]
    said = "n4 was removed from the cluster, and its process has ended"
    eventually(lambda: said in cluster.output, "the line of its end")
    assert "start it again with" not in cluster.output  # that it ended was no death
    assert order(cluster, "retire", "n4").text == "There is no node n4: the nodes are n1, n2, n3."

    again = order(cluster, "add")
    assert again.node == "n5", "the folder of n4 is not empty"
    cluster.signal(signal.SIGINT)
    assert cluster.wait() == 0
    assert "holds a cluster of 4 nodes" in cluster.raft_node("cluster", "--nodes", "3", "--no-monitor")[2]
    cluster.start(nodes=4).until_table()
    assert [(node["name"], node["joined"]) for node in cluster.file["nodes"]][2:] == [("n3", False), ("n5", True)]
    port = cluster.base_port + 4
    assert cluster.file["nodes"][3]["url"] == f"http://127.0.0.1:{port}"


@pytest.mark.slowest
def test_a_member_is_not_ended_and_neither_is_anybody_while_nobody_leads(cluster: Cluster) -> None:
    cluster.start().until_table()
    refused = order(cluster, "retire", "n2")
    assert (refused.ok, refused.text) == (False, "n2 is a member still: raft-node members remove n2 first.")
    assert cluster.pid("n2") is not None
    leader = cluster.pid("n1")
    assert leader is not None
    cluster.pids.append(leader)
    os.kill(leader, signal.SIGKILL)
    eventually(lambda: cluster.pid("n1") is None, "the end of n1")
    refused = order(cluster, "retire", "n2")
    assert (refused.ok, refused.text) == (False, "Nobody leads, so nobody knows whether n2 is a member: it goes on.")


def test_a_node_that_cannot_be_started_is_not_there(cluster: Cluster) -> None:
    cluster.start().until_table()
    (cluster.data_dir / "n4").write_text("a file where its folder would be")
    refused = order(cluster, "add", "n4")
    assert not refused.ok
    assert [node["name"] for node in json.loads((cluster.data_dir / "cluster.json").read_text())["nodes"]] == [
        "n1",
        "n2",
        "n3",
    ]


def test_fresh_leaves_no_data_of_a_removed_node_to_a_new_one(tmp_path: Path) -> None:
    base = free_base_port(4)
    lock, _ = layout.open_folder(tmp_path, 3, base, False)
    lock.release()
    (tmp_path / "n4" / "data").mkdir(parents=True)
    (tmp_path / "n9" / "data").mkdir(parents=True)
    lock, entries = layout.open_folder(tmp_path, 4, base, True)
    lock.release()
    assert [entry.name for entry in entries] == ["n1", "n2", "n3", "n4"]
    assert not (tmp_path / "n4").exists()
    assert (tmp_path / "n9").exists()  # nobody of the new cluster has it
