"""`raft-node members force-new`: who can go on, what is said, what is made, and that no step of it can be broken off
badly."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from node.raft.types import Entry, EntryKind, Member
from node.statemachine.writes import PutResult
from node.storage.errors import StorageError
from node.storage.founding import INDEX_GAP
from tests.cli.conftest import Ran, raft_node
from tests.cli.folders import BASE, MEMBERS, append_to, contents, folder_of, opened, put, puts, repeated, session


def force_new(folder: Path, *survivors: str, yes: bool = True, more: tuple[str, ...] = ()) -> Ran:
    named = [word for survivor in survivors for word in ("--survivor", survivor)]
    return raft_node("members", "force-new", *named, "--data-dir", str(folder), *(("--yes",) if yes else ()), *more)


def made(folder: Path, *survivors: str) -> dict[str, Any]:
    ran = force_new(folder, *survivors, more=("--json",))
    assert ran.code == 0, ran.err
    return dict(json.loads(ran.out))


def refused(ran: Ran) -> str:
    """What is said where nothing was done."""
    assert ran.code in (1, 64), ran
    assert ran.err.count("\n") == 1
    return ran.err


def test_without_consent_nothing_changes_and_what_would_be_lost_is_said(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "n1", "n1", *puts(9), commit=6)
    before = contents(folder)
    ran = force_new(folder, "n1", yes=False)
    assert ran.code == 1
    assert ran.err == "raft-node: Nothing was changed; add --yes to do it.\n"
    said = ran.out.decode().splitlines()
    assert said[0] == "n1 is at 1/9:1/6: --survivor n1=1/9:1/6"
    assert said[1].startswith("n1 will be the only member of a new cluster, with everything up to entry 9.")
    assert said[2].startswith("LOST: every write that the log of n1 does not hold, also where its client was told")
    assert said[3].startswith("KEPT: entries 7 to 9, though n1 does not know that they were committed")
    assert said[4].startswith("SHUT OUT: n2, n3, n4, n5, with the disks that they have. They must stay off")
    assert contents(folder) == before
    told = json.loads(force_new(folder, "n1", yes=False, more=("--json",)).out)
    assert (told["position"], told["goes_on"], told["cluster_id"]) == ("1/9:1/6", ["n1"], BASE.cluster_id)


def test_one_survivor_goes_on_with_every_entry_of_its_log_in_a_cluster_of_its_own(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "n1", "n1", *puts(9), commit=6, term=12)
    before = contents(folder)
    told = made(folder, "n1")
    found = opened(folder, "n1")
    assert found.values == {b"%d" % index: b"1/%d" % index for index in range(2, 10)}
    assert (found.store.revision, told["revision"], told["keys"]) == (9, 9, 8)
    assert (found.base.index, found.base.term, found.base.time_us) == (9 + INDEX_GAP, 1, 9000)
    assert (found.recovered.hard_state.term, found.recovered.hard_state.vote) == (12, "")
    assert found.base.cluster_id == told["cluster_id"] != BASE.cluster_id
    (voter,) = found.base.configuration.voters
    assert voter == Member("n1", found.recovered.incarnation)
    assert voter not in MEMBERS.voters, "no promise of the old disk is one of the new one"
    assert found.base.configuration.addresses == MEMBERS.addresses[:1]
    assert raft_node("log", "verify", str(folder)).code == 0
    kept = Path(told["kept"])
    assert {file: contents(kept)[file] for file in before} == before, "the old files are kept"


def test_a_write_that_a_client_repeats_afterwards_is_still_done_once(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "n1", "n1", *session())
    made(folder, "n1")
    assert repeated(opened(folder, "n1")) == (1, PutResult(2, None))


def test_a_log_that_follows_a_snapshot_goes_on_with_both(tmp_path: Path) -> None:
    """Twice: what an earlier force-new made is a snapshot with a log after it."""
    folder = folder_of(tmp_path / "n1", "n1", *puts(9))
    first = made(folder, "n1")
    at = force_new(folder, "n1", yes=False).out.decode().splitlines()[0]
    assert at.startswith(f"n1 is at 1/{9 + INDEX_GAP}:1/{9 + INDEX_GAP}: "), "nothing follows it yet"
    index = 9 + INDEX_GAP
    append_to(folder, "n1", put(index + 1, 2, b"2"), put(index + 2, 2, b"new"))
    second = made(folder, "n1")
    found = opened(folder, "n1")
    assert found.values == {**{b"%d" % i: b"1/%d" % i for i in range(3, 10)}, b"2": b"2/%d" % (index + 1),
                            b"new": b"2/%d" % (index + 2)}  # fmt: skip
    assert (found.base.index, found.base.term, found.store.revision) == (index + 2 + INDEX_GAP, 2, 11)
    assert len({BASE.cluster_id, first["cluster_id"], second["cluster_id"]}) == 3
    assert [Path(kept).name for kept in (first["kept"], second["kept"])] == ["before-force-new-1", "before-force-new-2"]


def test_those_that_end_alike_are_members_of_one_new_cluster(tmp_path: Path) -> None:
    one = folder_of(tmp_path / "n1", "n1", *puts(9), commit=6)
    two = folder_of(tmp_path / "n2", "n2", *puts(9), commit=7)
    three = folder_of(tmp_path / "n3", "n3", *puts(8), commit=4)
    everybody = ("n1=1/9:1/6", "n2=1/9:1/7", "n3=1/8:1/4")
    assert "n1, n2 will be the only members" in force_new(one, *everybody, yes=False).out.decode()
    assert "n3 ends at 1/8, and n1, n2 at 1/9: n3 has nothing to add" in refused(force_new(three, *everybody))
    first, second = made(one, *everybody[:2]), made(two, *everybody[:2])
    assert first["cluster_id"] == second["cluster_id"]
    bases = [opened(folder, name).base for folder, name in ((one, "n1"), (two, "n2"))]
    assert bases[0] == bases[1]
    assert {member.name for member in bases[0].configuration.voters} == {"n1", "n2"}


def test_one_that_goes_on_alone_twice_from_the_same_place_makes_two_clusters(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "n1", "n1", *puts(9))
    shutil.copytree(folder, tmp_path / "copy")
    assert made(folder, "n1")["cluster_id"] != made(tmp_path / "copy", "n1")["cluster_id"]


def test_a_log_that_ends_later_and_lacks_what_another_knows_to_be_committed_cannot_go_on(tmp_path: Path) -> None:
    """Figure 8: n5 has entries of term 3, which came to nothing; those of term 2 were committed in term 4."""
    older = folder_of(tmp_path / "n4", "n4", put(2), put(3, 2), put(4, 2), commit=4, term=4)
    later = folder_of(tmp_path / "n5", "n5", put(2), put(3, 3), commit=2, term=3)
    both = ("n4=2/4:2/4", "n5=3/3:1/2")
    assert "n4 knows that entry 4 of term 2 is committed, and the log of n5 lacks it" in refused(
        force_new(later, *both)
    )
    assert "n4 ends at 2/4, and n5 at 3/3" in refused(force_new(older, *both))
    made(older, "n4=2/4:2/4")
    assert opened(older, "n4").values[b"4"] == b"2/4"


def test_the_members_in_force_are_asked_of_the_log(tmp_path: Path) -> None:
    grown = MEMBERS.without(MEMBERS.voters[4]).with_learner(Member("n6", "disk-of-n6"), None)
    change = Entry(3, 1, EntryKind.CONFIGURATION, grown.encode())
    folder = folder_of(tmp_path / "n6", "n6", put(2), change, put(4))
    assert "--survivor n5 is no member: they are n1, n2, n3, n4, n6" in refused(force_new(folder, "n6", "n5"))
    assert made(folder, "n6")["members"] == ["n6"], "a learner has all of the log, too"
    gone = folder_of(tmp_path / "n5", "n5", put(2), change, put(4))
    assert "n5 is no member of its cluster with this disk" in refused(force_new(gone, "n5"))


@pytest.mark.parametrize(
    ("survivors", "said"),
    [
        (("n2",), "This is the folder of n1, which no --survivor names"),
        (("n1", "n1"), "--survivor names n1 twice"),
        (("n1=1/9:1/5",), "n1 is at 1/9:1/6, not at 1/9:1/5"),
        (("n1=1/8:1/6",), "n1 is at 1/9:1/6, not at 1/8:1/6"),
        (("n1", "n2"), "n1 is at 1/9:1/6: where several go on, name each with its position"),
        (("n1", "n2=1/9:1/6"), "n1 is at 1/9:1/6: where several go on, name each with its position"),
        (("n1=1/9",), "--survivor n1=1/9 is neither NAME nor NAME=POSITION"),
        (("n1=1/9:1/6", "n9=1/9:1/6"), "--survivor n9 is no member"),
    ],
)
def test_what_is_not_meant_so_is_refused_and_nothing_is_changed(
    tmp_path: Path, survivors: tuple[str, ...], said: str
) -> None:
    folder = folder_of(tmp_path / "n1", "n1", *puts(9), commit=6)
    before = contents(folder)
    assert said in refused(force_new(folder, *survivors))
    assert contents(folder) == before


def test_a_folder_without_a_cluster_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    ran = force_new(tmp_path / "empty", "n1")
    assert (ran.code, "holds no log of a cluster" in ran.err) == (3, True)
    assert force_new(tmp_path / "nowhere", "n1").code == 64


def test_a_damaged_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "n1", "n1", *puts(9))
    (segment,) = folder.glob("segment-*.wal")
    content = bytearray(segment.read_bytes())
    content[600] ^= 1
    segment.write_bytes(content)
    before = contents(folder)
    assert force_new(folder, "n1").code == 3
    assert contents(folder) == before


class Killed(BaseException):
    """As kill -9: nobody expects it."""


@pytest.mark.slowest
def test_broken_off_at_any_step_it_is_not_begun_or_is_finished_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = []
    for step in range(1, 200):  # the first one is the number in the lock file
        folder = folder_of(tmp_path / f"run-{step}", "n1", *puts(5))
        before = contents(folder)
        if not _killed_at(step, monkeypatch, lambda folder=folder: force_new(folder, "n1")):  # type: ignore[misc]
            break
        ends.append(_judge(folder, before))
    assert {"not begun", "half", "done"} <= set(ends), ends
    assert len(ends) > 15


def _killed_at(step: int, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> bool:
    """Whether `act` came to its `step`th change of the disk, and was killed before it."""
    left = step

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            return real(*arguments, **more)

        return call

    with monkeypatch.context() as patch:
        for name in ("rename", "mkdir", "rmdir", "fsync", "fdatasync", "pwrite", "unlink"):
            if hasattr(os, name):
                patch.setattr(os, name, counted(getattr(os, name)))
        try:
            act()
        except Killed:
            return True
    return False


def _judge(folder: Path, before: dict[str, str]) -> str:
    """What it left: the old log, nothing that a node would start on, or the new one. It ends well in any case."""
    old = contents(folder)
    try:
        cluster_id = opened(folder, "n1").base.cluster_id
    except StorageError as refused_start:
        end = _finished(folder, str(refused_start))
    else:
        if cluster_id == BASE.cluster_id:
            assert old == before
            made(folder, "n1")
            end = "not begun"
        else:
            end = "done"
    found = opened(folder, "n1")
    assert found.base.cluster_id != BASE.cluster_id
    assert found.values == {b"%d" % index: b"1/%d" % index for index in range(2, 6)}
    (kept,) = folder.glob("before-force-new-*")
    assert {file: contents(kept)[file] for file in before} == before
    return end


def _finished(folder: Path, refusal: str) -> str:
    assert "force-new did not come to its end" in refusal
    ran = force_new(folder, "n1")
    assert (ran.code, ran.out.startswith(b"What an earlier run began is finished")) == (0, True), ran
    return "half"


def test_a_full_disk_leaves_the_folder_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path / "n1", "n1", *puts(9))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", _full(os.pwrite))
        ran = force_new(folder, "n1")
    assert (ran.code, "No space left on device" in ran.err) == (3, True)
    assert opened(folder, "n1").base.cluster_id == BASE.cluster_id
    made(folder, "n1")


def _full(real: Callable[..., int]) -> Callable[..., int]:
    def write(descriptor: int, data: bytes, offset: int) -> int:
        if offset >= 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data, offset)

    return write
