"""A driver takes snapshots, sends them, receives them and puts them in the place of its state, step by step."""

from collections.abc import Callable, Sequence

import msgspec
import pytest

from node.raft.messages import (
    PIECE_BYTES_MAX,
    Append,
    AppendReply,
    Heartbeat,
    HeartbeatReply,
    SnapshotPiece,
    SnapshotPieceReply,
)
from node.raft.settings import RaftSettings
from node.raft.types import Base, Entry, EntryKind, Member, SnapshotInfo
from node.runtime.inputs import Arrived
from node.runtime.snapshot_ports import UnreadableSnapshot
from node.runtime.snapshot_receiving import AHEAD_BYTES_MAX, Restoring
from node.runtime.snapshot_sending import ANSWER_US_MAX, PIECES_AT_ONCE, WINDOW_BYTES_MAX
from node.runtime.snapshot_taking import RETRY_US, SLICE_EVERY_US, SnapshotSettings
from tests.runtime.doubles import Bench, Echo
from tests.runtime.snapshots_in_memory import MemorySnapshots, chunks_of, file_of, info_of

FEW = SnapshotSettings(entries=5, tail_entries=2)
CHUNK = b"c" * (3 * PIECE_BYTES_MAX // 4)


class Story:
    """A bench and its snapshots."""

    def __init__(
        self,
        settings: SnapshotSettings = FEW,
        units_per_entry: int = 0,
        log_bytes_max: int = RaftSettings().log_bytes_max,
    ) -> None:
        self.snapshots = MemorySnapshots()
        self.bench = Bench(
            units_per_entry=units_per_entry,
            snapshots=self.snapshots,
            snapshot_settings=settings,
            raft_settings=RaftSettings(log_bytes_max=log_bytes_max),
        )
        self.driver, self.wire = self.bench.driver, self.bench.wire

    @property
    def first_index(self) -> int:
        return self.driver.core.status(0).first_index

    def quiet(self) -> None:
        """A turn, as there is one with every heartbeat; then all that the driver asks for, and what it asks of the disk
        in them, until it asks for nothing."""
        self.bench.take()
        while True:
            if self.snapshots.asked:
                self.snapshots.complete()
            if not self.bench.woken and not self.snapshots.asked:
                if not self.walks:
                    return
                self.bench.pass_time(SLICE_EVERY_US)
            if self.bench.woken:
                self.bench.turn()

    @property
    def walks(self) -> bool:
        """Whether a snapshot is being taken, and the next slice has its time."""
        return self.driver._snapshotting._taking.deadline is not None

    def lead_on(self, us: int) -> None:
        """Time passes, and n2 answers every heartbeat."""
        for _ in range(us // 100_000):
            self.bench.pass_time(100_000)
            self.bench.hear(2, HeartbeatReply(self.driver.core.term))

    def told(self, kind: str) -> list[str]:
        return [str(detail["phase"]) for what, detail in self.bench.trace.told if what == kind]

    def written(self, *data: bytes) -> None:
        """As leader; committed with the next acknowledgement."""
        for value in data:
            self.bench.write(value)
            self.bench.acknowledge()

    def base(self, index: int, term: int = 1) -> Base:
        born = self.driver.core.base_at(self.driver.core.base.index)
        return Base(index, term, 0, born.configuration, born.cluster_id, born.birth)

    def piece(self, info: SnapshotInfo, file: bytes, offset: int, count: int = 0) -> None:
        """n2, which leads, sends `count` bytes of it."""
        self.bench.hear(2, SnapshotPiece(info, offset, file[offset : offset + count], 1))

    def replies(self) -> list[SnapshotPieceReply]:
        return [m for _, m in self.wire.take(SnapshotPieceReply) if isinstance(m, SnapshotPieceReply)]

    def pieces(self) -> list[tuple[str, SnapshotPiece]]:
        return [(to, m) for to, m in self.wire.take(SnapshotPiece) if isinstance(m, SnapshotPiece)]


# --- taking -------------------------------------------------------------------------------------------------------


def leading(settings: SnapshotSettings = FEW, units_per_entry: int = 0, **log: int) -> Story:
    story = Story(settings, units_per_entry, **log)
    story.bench.lead()
    story.quiet()
    return story


def test_a_snapshot_is_taken_when_enough_was_applied_and_then_the_log_ends_before_its_tail() -> None:
    story = leading()
    story.written(b"a", b"b", b"c")
    story.quiet()
    latest = story.snapshots.latest
    assert latest is not None
    assert (latest.base.index, latest.base.term) == (5, 1)
    assert [chunk for chunk in chunks_of(story.snapshots.files[5]) if chunk][-3:] == [b"a", b"b", b"c"]
    assert (story.first_index, story.snapshots.compacted) == (4, [3])
    assert story.told("snapshot") == ["begun", "taken"]


def test_it_says_when_its_last_snapshot_was_done_and_how_long_that_took() -> None:
    story = leading()
    now = story.bench.now
    assert story.driver.snapshot_view(now).took_us is None
    story.written(b"a", b"b", b"c")
    story.quiet()
    took_us = story.bench.now - now
    view = story.driver.snapshot_view(story.bench.now + 5_000_000)
    assert view.taken_ago_us is not None
    assert view.took_us is not None
    assert 5_000_000 <= view.taken_ago_us <= 5_000_000 + took_us
    assert 0 <= view.took_us <= took_us


def test_nothing_is_let_go_before_the_snapshot_is_durable() -> None:
    story = leading()
    story.written(b"a", b"b", b"c")
    story.bench.take()
    while story.bench.woken:
        story.bench.turn()
    assert story.told("snapshot") == ["begun"]
    assert (story.first_index, story.snapshots.compacted) == (1, [])


def test_writes_go_on_while_it_is_taken_and_are_not_in_it() -> None:
    story = leading()
    story.written(b"a", b"b", b"c")
    story.bench.take()
    assert story.told("snapshot") == ["begun"]
    story.written(b"d")
    story.quiet()
    latest = story.snapshots.latest
    assert latest is not None
    assert latest.base.index == 5
    assert b"d" not in chunks_of(story.snapshots.files[5])


def test_between_two_slices_of_it_there_is_time_for_others() -> None:
    story = leading()
    story.written(b"a", b"b", b"c")
    story.bench.take()
    slices = 1
    while story.walks:
        while story.bench.woken:
            story.bench.turn()
        due = story.driver._snapshotting.deadline
        assert due is not None
        assert story.bench.now < due <= story.bench.now + SLICE_EVERY_US
        story.bench.pass_time(SLICE_EVERY_US)
        slices += 1
    assert slices > 1, "this is no test of slices"
    story.quiet()
    assert story.told("snapshot") == ["begun", "taken"]


def test_a_disk_that_is_behind_is_waited_for() -> None:
    story = leading()
    story.snapshots.waiting_bytes = 1 << 30
    story.written(b"a", b"b", b"c")
    story.bench.take()
    story.bench.take()
    assert not story.snapshots.asked
    story.snapshots.waiting_bytes = 0
    story.bench.take()
    story.quiet()
    assert story.told("snapshot") == ["begun", "taken"]


def test_one_that_somebody_wants_is_taken_though_none_is_due_and_holds_all_that_was_applied() -> None:
    story = leading(SnapshotSettings(entries=1000))
    story.written(b"a", b"b")
    told: list[tuple[SnapshotInfo | None, str]] = []
    story.driver.want_snapshot(lambda info, problem: told.append((info, problem)))
    assert told == [], "never within the call"
    story.written(b"c")
    story.quiet()
    ((info, problem),) = told
    assert (problem, info) == ("", story.snapshots.latest)
    assert info is not None
    assert info.base.index >= 4
    story.driver.want_snapshot(lambda info, problem: told.append((info, problem)))
    story.quiet()
    assert len(told) == 2
    story.driver.want_snapshot(lambda info, problem: told.append((info, problem)))
    story.quiet()
    assert told[1] == told[2], "the one that is there holds it all"
    assert story.told("snapshot").count("taken") == 2


def test_one_that_is_wanted_and_fails_is_told_once_and_not_tried_for_ever() -> None:
    story = leading(SnapshotSettings(entries=1000))
    told: list[tuple[SnapshotInfo | None, str]] = []
    story.driver.want_snapshot(lambda info, problem: told.append((info, problem)))
    story.snapshots.problem = "the disk is full"
    story.quiet()
    story.quiet()
    assert told == [(None, "the disk is full")]
    assert story.told("snapshot") == ["begun", "failed"]
    story.driver.want_snapshot(lambda info, problem: told.append((info, problem)))
    story.quiet()
    assert told[1] == (story.snapshots.latest, ""), "who wants it does not wait for the next attempt"


def test_one_that_is_not_wanted_any_more_is_not_taken() -> None:
    story = leading(SnapshotSettings(entries=1000))
    forget = story.driver.want_snapshot(lambda info, problem: None)
    forget()
    story.quiet()
    assert story.told("snapshot") == []


def test_one_that_fails_is_told_keeps_the_log_whole_and_is_tried_again_later() -> None:
    story = leading()
    story.snapshots.problem = "the disk is full"
    story.written(b"a", b"b", b"c")
    story.quiet()
    assert story.told("snapshot") == ["begun", "failed"]
    assert (story.first_index, story.snapshots.compacted) == (1, [])
    story.bench.take()
    assert story.told("snapshot") == ["begun", "failed"]
    story.bench.now += RETRY_US
    story.bench.acknowledge()
    story.quiet()
    assert story.told("snapshot")[:4] == ["begun", "failed", "begun", "taken"]


def test_what_it_held_back_is_let_go_when_it_ends_although_nobody_writes() -> None:
    story = leading()
    story.written(b"a", b"b", b"c")
    looks = story.bench.machine.tidied
    story.quiet()
    assert story.told("snapshot") == ["begun", "taken"]
    assert story.bench.machine.tidied >= looks + 2, "what was applied, and once more when the walk had ended"
    looks = story.bench.machine.tidied
    story.bench.take()
    assert story.bench.machine.tidied == looks, "an idle machine is not asked again and again"


def test_it_is_not_begun_in_the_middle_of_what_is_applied() -> None:
    story = leading(units_per_entry=3_000)
    story.written(b"a", b"b", b"c")
    while story.told("snapshot") == []:
        story.bench.take()
    assert len(story.bench.machine.applied) == story.driver.core.applied
    story.quiet()
    latest = story.snapshots.latest
    assert latest is not None
    assert len(chunks_of(story.snapshots.files[latest.base.index])) == latest.base.index


def test_bytes_make_one_due_as_well_and_a_log_that_is_half_full_too() -> None:
    story = leading(SnapshotSettings(entries=1_000_000, size_bytes=10_000, tail_entries=0))
    story.written(b"x" * 9_000)
    story.quiet()
    assert story.told("snapshot") == []
    story.written(b"x" * 1_000)
    story.quiet()
    assert story.told("snapshot") == ["begun", "taken"]


def test_a_tail_of_long_entries_leaves_room_in_the_log() -> None:
    story = leading(SnapshotSettings(tail_entries=1_000), log_bytes_max=10_000)
    for number in range(40):  # twice what the log holds
        story.written(b"%500d" % number)
        story.quiet()
    assert story.bench.machine.applied[-1].data.endswith(b"39"), "a log that a tail fills refuses writes for ever"
    assert 1_000 < story.driver.core.log_bytes < 9_000, "a tail is kept, and it is a part of the log"


# --- sending ------------------------------------------------------------------------------------------------------


def ahead_of_n3(chunks: Sequence[bytes] = ()) -> Story:
    """n1 leads; n3 needs what the log does not hold any more."""
    story = leading()
    story.written(b"a", b"b", b"c")
    story.quiet()
    if chunks:
        info = info_of(story.base(5), list(chunks))
        story.snapshots.latest, story.snapshots.files[5] = info, file_of(list(chunks))
    story.wire.sent.clear()
    story.bench.hear(3, AppendReply(1, False, 1, 0, 0))
    return story


def answer(story: Story, offset: int, problem: str = "") -> None:
    info = story.snapshots.latest
    assert info is not None
    story.bench.hear(3, SnapshotPieceReply(info.base.index, info.crc, offset, problem, 1))


def test_a_follower_beyond_the_log_is_asked_from_where_on_it_wants_the_snapshot() -> None:
    story = ahead_of_n3()
    [(to, piece)] = story.pieces()
    assert (to, piece.info, piece.offset, piece.data) == ("n3", story.snapshots.latest, 0, b"")
    assert story.told("snapshot-sent") == ["begun"]


def test_it_gets_the_file_from_there_in_pieces_and_the_log_after_its_acknowledgement() -> None:
    story = ahead_of_n3([CHUNK, CHUNK])
    story.pieces()
    file = story.snapshots.files[5]
    answer(story, 100)
    story.quiet()
    sent = [piece for _, piece in story.pieces()]
    assert b"".join(piece.data for piece in sent) == file[100:]
    assert [piece.offset for piece in sent] == [100, 100 + PIECE_BYTES_MAX]
    answer(story, len(file))
    story.bench.hear(3, AppendReply(1, True, 5))
    assert story.told("snapshot-sent") == ["begun", "done"]
    story.written(b"d")
    assert [
        m.entries[0].data for to, m in story.wire.take(Append) if to == "n3" and isinstance(m, Append) and m.entries
    ]


def test_pitfall_35_no_more_is_on_its_way_than_the_window() -> None:
    story = ahead_of_n3([CHUNK] * 12)
    story.pieces()
    answer(story, 0)
    story.quiet()
    sent = [piece for _, piece in story.pieces()]
    assert sum(len(piece.data) for piece in sent) == WINDOW_BYTES_MAX
    answer(story, PIECE_BYTES_MAX)
    story.quiet()
    assert [piece.offset for _, piece in story.pieces()] == [WINDOW_BYTES_MAX]


def test_pieces_are_read_and_sent_several_at_a_time_so_that_a_busy_loop_does_not_slow_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    story = ahead_of_n3([CHUNK] * 12)
    reads: list[int] = []
    read = story.snapshots.read

    def counted(info: SnapshotInfo, offset: int, bytes_max: int, done: Callable[[bytes], None]) -> None:
        reads.append(bytes_max)
        read(info, offset, bytes_max, done)

    monkeypatch.setattr(story.snapshots, "read", counted)
    story.pieces()
    answer(story, 0)
    story.quiet()
    assert reads == [PIECES_AT_ONCE * PIECE_BYTES_MAX] * (WINDOW_BYTES_MAX // PIECE_BYTES_MAX // PIECES_AT_ONCE)
    assert {len(piece.data) for _, piece in story.pieces()} == {PIECE_BYTES_MAX}


def test_a_follower_that_says_the_same_twice_lacks_a_piece_and_gets_it_again_once() -> None:
    story = ahead_of_n3([CHUNK] * 12)
    story.pieces()
    answer(story, 0)
    story.quiet()
    story.pieces()
    answer(story, PIECE_BYTES_MAX)
    story.quiet()
    story.pieces()
    answer(story, PIECE_BYTES_MAX)
    story.quiet()
    again = [piece.offset for _, piece in story.pieces()]
    assert again == [PIECE_BYTES_MAX * (1 + number) for number in range(WINDOW_BYTES_MAX // PIECE_BYTES_MAX)]
    answer(story, PIECE_BYTES_MAX)
    story.quiet()
    assert story.pieces() == []


def test_a_follower_that_was_restarted_gets_again_what_it_lost() -> None:
    story = ahead_of_n3([CHUNK] * 12)
    story.pieces()
    answer(story, PIECE_BYTES_MAX)
    story.quiet()
    story.pieces()
    answer(story, 0)
    story.quiet()
    assert next(piece.offset for _, piece in story.pieces()) == 0


def test_one_that_is_silent_is_asked_again_after_a_second_and_not_before() -> None:
    story = ahead_of_n3()
    story.pieces()
    story.lead_on(ANSWER_US_MAX - 200_000)
    assert story.pieces() == []
    story.lead_on(300_000)
    assert [to for to, _ in story.pieces()] == ["n3"]


def test_a_link_that_takes_nothing_is_tried_again() -> None:
    story = ahead_of_n3([CHUNK])
    story.pieces()
    story.wire.full.append("n3")
    answer(story, 0)
    story.quiet()
    assert story.pieces() == []
    story.wire.full.clear()
    story.lead_on(ANSWER_US_MAX + 100_000)
    [(to, piece)] = story.pieces()
    assert (to, piece.data) == ("n3", b"")


def test_a_follower_that_cannot_keep_it_is_told_of_and_tried_again() -> None:
    story = ahead_of_n3([CHUNK])
    story.pieces()
    answer(story, 0, "its disk is full")
    story.quiet()
    assert story.pieces() == []
    assert story.told("snapshot-sent") == ["begun", "given up"]


def test_a_leader_that_is_deposed_does_not_say_that_it_was_done() -> None:
    story = ahead_of_n3([CHUNK])
    story.bench.depose(2)
    assert story.told("snapshot-sent") == ["begun", "given up"]


def test_an_answer_about_another_snapshot_changes_nothing() -> None:
    story = ahead_of_n3([CHUNK])
    story.pieces()
    info = story.snapshots.latest
    assert info is not None
    story.bench.hear(3, SnapshotPieceReply(info.base.index, info.crc + 1, 0, "", 1))
    story.bench.hear(2, SnapshotPieceReply(info.base.index, info.crc, 0, "", 1))
    story.quiet()
    assert story.pieces() == []


def test_pitfall_30_the_log_keeps_what_a_follower_needs_after_the_snapshot_that_it_is_sent() -> None:
    story = ahead_of_n3([CHUNK])
    story.pieces()
    story.written(*(b"%d" % number for number in range(12)))
    story.quiet()
    latest = story.snapshots.latest
    assert latest is not None
    assert latest.base.index > 8
    assert story.first_index <= 6
    story.bench.hear(3, AppendReply(1, True, 5))
    story.written(*(b"%d" % number for number in range(12)))
    story.quiet()
    assert story.first_index > 6


# --- receiving ----------------------------------------------------------------------------------------------------


def following(settings: SnapshotSettings = FEW) -> Story:
    story = Story(settings)
    story.bench.follow()
    return story


def sent_to(story: Story, chunks: Sequence[bytes], index: int = 100) -> tuple[SnapshotInfo, bytes]:
    return info_of(story.base(index), list(chunks)), file_of(list(chunks))


def received(story: Story, chunks: Sequence[bytes], index: int = 100) -> SnapshotInfo:
    """The whole of it is on the disk, and the core knows."""
    info, file = sent_to(story, chunks, index)
    story.piece(info, file, 0)
    story.piece(info, file, 0, len(file))
    story.quiet()
    return info


def test_asked_it_says_from_where_on_it_wants_the_file() -> None:
    story = following()
    info, file = sent_to(story, [b"a"])
    story.piece(info, file, 0)
    assert story.replies() == [SnapshotPieceReply(100, info.crc, 0, "", 1)]


def test_an_acknowledgement_shows_no_term_that_is_not_on_the_disk() -> None:
    story = following()
    info, file = sent_to(story, [b"a"])
    story.bench.disk.held = True
    story.bench.hear(3, Heartbeat(7, 1))
    assert story.driver.core.term == 7
    story.piece(info, file, 0)
    assert [reply.term for reply in story.replies()] == [1]
    story.bench.disk.held = False
    story.bench.disk.complete()
    story.quiet()
    story.piece(info, file, 0)
    assert [reply.term for reply in story.replies()] == [7]


def test_every_piece_is_acknowledged_once_it_is_written_and_the_whole_to_the_core() -> None:
    story = following()
    info, file = sent_to(story, [b"a", b"b"])
    story.piece(info, file, 0)
    story.replies()
    story.piece(info, file, 0, 3)
    assert story.replies() == []
    story.snapshots.complete()
    assert story.replies() == [SnapshotPieceReply(100, info.crc, 3, "", 1)]
    story.piece(info, file, 3, len(file))
    story.snapshots.complete()
    story.snapshots.complete()
    story.bench.turn()
    assert [(to, m) for to, m in story.wire.take(AppendReply)] == [("n2", AppendReply(1, True, 100))]
    assert story.driver.core.commit == 100


def test_its_state_is_taken_over_and_the_log_goes_on_after_it() -> None:
    story = following()
    received(story, [b"a", b"b", b"c"])
    assert [entry.data for entry in story.bench.machine.applied] == [b"a", b"b", b"c"]
    assert (story.driver.core.applied, story.first_index) == (100, 101)
    story.bench.hear(2, Append(1, 100, 1, 101, (Entry(101, 1, EntryKind.WRITE, b"d"),)))
    story.quiet()
    assert [entry.data for entry in story.bench.machine.applied] == [b"a", b"b", b"c", b"d"]


def test_a_read_waits_until_it_is_taken_over() -> None:
    story = following()
    info, file = sent_to(story, [b"a", b"b", b"c"])
    story.piece(info, file, 0)
    story.piece(info, file, 0, len(file))
    while story.driver.core.commit < 100:
        story.snapshots.complete()
        story.bench.take()
    assert story.driver.core.applied == 1
    story.quiet()
    assert story.driver.core.applied == 100


def test_pieces_twice_late_or_out_of_order_do_no_harm() -> None:
    story = following()
    info, file = sent_to(story, [b"a" * 50, b"b"])
    story.piece(info, file, 0)
    for offset, count in ((20, 10), (0, 10), (0, 10), (30, 10), (10, 10), (0, 5), (20, 500)):
        story.piece(info, file, offset, count)
        story.snapshots.complete()
    story.quiet()
    assert story.driver.core.commit == 100
    story.wire.sent.clear()
    story.piece(info, file, 0, 10)
    story.quiet()
    assert [m for _, m in story.wire.take(AppendReply)] == [AppendReply(1, True, 100)]


def test_pieces_that_come_while_one_is_written_wait_for_their_turn_and_are_not_asked_for_again() -> None:
    story = following()
    info, file = sent_to(story, [b"a" * 50, b"b"])
    story.piece(info, file, 0)
    story.replies()
    for offset in (0, 10, 20, 40, 20, 30):
        story.piece(info, file, offset, 10)
    for _ in range(4):
        story.snapshots.complete()
    assert [reply.offset for reply in story.replies()] == [10, 20, 30, 40]
    story.piece(info, file, 40, len(file))
    story.quiet()
    assert story.driver.core.commit == 100


def test_pitfall_35_what_waits_for_the_disk_has_a_limit() -> None:
    story = following()
    info, file = sent_to(story, [CHUNK] * 12)
    story.piece(info, file, 0)
    for offset in range(0, len(file), PIECE_BYTES_MAX):
        story.piece(info, file, offset, PIECE_BYTES_MAX)
    story.quiet()
    assert story.replies()[-1].offset == AHEAD_BYTES_MAX


def test_pieces_of_one_that_another_took_the_place_of_are_forgotten() -> None:
    story = following()
    old, old_file = sent_to(story, [b"o" * 90], 100)
    new, new_file = sent_to(story, [b"n" * 90], 200)
    for offset in (0, 10, 20):
        story.piece(old, old_file, offset, 10)
    story.snapshots.complete()
    story.snapshots.complete()
    story.snapshots.complete()
    story.piece(new, new_file, 0)
    story.piece(new, new_file, 0, len(new_file))
    story.quiet()
    assert story.driver.core.commit == 200


def test_what_is_committed_here_already_is_acknowledged_and_not_fetched() -> None:
    story = following()
    info, file = sent_to(story, [b"a"], 1)
    story.piece(info, file, 0)
    story.quiet()
    assert [m for _, m in story.wire.take(AppendReply)] == [AppendReply(1, True, 1)]
    assert story.snapshots.latest is None


def test_one_that_is_damaged_on_the_disk_is_told_and_begins_anew() -> None:
    story = following()
    info, file = sent_to(story, [b"a" * 50])
    story.piece(info, file, 0)
    story.replies()
    story.piece(info, b"?" * len(file), 0, len(file))
    story.quiet()
    assert story.driver.core.commit == 1
    assert [reply.offset for reply in story.replies()] == [len(file), 0]
    received(story, [b"a" * 50])
    assert story.driver.core.commit == 100


def test_pitfall_35_a_disk_that_cannot_keep_it_is_told_to_the_sender() -> None:
    story = following()
    info, file = sent_to(story, [b"a"])
    story.piece(info, file, 0)
    story.replies()
    story.snapshots.problem = "the disk is full"
    story.piece(info, file, 0, len(file))
    story.quiet()
    assert story.replies() == [SnapshotPieceReply(100, info.crc, 0, "the disk is full", 1)]


def test_a_newer_one_takes_the_place_of_one_that_was_not_finished() -> None:
    story = following()
    old, file = sent_to(story, [b"old" * 50])
    story.piece(old, file, 0, 10)
    story.quiet()
    received(story, [b"new"], 200)
    assert story.driver.core.applied == 200
    assert [entry.data for entry in story.bench.machine.applied] == [b"new"]


def test_one_of_another_cluster_is_not_listened_to() -> None:
    story = following()
    info, file = sent_to(story, [b"a"])
    foreign = msgspec.structs.replace(info, base=msgspec.structs.replace(info.base, cluster_id="another"))
    story.bench.take(Arrived(Member("n4", "n4-disk"), SnapshotPiece(foreign, 0, b"", 1)))
    story.bench.take(Arrived(Member("n4", "n4-disk"), SnapshotPiece(foreign, 0, file, 1)))
    story.quiet()
    assert story.replies() == []


@pytest.mark.parametrize("leader", [Member("n4", "n4-disk"), Member("n2", "its new disk")])
def test_a_leader_that_was_let_in_later_may_send_one(leader: Member) -> None:
    story = following()
    info, file = sent_to(story, [b"a"])
    story.bench.take(Arrived(leader, SnapshotPiece(info, 0, b"", 1)))
    story.bench.take(Arrived(leader, SnapshotPiece(info, 0, file, 1)))
    story.quiet()
    assert [reply.offset for reply in story.replies()] == [0, len(file)]
    assert story.driver.core.applied == info.base.index


def test_only_a_member_says_how_far_it_has_got() -> None:
    story = Story(FEW)
    story.bench.take(Arrived(Member("n4", "n4-disk"), SnapshotPieceReply(1, 1, 0, "", 1)))
    assert story.driver.snapshot_view(0).sending == ()


def test_its_own_snapshot_is_given_up_when_another_nodes_comes() -> None:
    story = following()
    entries = tuple(Entry(index, 1, EntryKind.WRITE, b"%d" % index) for index in range(2, 8))
    story.bench.hear(2, Append(1, 1, 0, 7, entries))
    while story.told("snapshot") == []:
        story.bench.take()
    received(story, [b"a"])
    assert story.snapshots.aborted == [7]
    assert story.driver.core.applied == 100


def follow_on(story: Story, first: int, last: int) -> None:
    """The log goes on from a leader whose log has all that is needed."""
    for index in range(first, last + 1):
        before = story.driver.core.status(0).last_term
        story.bench.hear(2, Append(1, index - 1, before, index, (Entry(index, 1, EntryKind.WRITE, b"x"),)))
        story.quiet()


def test_one_that_broke_off_and_is_not_needed_any_more_keeps_nobody_from_taking_its_own() -> None:
    """The next leader still has the log."""
    story = following()
    info, file = sent_to(story, [b"a" * 50])
    story.piece(info, file, 0)
    story.piece(info, file, 0, 10)
    story.quiet()
    assert story.driver._snapshotting.view(0).receiving
    follow_on(story, story.driver.core.status(0).last_index + 1, 160)
    latest = story.snapshots.latest
    assert not story.driver._snapshotting.view(0).receiving
    assert latest is not None
    assert latest.base.index > 100


def test_a_piece_that_comes_again_before_the_core_knows_of_the_whole_begins_no_other_file() -> None:
    """The sender asks each second while it hears nothing, and to verify a long file takes longer."""
    story = following()
    info, file = sent_to(story, [b"a" * 50])
    story.piece(info, file, 0)
    story.piece(info, file, 0, len(file))
    receiving = story.driver._snapshotting._receiving
    while not receiving.has_events:
        story.snapshots.complete()
    story.piece(info, file, 0)
    story.quiet()
    assert (story.driver.core.applied, receiving.under_way) == (100, False)
    follow_on(story, 101, 160)
    latest = story.snapshots.latest
    assert latest is not None
    assert latest.base.index > 100


def test_one_that_cannot_be_read_back_stops_the_node() -> None:
    story = following()
    with pytest.raises(UnreadableSnapshot, match="cannot take the place of the state: a bad chunk"):
        received(story, [b"a", b"bad"])


def test_a_write_that_waited_in_the_log_that_was_replaced_ends_as_unknown() -> None:
    story = leading(SnapshotSettings())
    answers = story.bench.write(b"lost")
    story.bench.depose(2)
    received(story, [b"a"])
    story.bench.pass_time(2_000_000)
    story.quiet()
    assert [type(answer).__name__ for answer in answers] == ["Unknown"]


def test_what_follows_is_read_while_what_was_read_is_taken_over() -> None:
    snapshots = MemorySnapshots()
    chunks = [b"a", b"b", b"c"]
    info = snapshots.latest = info_of(Base(5, 1), chunks)
    snapshots.files[5] = file_of(chunks)
    restoring = Restoring(Echo(0), snapshots, lambda: None)
    restoring.begin(info.base)
    for more in (True, True, False):
        snapshots.complete()
        assert restoring.run() == []
        assert restoring.has_work, "what was read is to be taken over"
        assert bool(snapshots.asked) == more, "and what follows is asked for already"
        restoring.run()
    assert restoring.under_way is False
