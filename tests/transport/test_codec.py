"""Whatever bytes come in, the codec gives a possible message or one typed error."""

import zlib
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from node.raft import messages as m
from node.raft.types import MEMBERS_MAX, Base, Configuration, Entry, EntryKind, Member, MemberAddress, SnapshotInfo
from node.transport.checks import CHECKS, NUMBER_MAX, PORT_MAX, TEXT_CHARS_MAX, FrameError
from node.transport.codec import (
    CHECKSUM_BYTES,
    PROTOCOL_VERSION,
    UNCHECKED_VERSION,
    DamagedFrame,
    Hello,
    decode,
    encode,
)
from node.transport.port import FRAME_BYTES_MAX

A, B, C = (Member(name, name * 8) for name in "abc")
CONFIGURATION = Configuration((A, B, C)).encode()
CONTEXT = m.ReadContext("a", "boot", 7)
INFO = SnapshotInfo(Base(9, 2, 5, Configuration((A, B, C)), "c" * 32, CONFIGURATION), 1_000, 3, 7)

NUMBERS = st.integers(0, NUMBER_MAX)
TERMS = st.integers(1, NUMBER_MAX)
TEXTS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1, max_size=20)
CONTEXTS = st.builds(m.ReadContext, TEXTS, TEXTS, NUMBERS)


@st.composite
def appends(draw: st.DrawFn) -> m.Append:
    terms = sorted(draw(st.lists(st.integers(1, 50), min_size=1, max_size=8)))
    prev_index = draw(st.integers(1, 1000))
    entries = tuple(
        Entry(prev_index + 1 + n, term, EntryKind.WRITE, draw(st.binary(max_size=30)), draw(NUMBERS), draw(NUMBERS))
        for n, term in enumerate(terms[1:])
    )
    return m.Append(terms[-1] + draw(st.integers(0, 3)), prev_index, terms[0], draw(NUMBERS), entries)


VALID: st.SearchStrategy[Any] = st.one_of(
    appends(),
    st.builds(m.PreVoteReply, NUMBERS, st.booleans(), NUMBERS, TERMS, NUMBERS),
    st.builds(m.VoteReply, NUMBERS, st.booleans()),
    st.builds(m.AppendReply, NUMBERS, st.booleans(), NUMBERS, TERMS, NUMBERS),
    st.builds(m.Heartbeat, TERMS, NUMBERS, st.none() | CONTEXTS),
    st.builds(m.HeartbeatReply, NUMBERS, st.none() | CONTEXTS),
    st.builds(m.ReadIndex, NUMBERS, CONTEXTS),
    st.builds(m.ReadIndexReply, NUMBERS, CONTEXTS, NUMBERS),
    st.builds(
        m.Forward, TEXTS, st.lists(st.builds(m.ForwardedProposal, NUMBERS, st.binary(), NUMBERS, NUMBERS)).map(tuple)
    ),
    st.builds(m.ForwardReply, TEXTS, st.lists(st.builds(m.ForwardedAnswer, NUMBERS, st.binary())).map(tuple), NUMBERS),
    st.builds(m.Report, st.binary(), NUMBERS, st.booleans()),
    st.builds(m.TimeoutNow, TERMS),
    st.builds(m.SnapshotPiece, st.just(INFO), st.integers(0, 900), st.binary(max_size=50), NUMBERS),
    st.builds(m.SnapshotPieceReply, NUMBERS, NUMBERS, NUMBERS, TEXTS, NUMBERS),
    st.builds(m.Command, TEXTS, NUMBERS, TEXTS, st.binary(max_size=50), NUMBERS),
    st.builds(m.CommandReply, TEXTS, NUMBERS, st.binary(max_size=50), NUMBERS),
    st.builds(Hello, NUMBERS, st.just("") | TEXTS, TEXTS, TEXTS, TEXTS, st.sampled_from(m.Lane)),
    st.sampled_from(
        [
            m.PreVote(2, 1, 1, 4),
            m.PreVote(1, 0, 0, 0),
            m.Vote(3, 9, 2, transfer=True),
            m.Append(1, 0, 0, 0, (Entry(1, 1, EntryKind.CONFIGURATION, CONFIGURATION), Entry(2, 1, EntryKind.NOOP))),
            m.Birth((A, B), b"", answer=True),
            m.Birth((A, Member("b", "")), b"", answer=True),
            m.Birth((A, B, C), CONFIGURATION, answer=False, term=3),
        ]
    ),
)


