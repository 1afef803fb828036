"""The entries of a log in memory behave as a list does, however many of them are packed."""

import random

import pytest

from node.raft.entries import PACKED_BYTES_MAX, PACKED_ENTRIES_MAX, UNPACKED_MIN, Entries, _Piece
from node.raft.types import Entry, EntryKind

PACKING = UNPACKED_MIN + PACKED_ENTRIES_MAX


def some(first: int, count: int, data: bytes = b"data") -> list[Entry]:
    return [
        Entry(index, index // 1_000, EntryKind.WRITE, data, index * 7, index % 3, index % 5)
        for index in range(first, first + count)
    ]


def filled(count: int) -> Entries:
    entries = Entries()
    entries.extend(some(1, count))
    return entries


def same(entries: Entries, wanted: list[Entry]) -> None:
    assert len(entries) == len(wanted)
    assert entries[:] == wanted
    assert list(entries) == wanted


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_added_and_removed_it_is_the_list_that_it_stands_for(seed: int) -> None:
    chance, entries, wanted = random.Random(seed), Entries(), list[Entry]()
    for _ in range(150):
        match chance.randrange(5):
            case 0 | 1:
                more = some(len(wanted) + 1, chance.choice((1, 30, 700, 2_000)), bytes(chance.choice((0, 9, 2_000))))
                entries.extend(more)
                wanted += more
            case 2:
                count = chance.choice((0, 1, 40, 512, 3_000, len(wanted), len(wanted) + 1))
                entries.remove_first(count)
                del wanted[:count]
            case 3:
                position = chance.randrange(len(wanted) + 1) if chance.random() < 0.4 else max(0, len(wanted) - 600)
                entries.remove_from(position)
                del wanted[position:]
            case _:
                for _ in range(8):
                    begin = chance.randrange(len(wanted) + 1)
                    end = begin + chance.choice((0, 1, 5, 600, 5_000))
                    assert entries[begin:end] == wanted[begin:end]
        assert len(entries) == len(wanted)
        if wanted:
            position = chance.randrange(len(wanted))
            assert (entries[position], entries[-1], entries[0]) == (wanted[position], wanted[-1], wanted[0])
    same(entries, wanted)


def test_the_newest_stay_as_they_are_and_the_others_are_packed() -> None:
    entries, before = Entries(), some(1, PACKING)
    entries.extend(before)
    assert all(entries[-at] is before[-at] for at in range(1, UNPACKED_MIN + 1))
    assert entries[0] is not before[0]
    same(entries, before)


def test_a_piece_has_no_more_bytes_than_its_limit_but_for_its_last_entry() -> None:
    entries, long = Entries(), bytes(PACKED_BYTES_MAX // 4 + 1)
    entries.extend(some(1, UNPACKED_MIN + PACKED_ENTRIES_MAX, long))
    assert {piece.count for piece in entries._packed} == {4}


def test_who_reads_piece_by_piece_unpacks_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    entries, unpacked = filled(3 * PACKING), 0
    read = _Piece.entries

    def counted(piece: _Piece) -> list[Entry]:
        nonlocal unpacked
        unpacked += 1
        return read(piece)

    monkeypatch.setattr(_Piece, "entries", counted)
    found = [entry for begin in range(0, len(entries), 100) for entry in entries[begin : begin + 100]]
    assert found == some(1, 3 * PACKING)
    assert unpacked == len(entries._packed)


def test_what_is_removed_at_the_beginning_is_let_go_a_piece_at_a_time() -> None:
    entries = filled(2 * PACKING)
    pieces = len(entries._packed)
    entries.remove_first(PACKED_ENTRIES_MAX - 1)
    assert len(entries._packed) == pieces
    entries.remove_first(1)
    assert len(entries._packed) == pieces - 1
    assert entries[0].index == PACKED_ENTRIES_MAX + 1


@pytest.mark.parametrize("gone", [0, 1])
@pytest.mark.parametrize("position", [0, 1, PACKED_ENTRIES_MAX - 1, PACKED_ENTRIES_MAX, PACKED_ENTRIES_MAX + 1])
def test_a_conflict_may_begin_anywhere_in_what_is_packed(position: int, gone: int) -> None:
    entries, wanted = filled(2 * PACKING), some(1, 2 * PACKING)[gone:]
    entries.remove_first(gone)
    entries.remove_from(position)
    same(entries, wanted[:position])
    entries.extend(some(9_000, PACKING))
    same(entries, wanted[:position] + some(9_000, PACKING))
