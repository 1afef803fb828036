"""Long lives of one disk, drawn by seed: writes, truncations, snapshots, compaction, installs, and the power fails
anywhere. What a start finds is a state that the node was in, and never an older one than it was told of."""

import random
from collections import Counter

import msgspec
import pytest

from node.raft.types import UNBORN, Base, Configuration, Entry, EntryKind, HardState, Member, base_of_birth
from node.storage.recovery import Recovered
from tests.storage.logs import FIRST, NAME, Log, append, birth, command, rebase, snapshot_at
from tests.storage.snapshotting import SnapshotBench
from tests.storage.test_crashes import CuttingDisk, PowerCut

BORN = base_of_birth(FIRST)


class State(msgspec.Struct, frozen=True):
    """All that a node knows: the log from `base` on, what must not be forgotten, and up to where its snapshot goes."""

    base: Base = UNBORN
    entries: tuple[Entry, ...] = ()
    hard: HardState = HardState()
    snapshot: int = 0

    @property
    def last(self) -> int:
        return self.base.index + len(self.entries)

    def base_at(self, index: int) -> Base:
        """What a base at that entry says."""
        if index == self.base.index:
            return self.base
        configuration = self.base.configuration
        for entry in self.entries[: index - self.base.index]:
            if entry.kind is EntryKind.CONFIGURATION:
                configuration = Configuration.decode(entry.data)
        at = self.entries[index - self.base.index - 1]
        return Base(index, at.term, at.time_us, configuration, BORN.cluster_id, BORN.birth)

    def is_found_in(self, recovered: Recovered) -> bool:
        """Whether a start found this one; what a log does not keep any more is in the snapshot."""
        base = recovered.base
        if not self.base.index <= base.index <= self.last or (base.index and base.index > self.snapshot):
            return False
        known = self.base_at(base.index) if base.index or self.entries else BORN
        return (
            (base == (known if self.base.cluster_id or base.index else UNBORN) or base == BORN == known)
            and recovered.entries == self.entries[base.index - self.base.index :]
            and recovered.hard_state == self.hard
            and (recovered.snapshot.base.index if recovered.snapshot else 0) == self.snapshot
        )


def chunks_at(index: int) -> tuple[bytes, ...]:
    return b"%d " % index * 200, b"\0" * 300


class Story:
    """One seed: a disk, the state that the node is in, and those that it may be in once what it does is done."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.disk = CuttingDisk()
        self.states = [State()]
        self.token = 0
        self.seen = Counter[str]()

    def run(self) -> None:
        for _ in range(10):
            self.disk.left = None
            self.log = Log(self.disk, segment_bytes=1024)
            self._check(self.log.recovered)
            self.bench = SnapshotBench(self.disk, recovered=self.log.recovered)
            self.disk.left = self.rng.randint(5, 400)
            try:
                self._live()
            except PowerCut:
                self.seen["power cut"] += 1
            self.disk.left = None
            self.disk.kill() if self.rng.random() < 0.3 else self.disk.crash(self.rng)

    def _live(self) -> None:
        steps = [self._append] * 6 + [
            self._truncate,
            self._configure,
            self._take,
            self._take,
            self._compact,
            self._install,
        ]
        while True:
            self.rng.choice(steps)()
            self.states = self.states[-1:]

    def _check(self, recovered: Recovered) -> None:
        found = [state for state in self.states if state.is_found_in(recovered)]
        assert found, f"found {recovered}, which is none of {self.states}"
        self.seen["an older state"] += found[-1] != self.states[-1]
        self.seen["compacted"] += recovered.base.index > 0
        if recovered.snapshot is not None:
            self.seen["snapshot"] += 1
            bench = SnapshotBench(self.disk, recovered=recovered)
            index = recovered.snapshot.base.index
            assert tuple(bench.snapshots.chunks(recovered.snapshot)) == chunks_at(index)
        self.states = [found[-1]]

    @property
    def _state(self) -> State:
        return self.states[-1]

    def _next(self, **changes: object) -> None:
        self.states.append(msgspec.structs.replace(self._state, **changes))

    def _append(self, *, kind: EntryKind = EntryKind.WRITE, data: bytes = b"") -> None:
        self.token += 1
        state = self._state
        if not state.base.cluster_id:
            self._next(base=BORN, entries=(FIRST,))
            self.log.write(birth(self.token))
            return
        term = max(state.hard.term, 1)
        entry = command(state.last + 1, term, data or b"%d" % self.token * self.rng.choice((1, 30, 200)))
        entry = msgspec.structs.replace(entry, kind=kind)
        hard = HardState(term, NAME, self.rng.randint(max(state.hard.commit, state.last - 3), state.last))
        self._next(entries=(*state.entries, entry), hard=hard)
        self.log.write(append(self.token, entry, state=hard))

    def _configure(self) -> None:
        if self._state.base.cluster_id:
            members = (Member(NAME, "1"), Member(f"other-{self.token}", "2"))
            self._append(kind=EntryKind.CONFIGURATION, data=Configuration(members).encode())
            self.seen["configured"] += 1

    def _truncate(self) -> None:
        state = self._state
        first = max(state.hard.commit, state.base.index, 1) + 1
        if state.base.cluster_id and first <= state.last:
            self.token += 1
            start = self.rng.randint(first, state.last)
            hard = HardState(state.hard.term + 1, "", state.hard.commit)
            more = (command(start, hard.term, b"instead"),) if self.rng.random() < 0.6 else ()
            self._next(entries=(*state.entries[: start - state.base.index - 1], *more), hard=hard)
            self.log.write(append(self.token, *more, truncate_from=start, state=hard))
            self.seen["truncated"] += 1

    def _take(self) -> None:
        state = self._state
        index = min(state.hard.commit, state.last)
        if index > max(state.snapshot, state.base.index):
            self._next(snapshot=index)
            self.bench.taken(state.base_at(index), *chunks_at(index))
            self.seen["taken"] += 1

    def _compact(self) -> None:
        if self._state.snapshot:
            self.log.wal.compact(self.rng.randint(max(0, self._state.snapshot - 5), self._state.snapshot))

    def _install(self) -> None:
        """A snapshot that is ahead of what is committed; it may say otherwise than the log what stands there."""
        state = self._state
        term = state.hard.term + 1
        index = max(state.hard.commit, state.base.index, state.snapshot, 1) + self.rng.randint(1, 10)
        configuration = Configuration((Member(NAME, "1"), Member(f"sent-{index}", "2")))
        base = Base(index, term, index, configuration, BORN.cluster_id, BORN.birth)
        source = CuttingDisk()
        info = snapshot_at(source, base, *chunks_at(index))
        data = source.content()[f"snapshot-{index:016d}.snap"]
        hard = HardState(term, state.hard.vote if term == state.hard.term else "", index)
        self._next(base=base, entries=(), hard=hard, snapshot=index)
        assert self.bench.receive(info, data, 200) == (info, "")
        self.token += 1
        self.log.write(rebase(self.token, base, state=hard))
        self.states = self.states[-1:]
        self.seen["installed"] += 1


@pytest.mark.parametrize("first_seed", [0, pytest.param(50, marks=pytest.mark.slowest)])
def test_whatever_a_node_was_told_of_is_found_again(first_seed: int) -> None:
    seen = Counter[str]()
    for seed in range(first_seed, first_seed + 50):
        story = Story(seed)
        try:
            story.run()
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        seen.update(story.seen)
    kinds = ("power cut", "an older state", "compacted", "snapshot", "configured", "truncated", "taken", "installed")
    assert all(seen[kind] for kind in kinds), f"these seeds do not reach what they are for: {seen}"
