"""What is no whole snapshot is refused with a sentence, whatever its bytes are, and nothing of it is ever seen."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.statemachine.sections import CHUNK_BYTES_MAX
from node.statemachine.store import KeyValueStore
from node.statemachine.writes import Put
from tests.statemachine.small import small_pieces
from tests.statemachine.snapshots import restore, restored, snapshot, write
from tests.statemachine.test_snapshots import GOLDEN, small_store

encode = msgspec.msgpack.encode


@pytest.fixture
def store() -> KeyValueStore:
    store = KeyValueStore()
    write(store, Put(b"here", b"before"))
    return store


def refused(store: KeyValueStore, chunks: Sequence[bytes]) -> str:
    """What is said of `chunks`, which change nothing; empty where they are taken."""
    digest, said = store.digest(), ""
    try:
        restore(store, chunks)
    except ValueError as error:
        said = str(error)
    assert not said or store.digest() == digest
    assert said.isprintable()
    assert len(said) < 500
    return said


def split() -> list[bytes]:
    """A snapshot with every version in a chunk of its own."""
    with small_pieces(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("node.statemachine.snapshotting.CHUNK_BYTES", 1)
        return snapshot(small_store())


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_every_byte_flipped_is_refused_or_gives_a_state_that_a_snapshot_can_be_made_of(flip: int) -> None:
    """A flipped byte of a value is another value: checksums are not of this room, but of the one that keeps chunks."""
    said = 0
    for number, chunk in enumerate(GOLDEN):
        for at in range(len(chunk)):
            damaged = chunk[:at] + bytes((chunk[at] ^ flip,)) + chunk[at + 1 :]
            chunks = [*GOLDEN[:number], damaged, *GOLDEN[number + 1 :]]
            store = KeyValueStore()
            if refused(store, chunks):
                said += 1
            else:
                assert snapshot(store) == chunks, "what is taken is what was said"
    assert said > sum(map(len, GOLDEN)) // 3


def test_every_length_cut_is_refused(store: KeyValueStore) -> None:
    for number, chunk in enumerate(GOLDEN):
        for length in range(len(chunk)):
            assert refused(store, [*GOLDEN[:number], chunk[:length], *GOLDEN[number + 1 :]])
            assert refused(store, [*GOLDEN[:number], chunk[:length]])


def test_a_chunk_that_is_missing_doubled_or_in_another_place_is_refused(store: KeyValueStore) -> None:
    chunks = split()
    assert len(chunks) == 9
    for at in range(len(chunks)):
        assert refused(store, chunks[:at]), "cut short"
        assert refused(store, [*chunks[:at], *chunks[at + 1 :]]), "missing"
        assert refused(store, [*chunks[:at], chunks[at], *chunks[at:]]), "doubled"
        for other in range(at):
            moved = chunks.copy()
            moved.insert(other, moved.pop(at))
            assert refused(store, moved)
            moved = chunks.copy()
            moved[at], moved[other] = moved[other], moved[at]
            assert refused(store, moved)
    assert refused(store, [*chunks, chunks[-1]])
    assert not refused(store, chunks)


VERSION = [b"k", b"v", 2, 2, 1, 0]


@pytest.mark.parametrize(
    ("chunks", "sentence"),
    [
        ([], "cut short"),
        ([b""], "no chunk"),
        ([b"\x00" * (CHUNK_BYTES_MAX + 1)], f"at most {CHUNK_BYTES_MAX} bytes"),
        ([GOLDEN[0], encode(["leases", 1, 2])], "a section 'leases', which this version does not know"),
        ([encode(["store", 9, 4, 1])], "damaged"),
        ([encode(["store", 0, -1])], "no store is at revision 0"),
        ([encode(["store", 9, 10])], "compacted to 10"),
        ([encode(["store", 9, -2])], "compacted to -2"),
        ([GOLDEN[0], encode(["versions", []])], "damaged"),
        ([GOLDEN[0], encode(["versions", [VERSION] * 1_025])], "damaged"),
        ([GOLDEN[0], GOLDEN[1] + b"\x00"], "damaged"),
        ([GOLDEN[0], encode(["versions", [[b"", b"v", 2, 2, 1, 0]]])], "where it cannot"),
        ([GOLDEN[0], encode(["versions", [[b"k", b"", 0, 4, 0, 0]]])], "key b'k'"),
        ([GOLDEN[0], encode(["versions", [[b"k", b"v", 2, 10, 1, 0]]])], "where it cannot"),
        ([GOLDEN[0], encode(["versions", [[b"k", b"v", 3, 2, 1, 0]]])], "where it cannot"),
        ([GOLDEN[0], encode(["versions", [[b"k", b"v", -1, 2, 1, 0]]])], "where it cannot"),
        ([GOLDEN[0], encode(["versions", [[b"k", b"v", 2, 2, -1, 0]]])], "where it cannot"),
        ([GOLDEN[0], encode(["versions", [VERSION, [b"k", b"v", 2, 3, 2, 0]]])], "where it cannot"),
        ([GOLDEN[0], encode(["versions", [[b"k", b"v", 2, 6, 1, 0], [b"k", b"v", 2, 6, 2, 0]]])], "where it cannot"),
        ([GOLDEN[0], encode(["versions", [[b"l", b"v", 2, 2, 1, 0], VERSION]])], "where it cannot"),
        ([*GOLDEN[:2], encode(["end", 4, 8])], "should hold 8 versions of 4 keys, and holds 7 of 4"),
        ([*GOLDEN[:2], encode(["end", 5, 7])], "a part of it is missing"),
        ([*GOLDEN, GOLDEN[1]], "not in order"),
        ([GOLDEN[0], GOLDEN[0]], "not in order"),
        ([GOLDEN[1]], "not in order"),
        ([GOLDEN[2]], "not in order"),
    ],
)
def test_what_is_wrong_is_said(store: KeyValueStore, chunks: list[bytes], sentence: str) -> None:
    assert sentence in refused(store, chunks)


def test_a_refused_restore_stays_refused(store: KeyValueStore) -> None:
    job = store.begin_restore()
    job.feed(GOLDEN[0])
    job.feed(GOLDEN[2])
    with pytest.raises(ValueError, match="a part of it is missing"):
        job.run(1_000)
    for again in (lambda: job.feed(GOLDEN[1]), lambda: job.run(1), job.finish):
        with pytest.raises(ValueError, match="a part of it is missing"):
            again()
    job.close()
    restore(store, GOLDEN)
    assert store.digest() == restored(GOLDEN).digest()


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(GOLDEN)), max_size=5))
def test_no_bytes_make_it_fail_otherwise(chunks: list[bytes]) -> None:
    refused(KeyValueStore(), chunks)
