"""What a log line says of an entry: keys and sizes, one printable line, for any bytes."""

from hypothesis import given
from hypothesis import strategies as st

from node.raft.types import Configuration, Entry, EntryKind, Member
from node.statemachine.describe import describe
from node.statemachine.writes import Compact, DeleteRange, Put, Txn, encode_write


def said(data: bytes, kind: EntryKind = EntryKind.WRITE) -> str:
    return describe(Entry(7, 1, kind, data))


def test_every_kind_of_entry_has_its_words() -> None:
    assert said(b"", EntryKind.NOOP) == "a new leader's first entry"
    birth = Configuration((Member("n1", "a"), Member("n2", "b")))
    assert said(birth.encode(), EntryKind.CONFIGURATION) == "members n1 n2"
    assert said(encode_write(Put(b"a/b", b"hello"))) == "put a/b (5 bytes)"
    assert said(encode_write(DeleteRange(b"a"))) == "delete a"
    assert said(encode_write(DeleteRange(b"a", b"b"))) == "delete a to b"
    assert said(encode_write(Compact(9))) == "compact to revision 9"


def test_long_and_strange_keys_are_short_and_printable_and_values_never_shown() -> None:
    assert said(encode_write(Put(b"k" * 500, b""))) == f"put {'k' * 40}… (0 bytes)"
    assert said(encode_write(Put(b"\x00\xff\n", b"secret"))) == "put \\x00\\xff\\n (6 bytes)"


def test_of_a_long_transaction_only_its_size_is_told() -> None:
    puts = tuple(Put(b"%d" % i, b"v") for i in range(100))
    short, long = encode_write(Txn((), puts[:2])), encode_write(Txn((), puts))
    assert said(short) == "transaction: 0 compares, 2 or 0 operations"
    assert said(long) == f"transaction of {len(long)} bytes"


@given(st.binary(max_size=60), st.sampled_from(EntryKind))
def test_no_bytes_make_it_fail(data: bytes, kind: EntryKind) -> None:
    assert said(data, kind).isprintable()


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_put_is_one_short_printable_line(key: bytes, value: bytes) -> None:
    text = said(encode_write(Put(key, value)))
    assert text.isprintable()
    assert len(text) < 500
