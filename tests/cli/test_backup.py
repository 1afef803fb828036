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
    assert node.asked[0].path == "/backup"


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
    assert (ran.code, "No such file or directory; no backup was made" in ran.err) == (1, True)


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
