"""Every kind of place does the same: keeps as a whole, lists, removes, fetches, and notes once."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from node.keeping.places import file_in, is_place, place_of
from node.keeping.port import PlaceError
from node.keeping.s3 import PART_BYTES

Place = tuple[str, Path]


def test_what_is_kept_is_listed_fetched_and_removed(place: Place, tmp_path: Path) -> None:
    where, folder = place
    kept = place_of(where)
    assert kept.names() == [], "a place that nobody has used is empty"
    content = os.urandom(PART_BYTES + 12_345)  # more than one part of an upload
    with kept.scratch() as part:
        part.write_bytes(content)
        kept.keep(part, "a.snap")
    assert [path.name for path in folder.iterdir()] == ["a.snap"], "nothing else is left there"
    assert (folder / "a.snap").read_bytes() == content
    assert kept.names() == ["a.snap"]
    kept.fetch("a.snap", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content
    kept.remove("a.snap")
    kept.remove("a.snap")
    assert kept.names() == []
    with pytest.raises(PlaceError, match=r"cannot read .*a\.snap"):
        kept.fetch("a.snap", tmp_path / "again")


def test_of_many_notes_under_one_name_all_are_told_the_same(place: Place) -> None:
    def noted(number: int) -> str:
        return place_of(place[0]).note("a.note", f"writer {number}")

    with ThreadPoolExecutor(4) as pool:
        told = set(pool.map(noted, range(8)))
    assert len(told) == 1
    assert place_of(place[0]).note("a.note", "later") == told.pop()
    assert place_of(place[0]).names() == ["a.note"]


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(PlaceError, match="cannot list"):
        place_of(f"{tmp_path}/not-mounted/").names()
    with pytest.raises(PlaceError, match="cannot write"), place_of(f"{tmp_path}/not-mounted/").scratch():
        pass
    assert not (tmp_path / "not-mounted").exists()


def test_two_backups_at_once_do_not_write_over_each_other_and_one_that_was_killed_is_in_nobodys_way(
    tmp_path: Path,
) -> None:
    folder = place_of(f"{tmp_path}/")
    with folder.scratch() as part:
        with pytest.raises(PlaceError, match="another backup is being written"), place_of(f"{tmp_path}/").scratch():
            pass
        assert part.exists()
    part.write_text("of a run that was killed")
    with folder.scratch() as part:
        assert part.read_bytes() == b""


def test_which_words_are_places_and_which_are_files(tmp_path: Path) -> None:
    assert is_place("s3://bucket/")
    assert is_place("s3://bucket/a/b/")
    assert is_place(str(tmp_path))
    assert is_place("not/there/yet/")
    assert not is_place("s3://bucket/a.snap")
    assert not is_place("a.snap")
    assert file_in("s3://bucket/a/b.snap")[1] == "b.snap"
    assert file_in("b.snap")[1] == "b.snap"
    for wrong in ("s3://bucket", "s3:///b.snap", "s3://a bucket/b.snap", "a/"):
        with pytest.raises(PlaceError):
            file_in(wrong)
