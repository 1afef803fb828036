"""What any durable log must do, whatever disk is under it and whoever does the work (see `test_storage.py`).

Why it exists: `node.runtime.ports.Storage` is a promise in prose; this is the same promise as a program.
"""

from collections.abc import Callable

import pytest

from node.raft.effects import Persist
from node.raft.errors import InvariantViolation
from node.raft.types import Base, HardState
from node.storage.files import FilePort
from tests.storage.logs import CLUSTER_ID, FIRST, INCARNATION, NAME, Log, append, birth, command, rebase, snapshot_at
from tests.storage.snapshotting import base_at

OpenLog = Callable[..., Log]


class StorageSuite:
    """Subclasses give `files`, a port, and `open_log`, which opens a log on it (in a small segment by default)."""

    def test_an_empty_folder_gives_an_unborn_log_with_the_incarnation_handed_in(self, open_log: OpenLog) -> None:
        recovered = open_log().recovered
        assert (recovered.name, recovered.incarnation, recovered.cluster_id) == (NAME, INCARNATION, "")
        assert (recovered.entries, recovered.hard_state, recovered.base) == ((), HardState(), Base())

    def test_the_incarnation_is_made_once(self, open_log: OpenLog) -> None:
        open_log().close()
        assert open_log(incarnation="b" * 32).recovered.incarnation == INCARNATION

    def test_everything_reported_is_there_at_the_next_start(self, open_log: OpenLog) -> None:
        log = open_log()
        log.write(birth())
        for index in range(2, 40):
            log.write(append(index, command(index), state=HardState(1, NAME, index - 1)))
        assert log.done == list(range(1, 40))
        log.close()
        recovered = open_log().recovered
        assert recovered.cluster_id == CLUSTER_ID
        assert recovered.entries == (FIRST, *(command(index) for index in range(2, 40)))
        assert recovered.hard_state == HardState(1, NAME, 38)

    def test_writing_goes_on_after_a_restart(self, open_log: OpenLog) -> None:
        log = open_log()
        log.write(birth())
        for index in range(2, 30):
            log.write(append(index, command(index)))
            log.close()
            log = open_log()
            assert [entry.index for entry in log.recovered.entries] == list(range(1, index + 1))

    def test_no_done_is_called_within_submit(self, open_log: OpenLog) -> None:
        log = open_log()
        log.submit(birth(1), Persist(2))
        assert log.done == []
        log.wal.flush()
        log.settle()
        assert log.done == [1, 2]

    def test_a_group_is_written_as_one_and_reported_in_order(self, open_log: OpenLog, files: FilePort) -> None:
        log = open_log()
        log.write(birth())
        log.submit(
            append(2, command(2), command(3), command(4), state=HardState(1, "x", 0)),
            Persist(3),
            append(4, command(3, 2), truncate_from=3, state=HardState(2, "y", 1)),
            append(5, command(4, 2)),
            append(6, state=HardState(2, "y", 4)),
        )
        log.wal.flush()
        log.settle()
        assert log.done == [1, 2, 3, 4, 5, 6]
        log.close()
        recovered = open_log().recovered
        assert recovered.entries == (FIRST, command(2), command(3, 2), command(4, 2))
        assert recovered.hard_state == HardState(2, "y", 4)

    def test_a_truncation_below_the_group_reaches_the_disk(self, open_log: OpenLog) -> None:
        log = open_log()
        log.write(birth())
        log.write(append(2, *(command(index) for index in range(2, 9))))
        log.write(
            append(3, command(9), command(10)),
            append(4, command(7, 2), command(8, 2), truncate_from=7),
            append(5, command(4, 3), truncate_from=4),
            append(6, truncate_from=5),
        )
        log.close()
        assert open_log().recovered.entries == (FIRST, command(2), command(3), command(4, 3))

    def test_a_hard_state_alone_is_kept_before_and_after_birth(self, open_log: OpenLog) -> None:
        log = open_log()
        log.write(append(1, state=HardState(3, "", 0)))
        log.close()
        log = open_log()
        assert log.recovered.hard_state == HardState(3, "", 0)
        log.write(Persist(2, None, None, (FIRST,), cluster_id=CLUSTER_ID))
        log.close()
        log = open_log()
        assert (log.recovered.hard_state, log.recovered.entries) == (HardState(3, "", 0), (FIRST,))
        log.write(append(3, state=HardState(4, NAME, 1)))
        log.close()
        assert open_log().recovered.hard_state == HardState(4, NAME, 1)

    def test_barriers_alone_complete_in_order_and_cost_no_write(self, open_log: OpenLog, files: FilePort) -> None:
        log = open_log()
        log.write(birth())
        before = {name: files.read(name) for name in files.names()}
        log.write(Persist(2), Persist(3))
        assert log.done == [1, 2, 3]
        assert {name: files.read(name) for name in files.names()} == before

    def test_close_finishes_what_was_submitted(self, open_log: OpenLog) -> None:
        log = open_log()
        log.submit(birth(), append(2, command(2)))
        log.close()
        assert log.done == [1, 2]
        assert len(open_log().recovered.entries) == 2

    def test_a_done_may_submit_and_flush(self, open_log: OpenLog) -> None:
        log = open_log()
        log.write(birth())

        def more(token: int) -> None:
            log.done.append(token)
            log.submit(append(3, command(3)), Persist(4))
            log.wal.flush()

        log.wal.submit(append(2, command(2)), more)
        log._last_token = 4
        log.wal.flush()
        log.settle()
        assert log.done == [1, 2, 3, 4]
        log.close()
        assert len(open_log().recovered.entries) == 3

    def test_a_group_above_the_frame_limit_is_split(self, open_log: OpenLog) -> None:
        log = open_log(frame_bytes=1000)
        log.write(birth())
        entries = tuple(command(index, 2, b"y" * 200) for index in range(2, 40))
        log.write(append(2, *entries, state=HardState(2, NAME, 39)))
        log.close()
        recovered = open_log().recovered
        assert recovered.entries == (FIRST, *entries)
        assert recovered.hard_state == HardState(2, NAME, 39)

    def test_an_entry_larger_than_a_segment_is_kept(self, open_log: OpenLog) -> None:
        log = open_log()
        log.write(birth())
        for index, data in ((2, b"z" * 100_000), (3, bytes(1 << 20)), (4, b"small")):
            log.write(append(index, command(index, 1, data)))
        log.close()
        assert [len(entry.data) for entry in open_log().recovered.entries[1:]] == [100_000, 1 << 20, 5]

    def test_a_base_takes_the_place_of_all_before_it_even_within_a_group(
        self, open_log: OpenLog, files: FilePort
    ) -> None:
        log = open_log()
        log.write(birth())
        log.write(append(2, *(command(index) for index in range(2, 30)), state=HardState(1, NAME, 20)))
        snapshot_at(files, base_at(60, 2), b"x")
        log.submit(
            append(3, command(30)),
            rebase(4, base_at(60, 2), state=HardState(2, NAME, 60)),
            append(5, command(61, 2), command(62, 2)),
            append(6, command(62, 3), truncate_from=62, state=HardState(3, "", 61)),
        )
        log.wal.flush()
        log.settle()
        assert log.done == [1, 2, 3, 4, 5, 6]
        log.close()
        recovered = open_log().recovered
        assert recovered.base == base_at(60, 2)
        assert recovered.entries == (command(61, 2), command(62, 3))
        assert recovered.hard_state == HardState(3, "", 61)

    def test_an_unborn_log_is_born_by_a_base(self, open_log: OpenLog, files: FilePort) -> None:
        log = open_log()
        snapshot_at(files, base_at(60, 2), b"x")
        log.write(rebase(1, base_at(60, 2), command(61, 2), state=HardState(2, "", 61)))
        log.close()
        log = open_log()
        assert (log.recovered.base, log.recovered.entries) == (base_at(60, 2), (command(61, 2),))
        log.write(append(2, command(62, 2)))
        log.close()
        assert open_log().recovered.entries[-1] == command(62, 2)

    def test_a_compacted_log_begins_later_and_is_the_same_from_there(self, open_log: OpenLog, files: FilePort) -> None:
        log = open_log()
        log.write(birth())
        for index in range(2, 100):
            log.write(append(index, command(index), state=HardState(1, NAME, index - 1)))
            if index == 80:
                snapshot_at(files, base_at(80), b"x")
                log.wal.compact(70)
        log.close()
        recovered = open_log().recovered
        base = recovered.base
        assert 0 < base.index <= 70
        assert (base.term, base.time_us, base.cluster_id) == (1, command(base.index).time_us, CLUSTER_ID)
        assert recovered.entries == tuple(command(index) for index in range(base.index + 1, 100))
        assert recovered.snapshot is not None
        assert recovered.snapshot.base == base_at(80)

    @pytest.mark.parametrize(
        ("write", "words"),
        [
            (append(2, command(3)), "begins at entry 3, the log ends at 1"),
            (append(2, command(2), command(4)), "begins at entry 2"),
            (append(2, truncate_from=3), "truncates from 3"),
            (append(2, truncate_from=0), "truncates from 0"),
            (append(2, truncate_from=1), "truncates from 1"),
            (append(2, state=HardState(1, "", 2)), "commits 2, the log ends at 1"),
            (birth(2), "begins at entry 1"),
            (rebase(2, base_at(0)), "has base 0"),
            (rebase(2, base_at(5, cluster_id="f" * 32)), "has a base of cluster ffff"),
            (rebase(2, base_at(5), command(5)), "begins at entry 5, the log ends at 5"),
            (append(2, command(2, 1, bytes(9_000_000))), "an entry of 9000064 bytes"),
        ],
    )
    def test_a_write_that_no_log_could_take_is_a_broken_invariant(
        self, open_log: OpenLog, write: Persist, words: str
    ) -> None:
        log = open_log()
        log.write(birth())
        with pytest.raises(InvariantViolation, match=words):
            log.submit(write)

    def test_entries_before_birth_are_a_broken_invariant(self, open_log: OpenLog) -> None:
        with pytest.raises(InvariantViolation, match="before birth"):
            open_log().submit(append(1, FIRST))

    def test_a_submission_after_close_is_a_broken_invariant(self, open_log: OpenLog) -> None:
        log = open_log()
        log.close()
        with pytest.raises(InvariantViolation, match="after the log was closed"):
            log.submit(birth())
