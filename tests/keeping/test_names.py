"""Which backups go: the oldest of the same cluster, and nothing that somebody else put there."""

from node.keeping.names import is_backup, name_of, too_many

OURS, THEIRS = "a" * 32, "b" * 32


def of(cluster: str, *days: int) -> list[str]:
    return [name_of(cluster, f"202611{day:02}T031500Z", 100 + day) for day in days]


def test_a_name_tells_cluster_time_and_entry() -> None:
    assert name_of(OURS, "20261129T031500Z", 12) == "raft-aaaaaaaa-20261129T031500Z-12.snap"
    assert is_backup(name_of(OURS, "20261129T031500Z", 12))
    assert not is_backup("monday.snap")


def test_the_newest_stay_whatever_order_they_are_listed_in() -> None:
    names = of(OURS, 3, 1, 4, 2)
    assert too_many(names, of(OURS, 4)[0], 2) == of(OURS, 1, 2)
    assert too_many(names, of(OURS, 4)[0], 4) == []
    assert too_many(names, of(OURS, 4)[0], 1) == of(OURS, 1, 2, 3)


def test_backups_of_another_cluster_and_files_of_others_are_neither_counted_nor_removed() -> None:
    names = [*of(OURS, 1, 2), *of(THEIRS, 1, 2, 3), "monday.snap", "raft-aaaaaaaa-x.snap", "notes.txt"]
    assert too_many(names, of(OURS, 2)[0], 1) == of(OURS, 1)


def test_what_was_just_made_stays_although_a_clock_went_back() -> None:
    names = of(OURS, 8, 9, 1)
    assert too_many(names, of(OURS, 1)[0], 1) == of(OURS, 8)
    assert too_many(["monday.snap", *of(OURS, 1)], "monday.snap", 1) == []


def test_a_clock_that_was_ahead_for_a_while_does_not_push_out_what_came_later() -> None:
    ahead = [name_of(OURS, f"2030010{day}T000000Z", 100 + day) for day in (1, 2, 3)]
    later = [name_of(OURS, f"2026120{day}T000000Z", 200 + day) for day in (1, 2)]
    assert too_many([*ahead, *later], later[-1], 3) == ahead[:2]
