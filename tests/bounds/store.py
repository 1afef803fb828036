"""A store of 200,000 keys, and commands as they stand in the log."""

from node.raft.types import Entry, EntryKind
from node.statemachine.leases import Lease
from node.statemachine.store import KeyValueStore
from node.statemachine.writes import LeaseGrant, Put, Write, encode_write

KEYS = 200_000
VALUE = b"v" * 64
AT_ONCE = 1000

LEASES, LEASED_KEYS = 100_000, 20_000
"""Leases of a store that has some, each but the last without a key."""


def entry(command: Write, index: int = 1, term: int = 1) -> Entry:
    """A command as it stands in the log."""
    return Entry(index, term, EntryKind.WRITE, encode_write(command))


def full_store(keys: int = KEYS) -> KeyValueStore:
    """It holds so many keys, `key-000000` and so on, written at revisions from 2 on."""
    store = KeyValueStore()
    for first in range(0, keys, AT_ONCE):
        store.apply([entry(Put(b"key-%06d" % i, VALUE)) for i in range(first, min(first + AT_ONCE, keys))])
    return store


def lease(store: KeyValueStore, ends_us: int) -> None:
    """Many leases, and one that has many keys and does not end."""
    for number in range(1, LEASES + 1):
        store._leases.load(Lease(number, 60, ends_us))
    puts = (Put(b"leased-%d" % number, b"", LEASES + 1) for number in range(LEASED_KEYS))
    store.apply([entry(LeaseGrant(LEASES + 1, 10**6)), *map(entry, puts)])