HELLOS = st.one_of(
    st.builds(Hello, st.just(PROTOCOL_VERSION), st.just("") | TEXTS, TEXTS, TEXTS, TEXTS, st.sampled_from(m.Lane)),
    st.just(Hello(PROTOCOL_VERSION, "c", "a", "i", "b", m.Lane.BULK, "a.example", 9001)),
    st.just(Hello(PROTOCOL_VERSION, "c", "a", "i", "b", m.Lane.BULK, "a.example", 9001, PROTOCOL_VERSION)),
)


def assert_possible(value: Any) -> None:
    """A second, naive reading of the rules."""
    if isinstance(value, bool | bytes | None):
        return
    if isinstance(value, int):
        assert 0 <= value < 2**63
    elif isinstance(value, str):
        assert len(value) <= 253
        assert value.isprintable()
    elif isinstance(value, tuple):
        for item in value:
            assert_possible(item)
    else:
        assert_possible(msgspec.structs.astuple(value))
    if isinstance(value, m.Append):
        chain = [(value.prev_index, value.prev_term), *((entry.index, entry.term) for entry in value.entries)]
        assert [index for index, _ in chain] == list(range(value.prev_index, value.prev_index + len(chain)))
        assert sorted(term for _, term in chain) == [term for _, term in chain]
        assert chain[-1][1] <= value.term
        for entry in value.entries:
            if entry.index == 1 or entry.kind is EntryKind.CONFIGURATION:
                assert Configuration.decode(entry.data).voters
    if isinstance(value, m.Birth):
        assert list(value.view) == sorted(value.view)
        assert not value.configuration or Configuration.decode(value.configuration).voters


def framed(body: bytes) -> bytes:
    """Any bytes under a right checksum."""
    return body + zlib.crc32(body).to_bytes(CHECKSUM_BYTES, "big")


def flipped(frame: bytes, bit: int) -> bytes:
    """`frame` with that bit, counted from the first, the other way."""
    changed = bytearray(frame)
    changed[bit // 8] ^= 0x80 >> bit % 8
    return bytes(changed)


@given(VALID)
def test_every_message_survives_the_way(message: Any) -> None:
    assert decode(encode(message)) == message
    assert_possible(message)


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x93\xa2vr\xc3\xc3")
@example(b"\x96\xa1a\x01\x01\x01\x01\xdd\xff\xff\xff\xff")
@example(b"\x94\xa1b\x91\x92\xa1\xff\xa1a\xc4\x00\xc3")
@example(b"\x94\xa2vr\x01\xc3" + b"\x91" * 100_000)
def test_random_bytes_are_refused_with_the_one_error(frame: bytes) -> None:
    with suppress(FrameError):
        assert_possible(decode(frame))
    with suppress(FrameError):
        assert_possible(decode(framed(frame)))


@settings(max_examples=300)
@given(VALID, st.data())
def test_mutated_frames_are_possible_or_refused(message: Any, data: st.DataObject) -> None:
    frame = bytearray(encode(message)[:-CHECKSUM_BYTES])
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(frame) - 1))
        cut = data.draw(st.integers(0, 3))
        frame[position : position + cut] = data.draw(st.binary(max_size=4))
        if not frame:
            break
    with suppress(FrameError):
        assert_possible(decode(framed(bytes(frame))))


