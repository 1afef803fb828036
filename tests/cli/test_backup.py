"""`raft-node backup`: the file is there once it is whole, and not before."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Answer, FakeNode, raft_node
from tests.cli.folders import BASE, backup_file, puts

Make = Callable[[], FakeNode]


@pytest.fixture
def node(fake_node: Make, tmp_path: Path) -> FakeNode:
    """One that gives a whole backup."""
    node = fake_node()
    node.answer = Answer(200, backup_file(tmp_path / "source.snap", *puts(9)).read_bytes())
    return node


def test_the_file_is_what_the_node_gave_and_what_it_holds_is_said(node: FakeNode, tmp_path: Path) -> None:
    file = tmp_path / "b.snap"
    ran = raft_node("backup", node.url, str(file))
    size = len(node.answer.body)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.decode() == f"{file}: 8 keys at revision 9, entry 9 of cluster {BASE.cluster_id}, {size} bytes\n"
    assert file.read_bytes() == node.answer.body
    assert not list(tmp_path.glob("*.part"))
    assert [asked.path for asked in node.asked] == ["/backup"]
    assert node.backups_told == 1


def test_for_programs(node: FakeNode, tmp_path: Path) -> None:
    ran = raft_node("backup", node.url, str(tmp_path / "b.snap"), "--json")
    told = json.loads(ran.out)
    assert (told["revision"], told["keys"], told["index"], told["members"][0]) == (9, 8, 9, "n1")


def test_a_file_that_is_there_is_not_overwritten(node: FakeNode, tmp_path: Path) -> None:
    (tmp_path / "b.snap").write_text("the last good one")
    ran = raft_node("backup", node.url, str(tmp_path / "b.snap"))
    assert (ran.code, "overwrites nothing" in ran.err) == (64, True)
    assert (tmp_path / "b.snap").read_text() == "the last good one"
    assert node.asked == []


def test_a_folder_that_is_not_there_is_said(node: FakeNode, tmp_path: Path) -> None:
    ran = raft_node("backup", node.url, str(tmp_path / "none" / "b.snap"))
    assert (ran.code, "(No such file or directory); no backup was made" in ran.err) == (1, True)


def test_a_place_where_older_ones_shall_go_is_looked_at_before_a_node_takes_a_snapshot(
    node: FakeNode, tmp_path: Path
) -> None:
    ran = raft_node("backup", node.url, f"{tmp_path}/none/", "--keep", "2")
    assert (ran.code, "Cannot list" in ran.err, "no backup was made" in ran.err) == (1, True, True), ran.err
    assert node.asked == []


@pytest.mark.parametrize("change", ["cut", "flipped", "longer", "empty", "another"])
def test_what_is_not_whole_is_not_kept(node: FakeNode, tmp_path: Path, change: str) -> None:
    body = node.answer.body
    changed = {
        "cut": body[:-20],
        "flipped": body[:100] + bytes([body[100] ^ 4]) + body[101:],
        "longer": body + b"x",
        "empty": b"",
        "another": b"<html>" * 100,
    }
    node.answer = Answer(200, changed[change])
    ran = raft_node("backup", node.url, str(tmp_path / "b.snap"))
    assert (ran.code, "is no whole backup, so it was not kept" in ran.err) == (1, True), ran
    assert [file.name for file in tmp_path.glob("b.snap*")] == []


def test_a_node_that_cannot_is_said_with_its_reason(node: FakeNode, tmp_path: Path) -> None:
    node.answer = Answer(503, b'{"error":"no-leader","message":"no leader is known"}')
    ran = raft_node("backup", node.url, str(tmp_path / "b.snap"))
    assert (ran.code, ran.err) == (4, f"raft-node: {node.url} gives no backup: no leader is known.\n")
    node.answer = Answer(0)
    assert raft_node("backup", node.url, str(tmp_path / "b.snap")).code == 4
    node.stop()
    ran = raft_node("backup", node.url, str(tmp_path / "b.snap"))
    assert (ran.code, "cannot be reached" in ran.err) == (4, True)
    assert [file.name for file in tmp_path.glob("b.snap*")] == []


def test_in_a_folder_it_gets_a_name_and_older_ones_of_this_cluster_go(node: FakeNode, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    mine = [f"raft-{BASE.cluster_id[:8]}-2025010{day}T000000Z-9.snap" for day in (1, 2, 3)]
    others = ["raft-00000000-20200101T000000Z-1.snap", "monday.snap"]
    for name in (*mine, *others):
        (kept / name).write_text("old")
    ran = raft_node("backup", node.url, str(kept), "--keep", "2", "--json")
    told = json.loads(ran.out)
    assert (ran.code, ran.err, told["removed"]) == (0, "", mine[:2])
    made = Path(told["file"])
    assert sorted(path.name for path in kept.iterdir()) == sorted((made.name, mine[2], *others))
    assert made.read_bytes() == node.answer.body
    assert made.name.endswith("Z-9.snap")


def test_a_failed_backup_removes_nothing_and_tells_nobody(node: FakeNode, tmp_path: Path) -> None:
    old = tmp_path / f"raft-{BASE.cluster_id[:8]}-20250101T000000Z-9.snap"
    old.write_text("the last good one")
    node.answer = Answer(200, node.answer.body[:-1])
    assert raft_node("backup", node.url, f"{tmp_path}/", "--keep", "1").code == 1
    assert [path.name for path in tmp_path.glob("raft-*")] == [old.name]
    assert node.backups_told == 0


def test_of_several_nodes_the_first_that_can_gives_it(node: FakeNode, fake_node: Make, tmp_path: Path) -> None:
    gone, leaderless = fake_node(), fake_node()
    gone.stop()
    leaderless.answer = Answer(503, b'{"error":"no-leader","message":"no leader is known"}')
    ran = raft_node("backup", f"{gone.url},{leaderless.url},{node.url}", str(tmp_path / "b.snap"))
    assert (ran.code, ran.err.count("The next is asked.")) == (0, 2), ran.err
    assert (node.backups_told, leaderless.backups_told) == (1, 0)


def test_a_cluster_that_was_not_told_is_no_reason_to_lose_the_backup(node: FakeNode, tmp_path: Path) -> None:
    node.told = Answer(404, b'{"error":"unknown-command","message":"n1 knows no command backup_done"}')
    ran = raft_node("backup", node.url, str(tmp_path / "b.snap"))
    assert (ran.code, (tmp_path / "b.snap").exists()) == (0, True)
    assert "was not told that there is a backup (n1 knows no command backup_done)" in ran.err


def test_keep_is_for_folders(node: FakeNode, tmp_path: Path) -> None:
    ran = raft_node("backup", node.url, str(tmp_path / "b.snap"), "--keep", "3")
    assert (ran.code, "end it with a slash" in ran.err, node.asked) == (64, True, [])
