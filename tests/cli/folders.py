"""Data folders and backups as nodes leave them, made without a node: five members, a store, and a log that a test
writes."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import msgspec

from node.raft.effects import Persist
from node.raft.types import (
    Base,
    Configuration,
    Entry,
    EntryKind,
    HardState,
    Member,
    MemberAddress,
    SnapshotInfo,
    base_of_birth,
)
from node.restoring import restored
from node.statemachine.store import KeyValueStore
from node.statemachine.work import EVERYTHING
from node.statemachine.writes import KeyValue, Put, Register, Result, encode_write, in_session
from node.storage.errors import StorageError
from node.storage.files import OsFiles, prepare_folder
from node.storage.founding import found
from node.storage.recovery import Recovered
from node.storage.snapshots import Snapshots
from node.storage.wal import open_wal
from node.storage.worker import InlineWorker

NAMES = ("n1", "n2", "n3", "n4", "n5")
MEMBERS = Configuration(
    tuple(Member(name, f"disk-of-{name}") for name in NAMES),
    addresses=tuple(MemberAddress(name, f"host-{name}", 9001) for name in NAMES),
)
BIRTH = Entry(1, 0, EntryKind.CONFIGURATION, MEMBERS.encode())
BASE = base_of_birth(BIRTH)


def put(index: int, term: int = 1, key: bytes | None = None) -> Entry:
    """A write of `key` (the index, where None is given) that names its entry."""
    key = b"%d" % index if key is None else key
    return Entry(index, term, EntryKind.WRITE, encode_write(Put(key, b"%d/%d" % (term, index))), time_us=index * 1000)


def puts(last: int, term: int = 1) -> tuple[Entry, ...]:
    """Entries 2 to `last`."""
    return tuple(put(index, term) for index in range(2, last + 1))


def session() -> tuple[Entry, Entry]:
    """Entries 2 and 3: a client's session is begun, and its first write is done."""
    write = in_session(encode_write(Put(b"once", b"1")), 0)
    return (
        Entry(2, 1, EntryKind.WRITE, encode_write(Register(3_600_000_000)), 2000),
        Entry(3, 1, EntryKind.WRITE, write, 3000, session=2, sequence=1),
    )


def repeated(found: "Opened") -> tuple[int, Result | None]:
    """The client of that session repeats its write: the key's version afterwards, and the result."""
    again = msgspec.structs.replace(session()[1], index=found.base.index + 1, time_us=found.base.time_us + 1)
    (result,) = found.store.apply([again])
    kv = found.store.get(b"once")
    assert isinstance(kv, KeyValue)
    return kv.version, result


def folder_of(path: Path, name: str, *entries: Entry, commit: int = 1, term: int = 0) -> Path:
    """The log of `name`, born with the five, then `entries`."""
    term = max(term, *(entry.term for entry in entries), 0)
    wal, _ = open_wal(prepare_folder(path), name, f"disk-of-{name}", _raise, segment_bytes=64 * 1024)
    wal.submit(Persist(1, HardState(0, "", 1), None, (BIRTH,), cluster_id=BASE.cluster_id), lambda _: None)
    wal.submit(Persist(2, HardState(term, "n3/disk-of-n3", commit), None, entries), lambda _: None)
    wal.flush()
    wal.close()
    return path


def append_to(path: Path, name: str, *entries: Entry) -> None:
    """The log goes on, as by a leader of the last one's term."""
    wal, recovered = open_wal(OsFiles(path), name, "another-disk", _raise)
    state = HardState(entries[-1].term, "", recovered.hard_state.commit)
    wal.submit(Persist(1, state, None, entries), lambda _: None)
    wal.flush()
    wal.close()


def voted_in(path: Path, name: str) -> None:
    """The node has given its vote in the next term, and nothing else."""
    wal, recovered = open_wal(OsFiles(path), name, "another-disk", _raise)
    before = recovered.hard_state
    wal.submit(Persist(1, HardState(before.term + 1, "n2/disk-of-n2", before.commit)), lambda _: None)
    wal.flush()
    wal.close()


def chunks_of(*entries: Entry) -> list[bytes]:
    """A store with these writes, as a snapshot has it."""
    store = KeyValueStore()
    store.apply(entries)
    job = store.begin_snapshot()
    while not job.run(EVERYTHING):
        pass
    return job.take()


def backup_file(path: Path, *entries: Entry) -> Path:
    """A backup of a cluster of five that applied these."""
    made = path.parent / f"{path.name}.made"
    last = entries[-1]
    base = Base(last.index, last.term, last.time_us, MEMBERS, BASE.cluster_id, BASE.birth)
    found(prepare_folder(made), MEMBERS.voters[0], base, 7, chunks_of(*entries))
    (snapshot,) = made.glob("*.snap")
    snapshot.rename(path)
    return path


class Opened(NamedTuple):
    """What a start finds in a folder."""

    recovered: Recovered
    store: KeyValueStore

    @property
    def base(self) -> Base:
        return self.recovered.base

    @property
    def info(self) -> SnapshotInfo:
        assert self.recovered.snapshot is not None
        return self.recovered.snapshot

    @property
    def values(self) -> dict[bytes, bytes]:
        result = self.store.range(b"\0", b"\0")
        return {kv.key: kv.value for kv in result.kvs}  # type: ignore[union-attr]


def opened(path: Path, name: str) -> Opened:
    """As a node of that name would start on it; raises `StorageError` where it would not."""
    files = OsFiles(path)
    wal, recovered = open_wal(files, name, "another-disk", _raise)
    try:
        store, _ = restored(Snapshots(files, InlineWorker(_raise, lambda _: None), latest=recovered.snapshot))
    finally:
        wal.close()
    return Opened(recovered, store)


def contents(path: Path) -> dict[str, str]:
    """Every file in the folder with a hash of it, but for the lock."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in path.iterdir()
        if file.is_file() and file.name != "lock"
    }


def _raise(error: StorageError) -> None:
    raise error