@settings(max_examples=60, deadline=None)
@given(st.one_of(VALID.filter(lambda message: not isinstance(message, Hello)), HELLOS))
def test_a_frame_with_any_one_bit_flipped_is_refused_as_damaged(message: Any) -> None:
    frame = encode(message)
    for bit in range(len(frame) * 8):
        with pytest.raises(DamagedFrame, match="checksum"):
            decode(flipped(frame, bit))


def test_a_flipped_bit_in_a_large_entry_is_refused_wherever_it_is() -> None:
    frame = encode(m.Append(2, 1, 1, 0, (entry(2, 1, data=bytes(1_000_000)),)))
    for bit in range(0, len(frame) * 8, 1_000_003):
        with pytest.raises(DamagedFrame):
            decode(flipped(frame, bit))


@pytest.mark.slowest
def test_every_kind_of_message_is_among_those_that_are_damaged_here() -> None:
    seen: set[type[Any]] = set()

    @settings(max_examples=2_000, database=None)
    @given(VALID)
    def look(message: Any) -> None:
        seen.add(type(message))

    look()
    assert seen == {*CHECKS, Hello}


@given(HELLOS, st.data())
def test_a_hello_with_several_bits_flipped_is_damaged_or_of_a_version_that_is_refused(
    hello: Hello, data: st.DataObject
) -> None:
    frame = encode(hello)
    for bit in data.draw(st.lists(st.integers(0, len(frame) * 8 - 1), min_size=2, max_size=4, unique=True)):
        frame = flipped(frame, bit)
    try:
        read = decode(frame)
    except FrameError:
        return
    assert isinstance(read, Hello)
    assert read.version == UNCHECKED_VERSION, "the links refuse it by that"


def addressed(*addresses: MemberAddress) -> m.Birth:
    return m.Birth((A,), Configuration((A,), addresses=addresses).encode(), True)


def entry(index: int, term: int, **changes: Any) -> Entry:
    return Entry(index, term, **{"kind": EntryKind.WRITE, **changes})


