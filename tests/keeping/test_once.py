"""`raft-node restore --once`, as an init step runs it: once for each member, whatever is killed or lost between."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from node import backups
from node.keeping.once import MARK
from node.storage.snapshot_files import snapshot_name
from tests.cli.conftest import Answer, FakeNode, Ran, fake_node, raft_node
from tests.cli.folders import backup_file, contents, opened, puts, voted_in

Place = tuple[str, Path]
__all__ = ["fake_node"]


@pytest.fixture
def backup(place: Place, tmp_path: Path) -> str:
    """A backup in either kind of place, as a command names it."""
    where, folder = place
    folder.mkdir(exist_ok=True)
    backup_file(tmp_path / "b.snap", *puts(9)).rename(folder / "b.snap")
    return f"{where}b.snap"


def step(backup: str, folder: Path, token: str = "t1", urls: str = "", **more: str) -> Ran:
    words = ("--name", "n1", "--members", "n1=h1:9001,n2=h2:9001,n3=h3:9001", "--once", "--token", token)
    environ = {"RAFT_URLS": urls, **more} if urls else more
    return raft_node("restore", backup, "--data-dir", str(folder), *words, environ=environ)


def test_it_restores_once_and_leaves_the_node_alone_from_then_on(backup: str, place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "n1"
    first = step(backup, folder)
    assert (first.code, first.err) == (0, "")
    assert b"8 keys at revision 9" in first.out
    assert opened(folder, "n1").store.revision == 9
    assert sorted(path.name for path in place[1].iterdir()) == ["b.snap", "b.snap.restored-t1-n1"]
    before = contents(folder)
    again = step(backup, folder)
    assert (again.code, b"left as it is" in again.out, again.err) == (0, True, "")
    assert contents(folder) == before


def test_an_attempt_that_was_broken_off_is_made_anew(
    backup: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "n1"
    with monkeypatch.context() as patch:

        def killed(*_: object) -> None:
            (folder / f"{snapshot_name(9)}.tmp").write_text("half made")
            raise KeyboardInterrupt

        patch.setattr(backups, "restore", killed)
        assert step(backup, folder).code == 130
    assert not json.loads((folder / MARK).read_text())["made"]
    assert step(backup, folder).code == 0
    assert opened(folder, "n1").store.revision == 9


def test_one_that_was_killed_before_it_could_note_its_end_is_made_anew_unless_a_node_has_run_meanwhile(
    backup: str, tmp_path: Path
) -> None:
    folder = tmp_path / "n1"
    assert step(backup, folder).code == 0
    unnoted = (folder / MARK).read_bytes().replace(b'"made":true', b'"made":false')
    (folder / MARK).write_bytes(unnoted)
    assert step(backup, folder).code == 0, "nothing was promised on it"
    assert json.loads((folder / MARK).read_bytes())["made"]
    (folder / MARK).write_bytes(unnoted)
    voted_in(folder, "n1")
    before = contents(folder)
    ran = step(backup, folder)
    assert (ran.code, "a node has run on it" in ran.err) == (3, True)
    assert contents(folder) == before


def test_a_disk_in_the_place_of_a_lost_one_is_not_restored_where_a_cluster_lives_and_starts_nothing_where_none_does(
    backup: str, tmp_path: Path, fake_node: Callable[[], FakeNode]
) -> None:
    assert step(backup, tmp_path / "lost").code == 0
    folder = tmp_path / "new"
    alone = step(backup, folder)
    assert (alone.code, "another token" in alone.err) == (4, True)
    unborn, born = fake_node(), fake_node()
    unborn.answer = Answer(503, b'{"ready":false}')
    assert step(backup, folder, urls=unborn.url).code == 4, "nodes that wait for each other's birth let nobody in"
    born.answer = Answer(200, b'{"ready":true}')
    let_in = step(backup, folder, urls=f"{unborn.url},{born.url}")
    assert (let_in.code, b"asks to be let in" in let_in.out) == (0, True)
    assert {path.name for path in folder.iterdir()} <= {MARK, "lock"}
    (folder / "segment-00000001.wal").write_text("of the node that was let in")
    assert step(backup, folder).code == 0
    assert (folder / "segment-00000001.wal").read_text() == "of the node that was let in"


def test_members_are_asked_with_what_tls_needs_and_at_a_first_install_nothing_of_it_has_to_be_there(
    backup: str, tmp_path: Path, fake_node: Callable[[], FakeNode]
) -> None:
    absent = {"RAFT_CACERT": str(tmp_path / "ca.crt")}
    assert step(backup, tmp_path / "first", **absent).code == 0
    asked = step(backup, tmp_path / "lost", urls=fake_node().url, **absent)
    assert asked.code == 64
    assert f"{tmp_path / 'ca.crt'}" in asked.err


def test_data_that_no_restore_made_is_never_replaced(backup: str, place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "n1"
    folder.mkdir()
    (folder / "segment-00000001.wal").write_text("of an earlier install")
    ran = step(backup, folder)
    assert (ran.code, "holds data of its own" in ran.err) == (3, True)
    assert [path.name for path in place[1].iterdir()] == ["b.snap"], "its chance is not spent"
    assert step(backup, tmp_path / "n2").code == 0
    other = step(backup, tmp_path / "n2", token="t2")
    assert (other.code, "was restored with the token t1, not t2" in other.err) == (3, True)


@pytest.mark.parametrize("token", ["", "a/b", "-", "x" * 65])
def test_a_token_that_cannot_be_a_part_of_a_name_is_refused(tmp_path: Path, token: str) -> None:
    file = backup_file(tmp_path / "b.snap", *puts(9))
    assert step(str(file), tmp_path / "n1", token).code == 64
    assert not (tmp_path / "n1").exists()


def test_a_backup_in_a_bucket_is_restored_without_a_trace_of_the_copy(bucket: Place, tmp_path: Path) -> None:
    bucket[1].mkdir()
    backup_file(bucket[1] / "b.snap", *puts(9))
    words = ("--data-dir", str(tmp_path / "n1"), "--name", "n1", "--members", "n1=h1:9001")
    ran = raft_node("restore", f"{bucket[0]}b.snap", *words)
    assert (ran.code, ran.err) == (0, "")
    assert not list((tmp_path / "n1").glob("*.part"))
    assert opened(tmp_path / "n1", "n1").store.revision == 9
    missing = raft_node("restore", f"{bucket[0]}none.snap", *words[:1], str(tmp_path / "n2"), *words[2:])
    assert (missing.code, "cannot read" in missing.err) == (3, True) or missing.err.startswith("raft-node: Cannot read")
