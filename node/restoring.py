"""The store as the latest snapshot holds it, before anything else happens.

Why it exists: storage and state machine do not know each other, and a node and a simulated server begin alike. It must
not know settings, threads or a loop.
"""

from node.statemachine.store import KeyValueStore
from node.statemachine.work import EVERYTHING
from node.storage.errors import StorageError
from node.storage.snapshots import Snapshots


def restored(snapshots: Snapshots) -> tuple[KeyValueStore, int]:
    """A store with the state of the latest snapshot, and the index of the last entry in it; an empty one and 0 where
    there is none. Takes its time. Raises StorageError."""
    store, info = KeyValueStore(), snapshots.latest
    if info is None:
        return store, 0
    job = store.begin_restore()
    try:
        for chunk in snapshots.chunks(info):
            job.feed(chunk)
            while not job.run(EVERYTHING):
                pass
        job.finish()
    except ValueError as error:
        raise StorageError(
            f"the snapshot of entry {info.base.index} holds a state that this version cannot take over: {error}; "
            "start the version that wrote it"
        ) from error
    finally:
        job.close()
    return store, info.base.index