MANY = tuple(Member(f"n{number:03}", "x") for number in range(MEMBERS_MAX + 1))
IMPOSSIBLE: list[tuple[Any, str]] = [
    (m.VoteReply(-1, True), "not between 0"),
    (m.VoteReply(2**63, True), "not between 0"),
    (m.PreVoteReply(1, True, -1), "not between 0"),
    (m.PreVoteReply(1, False, 1, 0, 1), "index 0 has term 1"),
    (m.Vote(0, 0, 0), "term 0"),
    (m.PreVote(0, 0, 0, 1), "term 0"),
    (m.Vote(3, 5, 4), "a log that ends in term 4 runs for term 3"),
    (m.PreVote(3, 5, 4, 1), "a log that ends in term 4 runs for term 3"),
    (m.Vote(3, 0, 1), "index 0 has term 1"),
    (m.PreVote(3, -1, 0, 1), "not between 0"),
    (m.Heartbeat(0, 0), "term 0"),
    (m.Heartbeat(1, -1), "not between 0"),
    (m.Heartbeat(1, 1, m.ReadContext("", "b", 1)), "text"),
    (m.HeartbeatReply(1, m.ReadContext("a", "b", -1)), "not between 0"),
    (m.ReadIndex(1, m.ReadContext("a", "b" * 254, 1)), "text"),
    (m.ReadIndexReply(1, CONTEXT, -5), "not between 0"),
    (m.AppendReply(1, True, -1), "not between 0"),
    (m.AppendReply(1, False, 1, hint_index=0, hint_term=1), "index 0 has term 1"),
    (m.Append(0, 0, 0, 0), "term 0"),
    (m.Append(2, 1, 3, 0), "later than 2"),
    (m.Append(2, 0, 1, 0), "index 0 has term 1"),
    (m.Append(2, 1, 1, -1), "not between 0"),
    (m.Append(2, 1, 1, 0, (entry(3, 1),)), "entry 3 follows entry 1"),
    (m.Append(2, 1, 1, 0, (entry(2, 1), entry(2, 1))), "entry 2 follows entry 2"),
    (m.Append(2, 1, 1, 0, (entry(2, 3),)), "impossible term 3"),
    (m.Append(3, 1, 1, 0, (entry(2, 3), entry(3, 2))), "impossible term 2"),
    (m.Append(2, 1, 1, 0, (entry(2, 1, time_us=-1),)), "impossible time"),
    (m.Append(2, 1, 1, 0, (entry(2, 1, session=2**63),)), "impossible time or session"),
    (m.Append(2, 1, 1, 0, (entry(2, 1, sequence=-1),)), "impossible sequence"),
    (m.Append(2, NUMBER_MAX, 1, 0, (entry(2**63, 1),)), "not between 0"),
    (m.Append(2, 0, 0, 0, (entry(1, 1),)), "entry 1 is not a configuration"),
    (m.Append(2, 1, 1, 0, (entry(2, 1, kind=EntryKind.NOOP, data=b"x"),)), "a no-op, has data"),
    (m.Append(2, 1, 1, 0, (entry(2, 1, kind=EntryKind.CONFIGURATION, data=b"x"),)), "configuration is not readable"),
    (m.Append(2, 1, 1, 0, (entry(2, 1, kind=EntryKind.CONFIGURATION, data=Configuration(()).encode()),)), "voters"),
    (m.Birth((A, A), b"", True), "a is listed twice"),
    (m.Birth((B, A), b"", True), "not sorted"),
    (m.Birth((Member("", "x"),), b"", True), "text"),
    (m.Birth((Member("a\x1b[31m", "x"),), b"", True), "not printable"),
    (m.Birth(MANY, b"", True), f"length <= {MEMBERS_MAX}"),
    (m.Birth((A,), Configuration(MANY).encode(), True), f"length <= {MEMBERS_MAX}"),
    (m.Append(2, 1, 1, 0, (entry(2, 1),) * (m.APPEND_ENTRIES_MAX + 1)), f"length <= {m.APPEND_ENTRIES_MAX}"),
    (addressed(MemberAddress("a", "", 1)), "text"),
    (addressed(MemberAddress("a", "h\n", 1)), "text"),
    (addressed(MemberAddress("a", "h", 1, "u\x1b")), "not printable"),
    (addressed(MemberAddress("a", "h", 0)), "listens at port 0"),
    (addressed(MemberAddress("a", "h", PORT_MAX + 1)), "listens at port 65536"),
    (addressed(MemberAddress("a", "h", 1), MemberAddress("a", "g", 1)), "a is listed twice"),
    (m.Report(bytes(m.REPORT_BYTES_MAX + 1)), "longer than 262144 bytes"),
    (m.Birth((A,), Configuration((Member("a", ""),)).encode(), True), "text"),
    (m.Birth((A,), b"\xc1", True), "configuration is not readable"),
    (m.Birth((A,), b"\x93" + b"\x91" * 100_000, True), "configuration is not readable"),
    (m.Birth((A,), Configuration((A,), learners=(A,)).encode(), True), "a is listed twice"),
    (m.Birth((A,), b"", True, term=-1), "not between 0"),
    (m.Forward("boot", (m.ForwardedProposal(-1, b""),)), "not between 0"),
    (m.Forward("boot", (m.ForwardedProposal(1, b"", session=-1),)), "not between 0"),
    (m.ForwardReply("boot", (m.ForwardedAnswer(-1, b""),)), "not between 0"),
    (m.Forward("", ()), "text"),
    (m.ForwardReply("", ()), "text"),
    (m.Forward("b", (m.ForwardedProposal(1, b""),) * (m.FORWARD_PROPOSALS_MAX + 1)), "length <= 256"),
    (m.ForwardReply("b", (m.ForwardedAnswer(1, b""),) * (m.FORWARD_REPLY_ANSWERS_MAX + 1)), "length <= 256"),
    (m.Report(b"", -1), "not between 0"),
    (m.TimeoutNow(0), "term 0"),
    (m.Command("", 1, "c", b"{}"), "text"),
    (m.Command("b", 1, "c\n", b"{}"), "text"),
    (m.Command("b", -1, "c", b"{}"), "not between 0"),
    (m.Command("b", 1, "c", bytes(m.COMMAND_BYTES_MAX + 1)), "longer than 4096"),
    (m.CommandReply("b", 1, bytes(m.OUTCOME_BYTES_MAX + 1)), "longer than"),
    (m.CommandReply("b", -1, b""), "not between 0"),
    (Hello(-1, "", "a", "i", "b", m.Lane.BULK), "not between 0"),
    (Hello(1, "", "", "i", "b", m.Lane.BULK), "text"),
    (Hello(1, "", "a", "i", "b", m.Lane.BULK, oldest=2), "versions from 2 to 1"),
    (Hello(1, "", "a", "i", "b", m.Lane.BULK, oldest=-1), "not between 0"),
    (Hello(1, "", "a", "i\n", "b", m.Lane.BULK), "text"),
    (Hello(1, "", "a", "i", "b", m.Lane.BULK, "h", 0), "an address"),
    (Hello(1, "", "a", "i", "b", m.Lane.BULK, "", 1), "an address"),
    (Hello(1, "", "a", "i", "b", m.Lane.BULK, "h", 65536), "an address"),
    (Hello(1, "x" * 254, "a", "i", "b", m.Lane.BULK), "text"),
]


