"""`raft-node backup` into every kind of place, as a nightly job does it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from node.cli.backup import _fetch
from node.cli.failure import FAILED, Failure
from tests.cli.conftest import Answer, FakeNode, fake_node, raft_node
from tests.cli.folders import backup_file, puts

Place = tuple[str, Path]
__all__ = ["fake_node"]


def test_backups_are_kept_the_oldest_go_and_a_failed_one_leaves_all_as_it_was(
    place: Place, tmp_path: Path, fake_node: Callable[[], FakeNode]
) -> None:
    node, (where, folder) = fake_node(), place
    kept: list[str] = []
    for count in (3, 4, 5):
        made = backup_file(tmp_path / f"{count}.snap", *puts(count))
        node.answer = Answer(200, made.read_bytes())
        ran = raft_node("backup", node.url, where, "--keep", "2", "--json")
        assert (ran.code, ran.err) == (0, "")
        told = json.loads(ran.out)
        kept.append(str(told["file"]))
        assert kept[-1].startswith(where)
        assert (folder / kept[-1].rpartition("/")[2]).read_bytes() == node.answer.body
        assert told["removed"] == ([kept[0].rpartition("/")[2]] if count == 5 else [])
    assert sorted(path.name for path in folder.iterdir()) == sorted(one.rpartition("/")[2] for one in kept[1:])
    node.answer = Answer(200, node.answer.body[:-1])
    assert raft_node("backup", node.url, where, "--keep", "1").code == 1
    assert len(list(folder.iterdir())) == 2
    assert node.backups_told == 3


def test_one_file_in_a_place_is_not_overwritten(
    place: Place, tmp_path: Path, fake_node: Callable[[], FakeNode]
) -> None:
    node, (where, folder) = fake_node(), place
    node.answer = Answer(200, backup_file(tmp_path / "source.snap", *puts(9)).read_bytes())
    assert raft_node("backup", node.url, f"{where}monday.snap").code == 0
    assert (folder / "monday.snap").read_bytes() == node.answer.body
    again = raft_node("backup", node.url, f"{where}monday.snap")
    assert (again.code, "overwrites nothing" in again.err) == (64, True)


def test_a_disk_that_is_full_is_told_as_such_and_no_other_node_is_asked(fake_node: Callable[[], FakeNode]) -> None:
    """It was said to be the node's fault, and each node took a snapshot for it."""
    node = fake_node()
    node.answer = Answer(200, bytes(256 * 1024))
    with Path("/dev/full").open("wb", buffering=0) as out, pytest.raises(Failure) as failed:
        asyncio.run(_fetch(node.url, out))
    assert (failed.value.code, str(failed.value)) == (
        FAILED, "Cannot write /dev/full: No space left on device; no backup was made.",
    )  # fmt: skip
