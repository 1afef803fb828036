"""A store of 200,000 keys, and commands as they stand in the log."""

from node.raft.types import Entry, EntryKind
from node.statemachine.store import KeyValueStore
from node.statemachine.writes import Put, Write, encode_write

KEYS = 200_000
VALUE = b"v" * 64
AT_ONCE = 1000


def entry(command: Write, index: int = 1, term: int = 1) -> Entry:
    """A command as it stands in the log."""
    return Entry(index, term, EntryKind.WRITE, encode_write(command))


def full_store(keys: int = KEYS) -> KeyValueStore:
    """It holds so many keys, `key-000000` and so on, written at revisions from 2 on."""
    store = KeyValueStore()
    for first in range(0, keys, AT_ONCE):
        store.apply([entry(Put(b"key-%06d" % i, VALUE)) for i in range(first, min(first + AT_ONCE, keys))])
    return store