@pytest.mark.parametrize(("message", "sentence"), IMPOSSIBLE, ids=lambda value: type(value).__name__)
def test_what_no_correct_peer_says_is_refused(message: Any, sentence: str) -> None:
    with pytest.raises(FrameError, match=sentence):
        decode(encode(message))


LONGEST = "b" * TEXT_CHARS_MAX
LONGEST_WRITE = b"x" * m.PROPOSAL_BYTES_MAX
LARGEST: list[m.Message] = [
    m.Append(NUMBER_MAX, 1, 1, 1, (entry(2, 1, data=LONGEST_WRITE, session=NUMBER_MAX, sequence=NUMBER_MAX),)),
    m.Forward(LONGEST, (m.ForwardedProposal(NUMBER_MAX, LONGEST_WRITE, NUMBER_MAX, NUMBER_MAX),), NUMBER_MAX),
    m.Forward(
        LONGEST,
        (m.ForwardedProposal(NUMBER_MAX, b"x", NUMBER_MAX, NUMBER_MAX),) * (m.FORWARD_PROPOSALS_MAX - 1)
        + (m.ForwardedProposal(NUMBER_MAX, b"x" * m.FORWARD_BYTES_MAX, NUMBER_MAX, NUMBER_MAX),),
        NUMBER_MAX,
    ),
    m.ForwardReply(LONGEST, (m.ForwardedAnswer(NUMBER_MAX, b"x" * (m.ANSWER_BYTES_MAX + 1024)),), NUMBER_MAX),
    m.ForwardReply(
        LONGEST,
        (m.ForwardedAnswer(NUMBER_MAX, b"x"),) * (m.FORWARD_REPLY_ANSWERS_MAX - 1)
        + (m.ForwardedAnswer(NUMBER_MAX, b"x" * m.FORWARD_REPLY_BYTES_MAX),),
        NUMBER_MAX,
    ),
    m.Command(LONGEST, NUMBER_MAX, LONGEST, bytes(m.COMMAND_BYTES_MAX), NUMBER_MAX),
    m.CommandReply(LONGEST, NUMBER_MAX, bytes(m.OUTCOME_BYTES_MAX), NUMBER_MAX),
]
HEADROOM_BYTES = 256 * 1024


