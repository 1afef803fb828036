"""What is no whole snapshot is refused with a sentence, whatever its bytes are, and nothing of it is ever seen."""

from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.statemachine.sections import CHUNK_BYTES_MAX
from node.statemachine.store import KeyValueStore
from node.statemachine.writes import Put
from tests.statemachine.small import small_pieces
from tests.statemachine.snapshots import restore, restored, snapshot, write
from tests.statemachine.test_leases import GOLDEN as OF_LEASES
from tests.statemachine.test_leases import small_store as store_with_leases
from tests.statemachine.test_sessions import GOLDEN as OF_SESSIONS
from tests.statemachine.test_sessions import small_store as store_with_sessions
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


def split(store: KeyValueStore) -> list[bytes]:
    """A snapshot with every version, and every session and result, in a chunk of its own."""
    with small_pieces(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("node.statemachine.snapshotting.CHUNK_BYTES", 1)
        return snapshot(store)


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
@pytest.mark.parametrize("whole", [GOLDEN, OF_SESSIONS, OF_LEASES], ids=["versions", "sessions", "leases"])
def test_every_byte_flipped_is_refused_or_gives_a_state_that_a_snapshot_can_be_made_of(
    whole: list[bytes], flip: int
) -> None:
    """A flipped byte of a value is another value: checksums are not of this room, but of the one that keeps chunks."""
    said = 0
    for number, chunk in enumerate(whole):
        for at in range(len(chunk)):
            damaged = chunk[:at] + bytes((chunk[at] ^ flip,)) + chunk[at + 1 :]
            chunks = [*whole[:number], damaged, *whole[number + 1 :]]
            store = KeyValueStore()
            if refused(store, chunks):
                said += 1
            else:
                assert snapshot(store) == chunks, "what is taken is what was said"
    assert said > sum(map(len, whole)) // 3


@pytest.mark.parametrize("whole", [GOLDEN, OF_SESSIONS, OF_LEASES], ids=["versions", "sessions", "leases"])
def test_every_length_cut_is_refused(whole: list[bytes], store: KeyValueStore) -> None:
    for number, chunk in enumerate(whole):
        for length in range(len(chunk)):
            assert refused(store, [*whole[:number], chunk[:length], *whole[number + 1 :]])
            assert refused(store, [*whole[:number], chunk[:length]])


@pytest.mark.parametrize(
    ("of", "count"),
    [(small_store, 9), (store_with_sessions, 7), (store_with_leases, 6)],
    ids=["versions", "sessions", "leases"],
)
def test_a_chunk_that_is_missing_doubled_or_in_another_place_is_refused(
    of: Callable[[], KeyValueStore], count: int, store: KeyValueStore
) -> None:
    chunks = split(of())
    assert len(chunks) == count
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


def rows(*sessions: list[object]) -> bytes:
    return encode(["session-rows", 0, sessions])


VERSION = [b"k", b"v", 2, 2, 1, 0]


@pytest.mark.parametrize(
    ("chunks", "sentence"),
    [
        ([], "cut short"),
        ([b""], "no chunk"),
        ([b"\x00" * (CHUNK_BYTES_MAX + 1)], f"at most {CHUNK_BYTES_MAX} bytes"),
        ([GOLDEN[0], encode(["locks", 1, 2])], "a section 'locks', which this version does not know"),
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
        ([*GOLDEN[:2], OF_SESSIONS[1]], "its sessions come once, before its versions"),
        ([*OF_SESSIONS[:2], OF_SESSIONS[1]], "its sessions come once"),
        ([OF_SESSIONS[0], encode(["sessions", 0, 0])], "its sessions come once"),
        ([OF_SESSIONS[0], OF_SESSIONS[2]], "not in order: 0 rows"),
        ([*OF_SESSIONS[:2], encode(["session-rows", 1, [[7, 1, 1, 0, []]]])], "1 rows of sessions come before"),
        ([*OF_SESSIONS[:2], OF_SESSIONS[3]], "should hold 2 sessions with 2 results, and holds 0 with 0"),
        ([*OF_SESSIONS[:2], encode(["session-rows", 0, []])], "damaged"),
        ([*OF_SESSIONS[:2], encode(["session-rows", 0, [[7, 1, 1, 0, []]] * 257])], "damaged"),
        ([*OF_SESSIONS[:2], rows([0, 1, 1, 0, []])], "session 0 stands in the snapshot where it cannot"),
        ([*OF_SESSIONS[:2], rows([7, 1, 1, 0, []], [8, 1, 1, 0, []], [7, 1, 1, 0, []])], "or twice"),
        ([*OF_SESSIONS[:2], rows([7, 1, 1, 2, [[2, 0, b""]]])], "session 7 stands"),
        ([*OF_SESSIONS[:2], rows([7, 1, 1, 0, [[2, 0, b""], [1, 0, b""]]])], "session 7 stands"),
        ([*OF_SESSIONS[:2], rows([7, 1, 1, 0, []], [7, 1, 1, 0, []])], "results of session 7 stand"),
        ([*OF_SESSIONS[:2], rows([7, 1, 1, 0, [[2, 0, b""]]], [7, 1, 1, 0, [[2, 0, b""]]])], "results of session 7"),
        ([*OF_SESSIONS[:2], rows([7, 1, 1, 0, [[2, 0, b""]]], [7, 1, 2, 0, [[3, 0, b""]]])], "results of session 7"),
        ([*OF_LEASES[:2], OF_LEASES[1]], "its leases come once, before its versions"),
        ([OF_LEASES[0], encode(["leases", 0])], "its leases come once"),
        ([OF_LEASES[0], OF_LEASES[2]], "its leases come before its versions"),
        ([*OF_LEASES[:2], OF_LEASES[3]], "should hold 2 leases, and holds 0"),
        ([*OF_LEASES[:2], encode(["lease-rows", []])], "damaged"),
        ([*OF_LEASES[:2], encode(["lease-rows", [[6, 9, 9], [6, 9, 9]]])], "lease 6 stands"),
        ([*OF_LEASES[:2], encode(["lease-rows", [[0, 9, 9]]])], "lease 0 stands"),
        ([*OF_LEASES[:2], encode(["lease-rows", [[6, 1, 9]]])], "lease 6 stands"),
        ([*OF_LEASES[:2], encode(["lease-rows", [[6, 9, 2**63]]])], "damaged"),
        ([*OF_LEASES[:2], OF_SESSIONS[1]], "its sessions come once"),
        ([OF_LEASES[0], *OF_LEASES[3:]], "has lease 5, which is not in the snapshot"),
        ([*OF_SESSIONS[:2], rows([7, 1, 1, 0, [[2, 0, b"\xc1"]]])], "result of write 2 of session 7 is damaged"),
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
@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(GOLDEN + OF_SESSIONS + OF_LEASES)), max_size=5))
def test_no_bytes_make_it_fail_otherwise(chunks: list[bytes]) -> None:
    refused(KeyValueStore(), chunks)
