"""`raft-node restore`: what is made of a backup, and that nothing is made of what is none."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from node.raft.types import Member, MemberAddress
from node.statemachine.writes import PutResult
from node.storage.files import prepare_folder
from node.storage.founding import INDEX_GAP, found
from tests.cli.conftest import Ran, raft_node
from tests.cli.folders import BASE, MEMBERS, backup_file, chunks_of, contents, opened, put, puts, repeated, session

THREE = "n1=h1:9001,n2=h2:9001,n3=h3:9001"


def restore(file: Path, folder: Path, *words: str, name: str = "n1", members: str = THREE, token: str = "t") -> Ran:
    given = ("--members", members, *(("--token", token) if token else ()))
    return raft_node("restore", str(file), "--data-dir", str(folder), "--name", name, *given, *words)


def made(file: Path, folder: Path, **more: str) -> dict[str, Any]:
    ran = restore(file, folder, "--json", **more)
    assert ran.code == 0, ran.err
    return dict(json.loads(ran.out))


def test_the_folder_holds_the_state_and_goes_on_from_there_in_a_new_cluster(tmp_path: Path) -> None:
    file = backup_file(tmp_path / "b.snap", *puts(9, term=3))
    ran = restore(file, tmp_path / "deep" / "n1")
    said = ran.out.decode()
    found = opened(tmp_path / "deep" / "n1", "n1")
    assert (ran.code, ran.err) == (0, "")
    assert said.startswith(f"{tmp_path}/deep/n1: n1 of the new cluster {found.base.cluster_id}\n")
    assert f"with 8 keys at revision 9, entry 9 of cluster {BASE.cluster_id}, " in said
    assert found.values == {b"%d" % index: b"3/%d" % index for index in range(2, 10)}
    assert (found.store.revision, found.base.term, found.base.time_us) == (9, 3, 9000)
    assert found.base.index == 9 + INDEX_GAP
    assert (found.recovered.hard_state.term, found.recovered.hard_state.vote) == (3, "")
    assert found.base.cluster_id != BASE.cluster_id
    configuration = found.base.configuration
    assert [member.name for member in configuration.voters] == ["n1", "n2", "n3"]
    assert configuration.addresses[1] == MemberAddress("n2", "h2", 9001)
    assert Member("n1", found.recovered.incarnation) in configuration.voters
    assert not set(configuration.voters) & set(MEMBERS.voters)


def test_folders_of_one_restore_belong_together_and_to_no_other(tmp_path: Path) -> None:
    file, later = backup_file(tmp_path / "b.snap", *puts(9)), backup_file(tmp_path / "c.snap", *puts(9), put(10))
    shuffled = "n3=h3:9001,n1=h1:9001,n2=h2:9001"
    same = [
        made(file, tmp_path / "1"),
        made(file, tmp_path / "2", name="n2"),
        made(file, tmp_path / "3", name="n3", members=shuffled),
    ]
    others = [
        made(file, tmp_path / "4", token="u"),
        made(later, tmp_path / "5"),
        made(file, tmp_path / "6", members=THREE.replace("h3", "h4")),
        made(file, tmp_path / "7", members="n1=h1:9001,n2=h2:9001"),
        made(file, tmp_path / "8", members="n1=h1:9001", token=""),
        made(file, tmp_path / "9", members="n1=h1:9001", token=""),
    ]
    assert len({one["cluster_id"] for one in same}) == 1
    assert len({one["cluster_id"] for one in (same[0], *others)}) == 1 + len(others)
    bases = [opened(tmp_path / str(number), f"n{number}").base for number in (1, 2, 3)]
    assert bases[0] == bases[1] == bases[2]


def test_of_names_alone_nothing_is_said_of_where_they_are(tmp_path: Path) -> None:
    made(backup_file(tmp_path / "b.snap", *puts(9)), tmp_path / "n1", members="n1,n2=h2:9001,n3")
    configuration = opened(tmp_path / "n1", "n1").base.configuration
    assert [member.name for member in configuration.voters] == ["n1", "n2", "n3"]
    assert configuration.addresses == (MemberAddress("n2", "h2", 9001),)


def test_a_write_that_a_client_repeats_after_the_restore_is_still_done_once(tmp_path: Path) -> None:
    file = backup_file(tmp_path / "b.snap", *session())
    made(file, tmp_path / "n1")
    assert repeated(opened(tmp_path / "n1", "n1")) == (1, PutResult(2, None))


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    file = backup_file(tmp_path / "b.snap", *puts(9))
    (tmp_path / "n1").mkdir()
    (tmp_path / "n1" / "precious").write_text("1")
    ran = restore(file, tmp_path / "n1")
    assert (ran.code, "n1 is not empty (it holds precious)" in ran.err) == (3, True)
    assert list(contents(tmp_path / "n1")) == ["precious"]
    made(file, tmp_path / "n2", name="n2")
    before = contents(tmp_path / "n2")
    assert restore(file, tmp_path / "n2", name="n2").code == 3, "nor one that a restore has made already"
    assert contents(tmp_path / "n2") == before


def test_what_a_new_file_system_holds_is_no_content(tmp_path: Path) -> None:
    (tmp_path / "n1" / "lost+found").mkdir(parents=True)
    made(backup_file(tmp_path / "b.snap", *puts(9)), tmp_path / "n1")
    assert opened(tmp_path / "n1", "n1").store.revision == 9


@pytest.mark.slowest
def test_no_byte_of_a_backup_may_be_wrong_or_missing(tmp_path: Path) -> None:
    """In steps of 7, which meet every kind of record."""
    whole = backup_file(tmp_path / "b.snap", *puts(4)).read_bytes()
    damaged = tmp_path / "damaged.snap"
    for at in range(0, len(whole), 7):
        for content in (whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]):
            damaged.write_bytes(content)
            ran = restore(damaged, tmp_path / "n1")
            assert ran.code == 3, (at, ran)
            assert "damaged.snap, byte " in ran.err
            assert ran.err.endswith(": use another backup.\n")
            assert not (tmp_path / "n1").exists()
    damaged.write_bytes(whole + b"x")
    assert restore(damaged, tmp_path / "n1").code == 3
    damaged.write_bytes(whole)
    made(damaged, tmp_path / "n1")


def test_a_state_that_this_version_does_not_know_is_refused(tmp_path: Path) -> None:
    beginning, *_, end = chunks_of(*puts(4))
    newer = b"\x92\xa5newer\x01"
    folder = prepare_folder(tmp_path / "made")
    found(folder, MEMBERS.voters[0], BASE.__class__(4, 1, 0, MEMBERS, BASE.cluster_id), 1, [beginning, newer, end])
    (file,) = (tmp_path / "made").glob("*.snap")
    ran = restore(file, tmp_path / "n1")
    assert ran.code == 3
    assert "a section 'newer', which this version does not know" in ran.err
    assert ran.err.endswith(": use another backup.\n")
    assert contents(tmp_path / "n1") == {}, "what was written until then is gone"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"token": ""}, "--token is missing"),
        ({"name": "n4"}, "--name n4 is none of --members"),
        ({"members": "n1=h"}, "--members holds 'n1=h', which is not of the form name=host:port"),
        ({"members": "n1=h:1,n1=h:2"}, "--members names n1 twice"),
    ],
)
def test_wrong_usage_makes_nothing(tmp_path: Path, more: dict[str, str], said: str) -> None:
    file = backup_file(tmp_path / "b.snap", *puts(9))
    ran = restore(file, tmp_path / "n1", **more)
    assert (ran.code, said in ran.err) == (64, True), ran
    assert not (tmp_path / "n1").exists()


def test_a_backup_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    ran = restore(tmp_path / "none.snap", tmp_path / "n1")
    assert (ran.code, "none.snap (No such file or directory)" in ran.err) == (3, True)


def test_a_full_disk_is_said_and_nothing_that_a_node_would_start_on_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = backup_file(tmp_path / "b.snap", *puts(9))
    real = os.pwrite

    def full(descriptor: int, data: bytes, offset: int) -> int:
        if len(data) > 100:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data, offset)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        ran = restore(file, tmp_path / "n1")
    assert (ran.code, "cannot make" in ran.err, "No space left on device" in ran.err) == (3, True, True)
    assert contents(tmp_path / "n1") == {}
    made(file, tmp_path / "n1")
