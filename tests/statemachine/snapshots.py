"""What tests of snapshots do with a store: take all its chunks, make it from chunks, look at what it keeps."""

from collections.abc import Iterable, Iterator
from itertools import chain, repeat

from node.raft.types import Entry, EntryKind
from node.statemachine.snapshotting import SnapshotJob
from node.statemachine.store import KeyValueStore
from node.statemachine.work import EVERYTHING
from node.statemachine.writes import Result, Write, encode_write


def write(store: KeyValueStore, *writes: Write) -> list[Result | None]:
    """Apply them, one entry each."""
    return store.apply([Entry(i, 1, EntryKind.WRITE, encode_write(each)) for i, each in enumerate(writes, 1)])


def chunks_of(job: SnapshotJob, work_max: int = EVERYTHING) -> list[bytes]:
    """All chunks of a snapshot that has begun."""
    chunks: list[bytes] = []
    done = False
    while not done:
        done = job.run(work_max)
        chunks += job.take()
    job.close()
    return chunks


def snapshot(store: KeyValueStore) -> list[bytes]:
    """All chunks of the store as it is now."""
    return chunks_of(store.begin_snapshot())


def restore(store: KeyValueStore, chunks: Iterable[bytes], works: Iterable[int] = ()) -> None:
    """Put that state in the place of the store's own; `works`: of the slices, the last of it for ever."""
    slices = chain(works, repeat(EVERYTHING))
    job = store.begin_restore()
    try:
        for chunk in chunks:
            job.feed(chunk)
            while not job.run(next(slices)):
                pass
        job.finish()
    finally:
        job.close()


def restored(chunks: Iterable[bytes]) -> KeyValueStore:
    """A new store with that state."""
    store = KeyValueStore()
    restore(store, chunks)
    return store


def tidied(store: KeyValueStore) -> KeyValueStore:
    """The store, once all that nobody needs is gone."""
    while not store.tidy(100):
        pass
    return store


def really_stored(store: KeyValueStore) -> Iterator[tuple[int, int]]:
    """Of each version in memory: bytes of its key, and of its value."""
    versions = store._versions
    for part in versions._newest.parts:
        for key, newest in part.items():
            for kv in (*versions._older.of(key), newest):
                yield len(kv.key), len(kv.value)
