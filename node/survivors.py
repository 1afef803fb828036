"""What is left of a cluster that lost its majority for good, and a new cluster that goes on with it.

Why it exists: no log can be committed any more, so no change of members can; somebody has to decide, while no node
runs, whose log counts. The new cluster has another id and its members other disks: nobody of the old one can talk to
it, and no old promise is taken for a new one. As recovering.py it may know every concrete class. It must not decide who
survives.

Whose log counts. An election would choose the log that ends last, by term and then by index (5.4.1), and so it is here:
two that end alike are equal (log matching), so all of them may go on together, and the others have nothing to add. But
votes of a majority are missing, so one thing is asked beside it: whoever goes on holds all that any survivor *knows* to
be committed. A log may end last and lack it, where its last entries are of a leader whose term came to nothing (figure
8). What was committed and no survivor knows of it, nobody can tell. Entries of old terms and new ones are not confused:
a new leader's term is above that of every member that goes on.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from node import cures
from node.raft.log import RaftLog
from node.raft.types import Base, Configuration, Member, SnapshotInfo
from node.restoring import restored
from node.statemachine.store import KeyValueStore
from node.statemachine.work import EVERYTHING
from node.storage import swapping
from node.storage.continuity import join
from node.storage.errors import StorageError, from_os_error
from node.storage.files import FilePort, OsFiles
from node.storage.founding import INDEX_GAP, disk_number, found, new_base
from node.storage.recovery import Recovered, survey
from node.storage.replay import Replay
from node.storage.scanning import scan
from node.storage.snapshot_files import look
from node.storage.snapshots import Snapshots
from node.storage.worker import InlineWorker

WORK_AT_ONCE = 100_000
"""Units of work of the store in one go: what is made is written before more is."""


class Point(msgspec.Struct, frozen=True, order=True):
    """An entry. The greater one is the later."""

    term: int
    index: int

    def __str__(self) -> str:
        return f"{self.term}/{self.index}"


class Position(msgspec.Struct, frozen=True):
    """Where a log ends, and up to where its node knew that all was committed; written `7/1204:7/1200`."""

    end: Point
    committed: Point

    def __str__(self) -> str:
        return f"{self.end}:{self.committed}"


class Survivor(NamedTuple):
    """The folder of one member as it was read, and not changed."""

    recovered: Recovered
    log: RaftLog

    @property
    def position(self) -> Position:
        log, commit = self.log, max(self.recovered.hard_state.commit, self.recovered.base.index)
        return Position(Point(log.last_term, log.last_index), Point(log.term_at(commit) or 0, commit))

    @property
    def member(self) -> Member:
        return Member(self.recovered.name, self.recovered.incarnation)

    @property
    def configuration(self) -> Configuration:
        return self.log.configuration

    def holds(self, point: Point) -> bool:
        """Whether that entry, and so all before it, is in this log, or in what lies before it."""
        return point.index <= self.log.base.index or self.log.term_at(point.index) == point.term


class CannotGoOn(Exception):
    """Why this survivor may not; one sentence. `leave_out`: its position must not be counted either."""

    def __init__(self, reason: str, leave_out: bool) -> None:
        super().__init__(reason)
        self.leave_out = leave_out


class GoneOn(NamedTuple):
    """A member of the new cluster: what it begins with, and the folder in which the old files are kept."""

    info: SnapshotInfo
    revision: int
    keys: int
    kept: str


def read_survivor(files: FilePort) -> Survivor:
    """What is there; the lock is held. Raises `StorageError`."""
    first = next(scan(files, Replay()), None)
    log = survey(files, first.header.name) if first is not None else None
    if log is None or not log.recovered.cluster_id:
        what = f"{files.folder} holds no log of a cluster"
        raise StorageError(f"{what}: {cures.CHOOSE_FOLDER}", file=files.folder)
    recovered = join(files, log.recovered, log.first, look(files, log.recovered.base))
    return Survivor(recovered, RaftLog(recovered.entries, recovered.base))


def going_on(found: Survivor, positions: Mapping[str, Position]) -> list[str]:
    """The names of those that go on, by the positions of all survivors, `found` among them. Raises `CannotGoOn` where
    that one lacks what another has."""
    name, end = found.member.name, found.position.end
    for other, at in positions.items():
        if not found.holds(at.committed):
            raise CannotGoOn(
                f"{other} knows that entry {at.committed.index} of term {at.committed.term} is committed, and "
                f"the log of {name} lacks it: {name} cannot go on, so leave it out.",
                leave_out=True,
            )
    last: Point = max(at.end for at in positions.values())
    if end < last:
        better = ", ".join(other for other, at in positions.items() if at.end == last)
        raise CannotGoOn(
            f"{name} ends at {end}, and {better} at {last}: {name} has nothing to add and cannot go on. Once the new "
            f"cluster runs, start {name} on an empty folder and let it in (members add).",
            leave_out=False,
        )
    return [other for other, at in positions.items() if at.end == end]


def go_on(files: OsFiles, survivor: Survivor, names: Sequence[str], chance: str) -> GoneOn:
    """Make `names`, whose logs all end where this one does, the members of a new cluster that holds all of that log.
    The lock is held, what is there now is kept beside. `chance`: tells the new cluster from others that were made
    likewise; the same for all of `names`. Raises `StorageError`: then nothing was changed, or `swapping.finish` goes
    on."""
    try:
        info, store = make_anew(swapping.making(files), files, survivor, names, chance)
        kept = swapping.swap(files)
    except OSError as error:
        raise from_os_error(error, "write to", files.folder) from error
    return GoneOn(info, store.revision, store.key_count, kept)


def make_anew(
    empty: FilePort, files: FilePort, survivor: Survivor, names: Sequence[str], chance: str, gap: int = INDEX_GAP
) -> tuple[SnapshotInfo, KeyValueStore]:
    """In the `empty` folder, what the survivor whose folder is `files` begins with as a member of the new cluster."""
    configuration = _configuration(survivor, sorted(names), chance)
    member = next(member for member in configuration.voters if member.name == survivor.member.name)
    log = survivor.log
    base = new_base(Base(log.last_index, log.last_term, log.last_time_us), configuration, gap)
    store = _state(files, survivor.recovered)
    return found(empty, member, base, survivor.recovered.hard_state.term, _chunks(store)), store


def _configuration(survivor: Survivor, names: Sequence[str], chance: str) -> Configuration:
    facts = (f"survivors of {survivor.recovered.cluster_id} at {survivor.position.end}", chance, *names)
    voters = tuple(Member(name, disk_number(name, *facts)) for name in names)
    addresses = tuple(address for address in survivor.configuration.addresses if address.name in names)
    return Configuration(voters, addresses=addresses)


def _state(files: FilePort, recovered: Recovered) -> KeyValueStore:
    """With every entry applied: what was not committed is so by this decision."""

    def fail(error: Exception) -> None:
        raise error

    store, applied = restored(Snapshots(files, InlineWorker(fail, lambda _: None), latest=recovered.snapshot))
    job = store.begin(recovered.entries[max(0, applied - recovered.base.index) :], lambda _index: False)
    while not job.run(EVERYTHING):
        pass
    return store


def _chunks(store: KeyValueStore) -> Iterator[bytes]:
    job = store.begin_snapshot()
    try:
        done = False
        while not done:
            done = job.run(WORK_AT_ONCE)
            yield from job.take()
    finally:
        job.close()
