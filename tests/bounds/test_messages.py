"""No message of a peer holds the loop: each with the largest frame that passes the checks, from the frame to the disk.

The kinds are those of the union `Message`: one that has no case here fails.
"""

from collections.abc import Callable, Sequence
from typing import get_args

import msgspec
import pytest

from node.raft.messages import (
    ANSWER_BYTES_MAX,
    APPEND_ENTRIES_MAX,
    COMMAND_BYTES_MAX,
    FORWARD_PROPOSALS_MAX,
    FORWARD_REPLY_BYTES_MAX,
    OUTCOME_BYTES_MAX,
    PIECE_BYTES_MAX,
    PROBLEM_CHARS_MAX,
    PROPOSAL_BYTES_MAX,
    REPORT_BYTES_MAX,
    Append,
    AppendReply,
    Birth,
    Command,
    CommandReply,
    Forward,
    ForwardedAnswer,
    ForwardedProposal,
    ForwardReply,
    Heartbeat,
    HeartbeatReply,
    Message,
    PreVote,
    PreVoteReply,
    ReadContext,
    ReadIndex,
    ReadIndexReply,
    Report,
    SnapshotPiece,
    SnapshotPieceReply,
    TimeoutNow,
    Vote,
    VoteReply,
)
from node.raft.types import MEMBERS_MAX, Base, Configuration, Entry, EntryKind, MemberAddress, SnapshotInfo
from node.raft.types import Member as Identity
from node.runtime.inputs import WantRead, WantWrite
from node.runtime.requests import PENDING_REQUESTS_MAX
from node.statemachine.writes import KeyValue, Put, PutResult, encode_result, encode_write
from node.transport.codec import encode
from node.transport.port import FRAME_BYTES_MAX
from tests.bounds.member import Member, member
from tests.bounds.meter import TURN_US_MAX
from tests.runtime.doubles import BOOT

LAST = 2**62
CONTEXT = ReadContext("n2", "b" * 253, LAST)
PUT = encode_write(Put(b"k" * 32, b"v" * 64))


def entries_of(data: bytes, count: int, first: int = 2, term: int = 1) -> tuple[Entry, ...]:
    return tuple(Entry(first + i, term, EntryKind.WRITE, data) for i in range(count))


def wide_configuration() -> Configuration:
    """As many members as there may be, with long names."""
    members = tuple(Identity(f"n{i:03}" + "n" * 60, "i" * 32) for i in range(MEMBERS_MAX))
    where = tuple(MemberAddress(m.name, "h" * 253, 9000, "http://" + "u" * 200) for m in members)
    return Configuration(members, (), (), where)


def configurations(count: int, configuration: Configuration) -> tuple[Entry, ...]:
    data = configuration.encode()
    return tuple(Entry(2 + i, 1, EntryKind.CONFIGURATION, data) for i in range(count))


def following(node: Member) -> None:
    node.hear(Heartbeat(1, 1))


