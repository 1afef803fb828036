"""Power failures at every kind of moment, drawn by seed: what was reported is there, and nothing that never was."""

import contextlib
import errno
import random
from collections import Counter

import pytest

from node.raft.effects import Persist
from node.raft.types import Entry, HardState
from node.simulation.disk import SimulatedDisk
from node.storage.errors import StorageError
from node.storage.recovery import Recovered
from tests.storage.logs import FIRST, NAME, Log, append, birth, command

State = tuple[tuple[Entry, ...], HardState]


class PowerCut(BaseException):
    """The machine stops here."""


class CuttingDisk(SimulatedDisk):
    """A simulated disk whose power fails at a stated operation, wherever in the log's code that is."""

    def __init__(self) -> None:
        super().__init__()
        self.left: int | None = None

    def count(self, operation: str) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise PowerCut
        super().count(operation)


def _grow(state: State, token: int, rng: random.Random) -> tuple[Persist, State]:
    """A write that a core could make next, and what the log then holds."""
    entries, hard = state
    if not entries:
        return birth(token), ((FIRST,), HardState())
    kind = rng.random()
    if kind < 0.1:
        return Persist(token), state
    truncate_from = None
    term = hard.term
    if kind < 0.3 and len(entries) > hard.commit + 1:
        truncate_from = rng.randint(max(hard.commit, 1) + 1, len(entries))
        entries, term = entries[: truncate_from - 1], term + 1
    size = rng.choice((1, 10, 300, 700, 3000))
    more = [
        command(len(entries) + 1 + i, term, ((b"\0" if rng.random() < 0.3 else b"%d." % token) * size)[:size])
        for i in range(rng.randint(0, 3))
    ]
    entries = (*entries, *more)
    commit = rng.randint(hard.commit, len(entries))
    new = HardState(term, NAME, commit) if term != hard.term or rng.random() < 0.5 else None
    return append(token, *more, truncate_from=truncate_from, state=new), (entries, new or hard)


class Story:
    """One seed: a disk, what was submitted to it since the last start, and how much of it was reported."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.disk = CuttingDisk()
        self.states: list[State] = [((), HardState())]
        self.reported = 0
        self.seen = dict.fromkeys(("fatal", "power cut", "torn", "later than reported", "part of a split"), 0)

    def run(self) -> None:
        for _ in range(8):
            self.disk.left = self.rng.randint(0, 40)
            try:
                self._live()
            except PowerCut:
                self.seen["power cut"] += 1
            except StorageError:
                self.seen["fatal"] += 1
            self.disk.left = None
            self.disk.heal()
            if self.rng.random() < 0.3:
                self.disk.kill()
            else:
                self.disk.crash(self.rng)
            self._restart()

    def _live(self) -> None:
        """Write until the power fails or the disk does; the reader of a failed sync is killed."""
        log = Log(self.disk, segment_bytes=8192, frame_bytes=4096)
        self._check(log.recovered)
        if self.rng.random() < 0.2:
            self.disk.fail(self.rng.choice(("sync", "pwrite")), errno.EIO, self.rng.randint(0, 8))
        token = 0
        state = self.states[-1]
        while not log.fatal:
            for _ in range(self.rng.randint(1, 4)):
                token += 1
                write, state = _grow(state, token, self.rng)
                self.states.append(state)
                log.submit(write)
            try:
                log.wal.flush()
            finally:
                self.reported = max(self.reported, len(log.done))
            assert log.fatal or self.reported == token
        assert len(log.done) < token
        self.seen["fatal"] += 1

    def _restart(self) -> None:
        log = Log(self.disk, segment_bytes=8192, frame_bytes=4096)
        self._check(log.recovered)
        log.close()
        if self.rng.random() < 0.5:
            self.disk.crash(self.rng)  # what a start gave out must be durable by then
            log = Log(self.disk, segment_bytes=8192, frame_bytes=4096)
            self._check(log.recovered)
            log.close()

    def _check(self, recovered: Recovered) -> None:
        state = (recovered.entries, recovered.hard_state)
        allowed = self.states[self.reported :]
        whole = state in allowed
        assert whole or self._part_of_a_split_write(state), f"reported {self.reported} of {len(self.states) - 1}"
        self.seen["torn"] += bool(recovered.torn_files)
        self.seen["part of a split"] += not whole
        self.seen["later than reported"] += state != self.states[self.reported]
        self.states, self.reported = [state], 0

    def _part_of_a_split_write(self, state: State) -> bool:
        """A group that needs several frames may be there in part: all that it keeps, some of what it adds, its term.

        What was not reported is one group, because every group is flushed before the next is submitted.
        """
        (old, old_hard), (new, new_hard) = self.states[self.reported], self.states[-1]
        entries, hard = state
        kept = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        early = HardState(new_hard.term, new_hard.vote, old_hard.commit)
        return len(entries) >= kept and entries == new[: len(entries)] and hard == early


@pytest.mark.parametrize("first_seed", range(0, 300, 50))
def test_whatever_was_reported_survives_and_the_rest_is_a_prefix(first_seed: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(first_seed, first_seed + 50):
        story = Story(seed)
        try:
            story.run()
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        seen.update(story.seen)
    assert all(seen[kind] for kind in story.seen), f"these seeds do not reach what they are for: {seen}"


def test_the_same_seed_leaves_the_same_disk() -> None:
    for seed in range(5):
        one, two = Story(seed), Story(seed)
        one.run()
        two.run()
        assert one.disk.content() == two.disk.content()
        assert one.disk.operations == two.disk.operations


def test_what_a_start_gave_out_is_durable_even_after_a_failed_sync() -> None:
    """The frame is whole in the cache and absent from the medium: the next start must write it again."""
    for seed in range(20):
        disk = SimulatedDisk()
        log = Log(disk, segment_bytes=1024)
        log.write(birth())
        disk.fail("sync", errno.EIO)
        log.write(append(2, command(2)))
        assert (len(log.fatal), log.done) == (1, [1])
        disk.heal()
        disk.kill()
        log = Log(disk)
        assert len(log.recovered.entries) == 2
        disk.crash(random.Random(seed))
        log = Log(disk)
        assert len(log.recovered.entries) == 2


def test_an_interrupted_rotation_is_finished_at_the_next_start() -> None:
    """The power fails at each operation of a rotation in turn, and the cache survives or does not."""
    for cut in range(12):
        for seed in range(12):
            disk = CuttingDisk()
            log = Log(disk, segment_bytes=1024)
            log.write(birth(), append(2, command(2, 1, b"a" * 300)))
            disk.left = cut
            with contextlib.suppress(PowerCut):
                log.write(append(3, command(3, 1, b"b" * 300)))
            disk.left = None
            for allowed in ((2, 3), (3, 4)):
                disk.kill() if seed == 0 else disk.crash(random.Random(seed))
                log = Log(disk, segment_bytes=1024)
                count = len(log.recovered.entries)
                assert count in allowed
                log.write(append(1, command(count + 1, 1, b"c" * 300)))
            disk.crash(random.Random(seed))
            log = Log(disk, segment_bytes=1024)
            assert len(log.recovered.entries) == count + 1