@pytest.mark.parametrize("message", LARGEST, ids=lambda message: type(message).__name__)
def test_the_largest_message_of_each_kind_stays_far_below_a_frame(message: m.Message) -> None:
    assert len(encode(message)) <= FRAME_BYTES_MAX - HEADROOM_BYTES
    assert decode(encode(message)) == message


def test_a_frame_over_the_limit_is_refused_unread() -> None:
    with pytest.raises(FrameError, match="over the limit"):
        decode(bytes(FRAME_BYTES_MAX + 1))


def test_bytes_after_the_message_are_refused() -> None:
    with pytest.raises(FrameError, match="not a message"):
        decode(framed(encode(m.VoteReply(1, True))[:-CHECKSUM_BYTES] + b"\x00"))


def test_a_later_hello_with_more_fields_can_be_refused_by_its_version() -> None:
    newer = PROTOCOL_VERSION + 1
    later = msgspec.msgpack.encode(["hello", newer, "", "a", "i", "b", 0, "", 0, newer, "something new", 2**32 - 1])
    hello = decode(framed(later[:-CHECKSUM_BYTES]))
    assert isinstance(hello, Hello)
    assert hello.version == PROTOCOL_VERSION + 1


def test_a_hello_of_the_version_without_checksums_can_be_refused_by_its_version() -> None:
    hello = decode(msgspec.msgpack.encode(["hello", UNCHECKED_VERSION, "", "a", "i", "b", 0]))
    assert isinstance(hello, Hello)
    assert hello.version == UNCHECKED_VERSION
    with pytest.raises(FrameError, match="damaged"):
        decode(msgspec.msgpack.encode(m.VoteReply(1, True)))


def test_a_hello_from_before_it_told_an_address_is_read_without_one() -> None:
    before = msgspec.msgpack.encode(["hello", PROTOCOL_VERSION, "c", "a", "i", "b", 0, 2**32 - 1])
    assert decode(framed(before[:-CHECKSUM_BYTES])) == Hello(PROTOCOL_VERSION, "c", "a", "i", "b", m.Lane.CONTROL)


def test_a_hello_tells_where_its_sender_listens_and_who_does_not_know_that_passes_over_it() -> None:
    class Before(msgspec.Struct, array_like=True, tag="hello"):
        version: int
        cluster_id: str
        name: str
        incarnation: str
        boot: str
        lane: m.Lane

    hello = Hello(PROTOCOL_VERSION, "c", "a", "i", "b", m.Lane.BULK, "a.example", 9001)
    assert decode(encode(hello)) == hello
    assert msgspec.msgpack.decode(encode(hello), type=Before).boot == "b"


def test_a_peer_that_knows_no_checksum_reads_the_version_of_our_hello() -> None:
    hello = Hello(PROTOCOL_VERSION, "c", "a", "i", "b", m.Lane.BULK)
    assert msgspec.msgpack.decode(encode(hello), type=m.Message | Hello) == hello


def test_more_entries_than_an_append_may_hold_are_refused_before_one_is_decoded() -> None:
    class Counting(msgspec.Struct, array_like=True, tag="a"):
        term: int
        prev_index: int
        prev_term: int
        commit: int
        entries: tuple[int, ...]

    not_entries = Counting(2, 1, 1, 0, (7,) * (m.APPEND_ENTRIES_MAX + 1))
    with pytest.raises(FrameError, match=f"length <= {m.APPEND_ENTRIES_MAX}"):  # not: the first is no entry
        decode(framed(msgspec.msgpack.encode(not_entries)))


def test_every_message_has_a_check() -> None:
    for kind in m.Message.__args__:
        with pytest.raises(FrameError):
            decode(framed(msgspec.msgpack.encode([kind.__struct_config__.tag, -1])))
        assert kind in CHECKS
