"""The data folder: what is ours is continued or removed, what is not is left alone."""

import json
import os
from pathlib import Path

import pytest

from node.supervisor import layout
from node.supervisor.layout import ClusterFile, Lock, NodeEntry, SupervisorError
from tests.ports import free_base_port


def opened(data_dir: Path, nodes: int = 3, fresh: bool = False) -> tuple[NodeEntry, ...]:
    """Open and release; give every node something to lose."""
    lock, entries = layout.open_folder(data_dir, nodes, free_base_port(nodes), fresh)
    for entry in entries:
        Path(entry.data_dir).mkdir(parents=True, exist_ok=True)
        (Path(entry.data_dir) / "log").touch()
    lock.release()
    return entries


def refused(data_dir: Path, nodes: int = 3, fresh: bool = False) -> str:
    before = everything_in(data_dir)
    with pytest.raises(SupervisorError) as caught:
        layout.open_folder(data_dir, nodes, free_base_port(nodes), fresh)
    assert everything_in(data_dir) - {data_dir / layout.LOCK_FILE} == before - {data_dir / layout.LOCK_FILE}
    return str(caught.value)


def everything_in(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_a_new_folder_gets_a_cluster_file_before_any_node(tmp_path: Path) -> None:
    base = free_base_port(3)
    lock, entries = layout.open_folder(tmp_path / "deep" / "data", 3, base, False)
    lock.release()
    found = layout.read(tmp_path / "deep" / "data")
    assert found == ClusterFile(state="stopped", supervisor_pid=None, control=None, nodes=entries)
    assert [(e.name, e.url, e.peer) for e in entries][1] == (
        "n2",
        f"http://127.0.0.1:{base + 1}",
        f"127.0.0.1:{base + 1001}",
    )


def test_another_number_of_nodes_on_old_data_is_refused_with_the_number_that_fits(tmp_path: Path) -> None:
    opened(tmp_path)
    assert "holds a cluster of 3 nodes and --nodes says 5: go on with --nodes 3" in refused(tmp_path, nodes=5)


def test_other_ports_on_old_data_are_fine(tmp_path: Path) -> None:
    opened(tmp_path)
    assert opened(tmp_path)  # free_base_port gives others


@pytest.mark.parametrize("fresh", [False, True])
def test_a_foreign_folder_is_left_alone(tmp_path: Path, fresh: bool) -> None:
    (tmp_path / "thesis.tex").touch()
    (tmp_path / "n1").mkdir()
    assert "holds files that raft-node did not make" in refused(tmp_path, fresh=fresh)
    assert not (tmp_path / layout.LOCK_FILE).exists()


def test_fresh_removes_the_nodes_and_nothing_else(tmp_path: Path) -> None:
    opened(tmp_path, nodes=5)
    (tmp_path / "notes.txt").touch()
    (tmp_path / "n9").mkdir()
    opened(tmp_path, nodes=3, fresh=True)
    assert sorted(os.listdir(tmp_path)) == ["cluster.json", "n1", "n2", "n3", "n9", "notes.txt", "supervisor.lock"]
    lock, _ = layout.open_folder(tmp_path, 3, free_base_port(3), True)
    lock.release()
    assert not (tmp_path / "n1").exists()


def test_fresh_removes_nothing_at_all_when_one_folder_holds_something_else(tmp_path: Path) -> None:
    opened(tmp_path)
    (tmp_path / "n3" / "thesis.tex").touch()
    assert "does not look like a node's folder (thesis.tex)" in refused(tmp_path, fresh=True)
    assert (tmp_path / "n1" / "data" / "log").exists()


def test_fresh_does_not_follow_a_link(tmp_path: Path) -> None:
    data_dir, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    opened(data_dir)
    (elsewhere / "data").mkdir(parents=True)
    (data_dir / "n2" / "data" / "log").unlink()
    (data_dir / "n2" / "data").rmdir()
    (data_dir / "n2").rmdir()
    (data_dir / "n2").symlink_to(elsewhere)
    assert "(a link)" in refused(data_dir, fresh=True)
    assert (elsewhere / "data").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "has version 2"),
        ({"format": "something else"}, "was not written by raft-node"),
        ({"nodes": [{"name": "../x", "url": "u", "peer": "p", "data_dir": "d", "log_file": "l"}]}, "never makes"),
    ],
)
def test_a_cluster_file_that_is_not_ours_is_refused(tmp_path: Path, change: dict[str, object], said: str) -> None:
    opened(tmp_path)
    path = tmp_path / "cluster.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert said in refused(tmp_path, fresh=True)


def test_half_a_cluster_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text('{"format": "raft-')
    assert "was not written by raft-node" in refused(tmp_path, fresh=True)


def test_a_held_lock_names_its_holder_and_is_free_after_release(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock")
    with pytest.raises(SupervisorError, match=f"Process {os.getpid()} already runs a cluster"):
        Lock(tmp_path / "lock")
    lock.release()
    Lock(tmp_path / "lock").release()


def test_a_stale_control_folder_is_only_removed_if_it_is_one(tmp_path: Path) -> None:
    entries = opened(tmp_path / "data")
    foreign = tmp_path / "precious"
    foreign.mkdir()
    (foreign / "control").touch()
    layout.write(
        tmp_path / "data",
        ClusterFile(state="running", supervisor_pid=1, control=str(foreign / "control"), nodes=entries),
    )
    opened(tmp_path / "data")
    assert (foreign / "control").exists()
