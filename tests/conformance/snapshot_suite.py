"""What any keeper of snapshots must do, whatever disk is under it and whoever does the work (`test_snapshots.py`).

Why it exists: `node.runtime.snapshot_ports.Snapshots` is a promise in prose; this is the same promise as a program.
"""

import errno
import os
from collections.abc import Callable

import pytest

from node.raft.errors import InvariantViolation
from node.storage.errors import StorageError
from node.storage.files import FilePort
from node.storage.snapshot_format import CHUNK_BYTES_MAX
from tests.storage.snapshotting import SnapshotBench, base_at

CHUNKS = (b"first", b"\0" * 70_000, b"x", os.urandom(5000), b"last" * 1000)
OpenBench = Callable[..., SnapshotBench]


class SnapshotSuite:
    """Subclasses give `files`, a port, `other_files`, a second one, and `bench`, which opens snapshots on a port."""

    def test_there_is_none_at_first(self, bench: OpenBench, files: FilePort) -> None:
        assert bench(files).snapshots.latest is None

    def test_what_was_taken_is_read_back_chunk_by_chunk(self, bench: OpenBench, files: FilePort) -> None:
        one = bench(files)
        info = one.taken(base_at(7), *CHUNKS)
        assert (info.base, info.chunks) == (base_at(7), len(CHUNKS))
        assert tuple(one.snapshots.chunks(info)) == CHUNKS
        for bytes_max in (1, 6000, 1 << 20):
            assert one.chunks(info, bytes_max) == ([*CHUNKS], "")

    def test_a_snapshot_of_nothing_is_one(self, bench: OpenBench, files: FilePort) -> None:
        one = bench(files)
        info = one.taken(base_at(7))
        assert (info.chunks, one.chunks(info)) == (0, ([], ""))

    def test_the_longest_chunk_fits_and_a_longer_one_or_an_empty_one_does_not(
        self, bench: OpenBench, files: FilePort
    ) -> None:
        one = bench(files)
        longest = b"L" * CHUNK_BYTES_MAX
        info = one.taken(base_at(7), longest, b"s")
        assert one.chunks(info) == ([longest, b"s"], "")
        writer = one.snapshots.begin(base_at(8))
        for wrong in (b"", b"L" * (CHUNK_BYTES_MAX + 1)):
            with pytest.raises(ValueError, match="fits into no snapshot"):
                writer.add(wrong)
        writer.abort()

    def test_equal_states_give_equal_files(self, bench: OpenBench, files: FilePort, other_files: FilePort) -> None:
        one, two = bench(files), bench(other_files)
        assert one.taken(base_at(7), *CHUNKS) == two.taken(base_at(7), *CHUNKS)
        name = "snapshot-0000000000000007.snap"
        assert files.read(name) == other_files.read(name)

    def test_one_changed_byte_makes_another_identity(
        self, bench: OpenBench, files: FilePort, other_files: FilePort
    ) -> None:
        one, two = bench(files), bench(other_files)
        assert one.taken(base_at(7), b"a", b"b").crc != two.taken(base_at(7), b"a", b"c").crc

    def test_the_one_before_goes_when_the_new_one_is_whole(self, bench: OpenBench, files: FilePort) -> None:
        one = bench(files)
        one.taken(base_at(7), b"seven")
        writer = one.snapshots.begin(base_at(9))
        writer.add(b"nine")
        assert "snapshot-0000000000000007.snap" in files.names()
        writer.abort()
        one.taken(base_at(11), b"eleven")
        assert [name for name in files.names() if name.startswith("snapshot")] == ["snapshot-0000000000000011.snap"]

    def test_one_that_is_being_sent_outlasts_the_next(self, bench: OpenBench, files: FilePort) -> None:
        one = bench(files)
        seven = one.taken(base_at(7), *CHUNKS)
        first = one.pieces(seven)
        one.taken(base_at(9), b"nine")
        assert one.pieces(seven) == first
        one.taken(base_at(11), b"eleven")
        assert one.pieces(seven) == first
        one.taken(base_at(13), b"thirteen")
        one.taken(base_at(15), b"fifteen")
        assert one.pieces(seven)[0] == b"", "nobody read it meanwhile"

    def test_waiting_bytes_are_what_is_not_written_yet(self, bench: OpenBench, files: FilePort) -> None:
        one = bench(files)
        writer = one.snapshots.begin(base_at(7))
        writer.add(b"x" * 1000)
        writer.add(b"y" * 500)
        assert writer.waiting_bytes == 1500
        results: list[object] = []
        writer.finish(lambda info, problem: results.append(info))
        one.until(results)
        assert writer.waiting_bytes == 0

    def test_an_aborted_one_leaves_nothing_and_tells_nobody(self, bench: OpenBench, files: FilePort) -> None:
        one = bench(files)
        told: list[object] = []
        writer = one.snapshots.begin(base_at(7))
        writer.add(b"x" * 100_000)
        writer.abort()
        writer.add(b"late")
        writer.finish(lambda info, problem: told.append(info))
        writer.abort()
        info = one.taken(base_at(8), b"next")
        assert (told, one.snapshots.latest) == ([], info)
        assert [name for name in files.names() if name.startswith("snapshot")] == ["snapshot-0000000000000008.snap"]

    def test_an_older_one_is_a_broken_invariant(self, bench: OpenBench, files: FilePort) -> None:
        one = bench(files)
        one.taken(base_at(7), b"seven")
        with pytest.raises(InvariantViolation, match="older than the latest"):
            one.snapshots.begin(base_at(7))

    def test_the_log_keeps_what_the_latest_does_not_hold(self, bench: OpenBench, files: FilePort) -> None:
        one = bench(files)
        with pytest.raises(InvariantViolation, match="cannot go: the latest snapshot ends at 0"):
            one.snapshots.compact(1)
        one.taken(base_at(7), b"seven")
        one.snapshots.compact(7)
        with pytest.raises(InvariantViolation, match="cannot go"):
            one.snapshots.compact(8)
        assert one.compacted == [7]

    # Received

    def test_what_is_sent_in_pieces_arrives_whole(
        self, bench: OpenBench, files: FilePort, other_files: FilePort
    ) -> None:
        one, two = bench(files), bench(other_files)
        info = one.taken(base_at(7), *CHUNKS)
        data = b"".join(one.pieces(info))
        assert two.receive(info, data, 997) == (info, "")
        assert two.snapshots.latest == info
        assert two.chunks(info) == ([*CHUNKS], "")

    def test_it_goes_on_where_the_last_attempt_ended(
        self, bench: OpenBench, files: FilePort, other_files: FilePort
    ) -> None:
        one, two = bench(files), bench(other_files)
        info = one.taken(base_at(7), *CHUNKS)
        data = b"".join(one.pieces(info))
        told: list[tuple[int, str]] = []
        receiver = two.snapshots.receive(info)
        receiver.write(0, data[:3000], lambda at, problem: told.append((at, problem)))
        two.until(told)
        assert (told, receiver.offset) == ([(3000, "")], 3000)
        again = two.snapshots.receive(info)
        assert again.offset == 3000
        assert two.receive(info, data) == (info, "")

    def test_pieces_that_come_twice_or_out_of_order_do_no_harm(
        self, bench: OpenBench, files: FilePort, other_files: FilePort
    ) -> None:
        one, two = bench(files), bench(other_files)
        info = one.taken(base_at(7), *CHUNKS)
        data = b"".join(one.pieces(info))
        receiver = two.snapshots.receive(info)
        told: list[tuple[int, str]] = []
        for offset, piece in ((0, data[:100]), (500, data[500:600]), (0, data[:100]), (50, data[50:300]), (100, b"")):
            receiver.write(offset, piece, lambda at, problem: told.append((at, problem)))
        two.until(told, 5)
        assert told == [(100, "")] * 5
        assert two.receive(info, data) == (info, "")

    def test_another_snapshot_begins_anew_and_takes_the_place(
        self, bench: OpenBench, files: FilePort, other_files: FilePort
    ) -> None:
        one, two = bench(files), bench(other_files)
        seven = one.taken(base_at(7), *CHUNKS)
        receiver = two.snapshots.receive(seven)
        told: list[tuple[int, str]] = []
        receiver.write(0, b"".join(one.pieces(seven))[:5000], lambda at, problem: told.append((at, problem)))
        two.until(told)
        nine = one.taken(base_at(9), b"nine")
        assert two.receive(nine, b"".join(one.pieces(nine))) == (nine, "")
        assert [name for name in other_files.names() if name.startswith("snapshot")] == [
            "snapshot-0000000000000009.snap"
        ]
        late: list[object] = []
        receiver.write(5000, b"late", lambda *result: late.append(result))
        receiver.finish(lambda *result: late.append(result))
        two.taken(base_at(12), b"twelve")
        assert late == [], "a receiver that was replaced takes nothing and tells nothing"

    @pytest.mark.parametrize("at", [0, 9, 40, 3000, -1])
    def test_what_was_damaged_on_its_way_is_never_used(
        self, bench: OpenBench, files: FilePort, other_files: FilePort, at: int
    ) -> None:
        one, two = bench(files), bench(other_files)
        info = one.taken(base_at(7), *CHUNKS)
        good = b"".join(one.pieces(info))
        bad = bytearray(good)
        bad[at] ^= 0x20
        found, problem = two.receive(info, bytes(bad))
        assert found is None
        assert "snapshot-0000000000000007-1-" in problem
        assert "asks for it again" in problem
        assert two.snapshots.latest is None
        assert two.snapshots.receive(info).offset == 0
        assert two.receive(info, good) == (info, ""), "what the sentence says comes true"

    def test_a_whole_snapshot_that_is_not_the_one_announced_is_never_used(
        self, bench: OpenBench, files: FilePort, other_files: FilePort
    ) -> None:
        one, two = bench(files), bench(other_files)
        info = one.taken(base_at(7), *CHUNKS)
        other = bench(other_files).taken(base_at(7), *reversed(CHUNKS))
        assert other.size_bytes == info.size_bytes
        data = other_files.read("snapshot-0000000000000007.snap")
        other_files.remove("snapshot-0000000000000007.snap")
        found, problem = two.receive(info, data)
        assert found is None
        assert "is not the snapshot that it should be" in problem

    def test_pieces_beyond_the_end_and_an_early_finish_are_sentences(
        self, bench: OpenBench, files: FilePort, other_files: FilePort
    ) -> None:
        one, two = bench(files), bench(other_files)
        info = one.taken(base_at(7), *CHUNKS)
        data = b"".join(one.pieces(info))
        receiver = two.snapshots.receive(info)
        told: list[tuple[object, str]] = []
        receiver.write(0, data + b"x", lambda at, problem: told.append((at, problem)))
        receiver.write(0, data[:50], lambda at, problem: told.append((at, problem)))
        receiver.finish(lambda found, problem: told.append((found, problem)))
        two.until(told, 3)
        assert told[0][0] == 0
        assert "of a snapshot that has" in told[0][1]
        assert told[1] == (50, "")
        assert told[2][0] is None
        assert f"has 50 of {info.size_bytes} bytes" in told[2][1]
        assert two.receive(info, data) == (info, "")

    def test_one_that_is_older_than_what_is_there_is_not_taken(
        self, bench: OpenBench, files: FilePort, other_files: FilePort
    ) -> None:
        one, two = bench(files), bench(other_files)
        info = one.taken(base_at(7), *CHUNKS)
        newer = two.taken(base_at(9), b"newer")
        found, problem = two.receive(info, b"".join(one.pieces(info)))
        assert found is None
        assert "came first" in problem
        assert two.snapshots.latest == newer

    def test_one_that_is_taken_while_a_newer_one_arrives_gives_way(
        self, bench: OpenBench, files: FilePort, other_files: FilePort
    ) -> None:
        one, two = bench(files), bench(other_files)
        newer = one.taken(base_at(9), *CHUNKS)
        writer = two.snapshots.begin(base_at(7))
        writer.add(b"seven")
        assert two.receive(newer, b"".join(one.pieces(newer))) == (newer, "")
        results: list[tuple[object, str]] = []
        writer.finish(lambda found, problem: results.append((found, problem)))
        two.until(results)
        assert results[0][0] is None
        assert "came first" in results[0][1]
        assert two.snapshots.latest == newer
        assert [name for name in other_files.names() if name.startswith("snapshot")] == [
            "snapshot-0000000000000009.snap"
        ]

    def test_one_that_is_held_stays_however_many_newer_ones_there_are(self, bench: OpenBench, files: FilePort) -> None:
        one = bench(files)
        info = one.taken(base_at(7), *CHUNKS)
        let_go = one.snapshots.hold(info)
        for index in (8, 9, 10):
            one.taken(base_at(index), b"newer")
        assert [name for name in files.names() if name.endswith(".snap")] == [
            "snapshot-0000000000000007.snap", "snapshot-0000000000000010.snap",
        ]  # fmt: skip
        let_go()
        one.taken(base_at(11), b"newest")
        assert [name for name in files.names() if name.endswith(".snap")] == ["snapshot-0000000000000011.snap"]

    def test_one_that_is_gone_is_read_as_nothing_and_its_chunks_as_a_sentence(
        self, bench: OpenBench, files: FilePort
    ) -> None:
        one = bench(files)
        info = one.taken(base_at(7), *CHUNKS)
        files.remove("snapshot-0000000000000007.snap")
        assert one.pieces(info)[0] == b""
        chunks, problem = one.chunks(info)
        assert chunks == []
        assert os.strerror(errno.ENOENT) in problem
        with pytest.raises(StorageError, match="No such file"):
            next(one.snapshots.chunks(info))