def leading_many(node: Member) -> None:
    """With 10,000 writes that nobody has acknowledged, and 10,000 reads that wait for them."""
    node.lead()
    for _ in range(PENDING_REQUESTS_MAX // 2):
        node.shell.post(WantWrite(PUT, node.now + 10_000_000, lambda _outcome: None))
    for _ in range(PENDING_REQUESTS_MAX // 2):
        node.shell.post(WantRead(node.now + 10_000_000, lambda _failed: None))
    node.turns()


def last_index(node: Member) -> int:
    return node.core.status(node.now).last_index


def reading_many(node: Member) -> None:
    """A leader of whom 20,000 reads wait to be confirmed."""
    node.lead()
    node.hear(AppendReply(node.core.term, True, last_index(node)))
    for _ in range(PENDING_REQUESTS_MAX):
        node.shell.post(WantRead(node.now + 10_000_000, lambda _failed: None))
    node.turns()


def asking(node: Member) -> None:
    """A follower whose clients' writes and reads wait for the leader."""
    following(node)
    for _ in range(FORWARD_PROPOSALS_MAX):
        node.shell.post(WantWrite(PUT, node.now + 10_000_000, lambda _outcome: None))
    for _ in range(PENDING_REQUESTS_MAX // 2):
        node.shell.post(WantRead(node.now + 10_000_000, lambda _failed: None))
    node.turns()


def newest_read(node: Member) -> ReadContext:
    contexts = [beat.context for beat in node.said(Heartbeat) if beat.context is not None]
    return contexts[-1]  # type: ignore[no-any-return]


def answer_of(number: int, value_bytes: int) -> ForwardedAnswer:
    kv = KeyValue(b"k", b"v" * value_bytes, 1, 1, 1)
    result = encode_result(PutResult(7, kv))
    return ForwardedAnswer(number, msgspec.msgpack.encode({"type": "sent", "result": result, "index": 7, "term": 1}))


def replies(count: int, value_bytes: int) -> ForwardReply:
    return ForwardReply(BOOT, tuple(answer_of(1 + i, value_bytes) for i in range(count)))


SMALL_CONFIGURATIONS = configurations(APPEND_ENTRIES_MAX, Configuration((Identity("a", "b"),)))
FORWARDED = ForwardedProposal(1, b"x" * PROPOSAL_BYTES_MAX)
MANY_FORWARDED = tuple(ForwardedProposal(1 + i, PUT) for i in range(FORWARD_PROPOSALS_MAX))
SMALL_WRITES = FORWARD_REPLY_BYTES_MAX // FORWARD_PROPOSALS_MAX

Situation = Callable[[Member], None]
Largest = tuple[str, Situation, Callable[[Member], Message]]

LARGEST: Sequence[Largest] = (
    ("PreVote", following, lambda _: PreVote(LAST, LAST, LAST, LAST)),
    ("PreVoteReply", following, lambda _: PreVoteReply(LAST, True, LAST)),
    ("Vote", following, lambda _: Vote(LAST, LAST, LAST, True)),
    ("Vote to a leader with many reads", reading_many, lambda n: Vote(n.core.term + 1, LAST, 1, True)),
    ("Vote to a busy leader", leading_many, lambda n: Vote(n.core.term + 1, LAST, 1, True)),
    ("VoteReply", following, lambda _: VoteReply(LAST, True)),
    ("Append of the most entries", following, lambda _: Append(1, 1, 0, LAST, entries_of(PUT, APPEND_ENTRIES_MAX))),
    ("Append of the longest entry", following, lambda _: Append(1, 1, 0, LAST, entries_of(b"x" * 4_000_000, 1))),
    ("Append of 4 MB", following, lambda _: Append(1, 1, 0, LAST, entries_of(b"x" * 4_000, 1_000))),
    ("Append of configurations", following, lambda _: Append(1, 1, 0, LAST, configurations(90, wide_configuration()))),
    ("Append of the most configurations", following, lambda _: Append(1, 1, 0, LAST, SMALL_CONFIGURATIONS)),
    ("AppendReply to a busy leader", leading_many, lambda n: AppendReply(n.core.term, True, last_index(n))),
    ("AppendReply that refuses", leading_many, lambda n: AppendReply(n.core.term, False, 1, 1, 0)),
    ("Heartbeat", following, lambda _: Heartbeat(1, 1, CONTEXT)),
    ("HeartbeatReply", reading_many, lambda n: HeartbeatReply(n.core.term, newest_read(n))),
    ("ReadIndex", leading_many, lambda n: ReadIndex(n.core.term, CONTEXT)),
    ("ReadIndexReply", asking, lambda n: ReadIndexReply(1, n.said(ReadIndex)[-1].context, 1)),
    ("TimeoutNow", following, lambda _: TimeoutNow(1)),
    ("Birth", following, lambda _: Birth(wide_configuration().voters, wide_configuration().encode(), True, LAST)),
    ("Forward of many", leading_many, lambda n: Forward("b", MANY_FORWARDED, n.core.term)),
    ("Forward of the longest", leading_many, lambda n: Forward("b", (FORWARDED,), n.core.term)),
    ("ForwardReply of many", asking, lambda _: replies(FORWARD_PROPOSALS_MAX, SMALL_WRITES)),
    ("ForwardReply of the longest", asking, lambda _: replies(1, ANSWER_BYTES_MAX - 100)),
    ("Report", following, lambda _: Report(b"\xc1" * REPORT_BYTES_MAX)),
    ("Command", following, lambda _: Command("b" * 253, LAST, "c" * 253, b"{" + b" " * (COMMAND_BYTES_MAX - 1))),
    ("CommandReply", following, lambda _: CommandReply("b" * 253, LAST, b"x" * OUTCOME_BYTES_MAX)),
    ("SnapshotPiece", following, lambda _: SnapshotPiece(wide_snapshot(), 0, b"x" * PIECE_BYTES_MAX, LAST)),
    ("SnapshotPieceReply", leading_many, lambda _: SnapshotPieceReply(LAST, LAST, LAST, "x" * PROBLEM_CHARS_MAX, LAST)),
)


def wide_snapshot() -> SnapshotInfo:
    """One with as long a base as there can be."""
    base = Base(LAST, LAST, LAST, wide_configuration(), "c" * 253, wide_configuration().encode())
    return SnapshotInfo(base, LAST, LAST, LAST)


@pytest.mark.parametrize(("name", "situation", "largest"), LARGEST, ids=[case[0] for case in LARGEST])
def test_a_message(
    name: str, situation: Situation, largest: Callable[[Member], Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    with member(monkeypatch) as node:
        situation(node)
        message = largest(node)
        assert type(message).__name__ == name.split()[0]
        assert len(encode(message)) <= FRAME_BYTES_MAX
        worst = node.walk(lambda: node.hear(message))
        print(f"{name}: {worst}, {node.meter.turns} turns")
        assert worst.us <= TURN_US_MAX, str(worst)


def test_every_kind_of_message_has_a_case() -> None:
    assert {kind.__name__ for kind in get_args(Message)} == {name.split()[0] for name, _, _ in LARGEST}
