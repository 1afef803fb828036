"""What a correct peer could have said: every field of every message, looked at once, before anybody believes it.

Why it exists: msgpack gives the right types; what is possible at all (no negative number, no gap between entries, no
unreadable configuration) is said here. Work is bounded: counts are refused while decoding (`Meta` in
node/raft/messages.py), and a look at an entry or a member costs a microsecond. It must not know the state of this
node.
"""

from collections.abc import Callable
from typing import Any

from node.raft.messages import (
    COMMAND_BYTES_MAX,
    OUTCOME_BYTES_MAX,
    PIECE_BYTES_MAX,
    PROBLEM_CHARS_MAX,
    REPORT_BYTES_MAX,
    Append,
    AppendReply,
    Birth,
    Command,
    CommandReply,
    Forward,
    ForwardReply,
    Heartbeat,
    HeartbeatReply,
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
from node.raft.types import Configuration, Entry, EntryKind, Member, MemberAddress

NUMBER_MAX = 2**63 - 1
"""The largest term, index or counter: what eight signed bytes hold."""

TEXT_CHARS_MAX = 253
"""The longest name, incarnation, boot id or cluster id, in characters (a DNS name's limit)."""

PORT_MAX = 65_535


class FrameError(Exception):
    """This frame cannot come from a correct peer; the message is one sentence saying what is wrong with it."""


def _require(holds: bool, sentence: str) -> None:
    """For what comes seldom: the sentence is made although it is not needed."""
    if not holds:
        raise FrameError(sentence)


def _numbers(kind: str, *numbers: int) -> None:
    for number in numbers:
        if not 0 <= number <= NUMBER_MAX:
            raise FrameError(f"{kind}: the number {number} is not between 0 and {NUMBER_MAX}")


def _text(kind: str, text: str, empty_allowed: bool = False) -> None:
    """Names end up in tables and logs, so what a terminal would obey (control characters) is refused too."""
    if not _is_text(text, empty_allowed):
        raise FrameError(f"{kind}: a text is empty, longer than {TEXT_CHARS_MAX} characters or not printable")


def _is_text(text: str, empty_allowed: bool) -> bool:
    return bool(text or empty_allowed) and len(text) <= TEXT_CHARS_MAX and text.isprintable()


def _position(kind: str, index: int, term: int) -> None:
    """The place of an entry in a log; index 0 stands before the first and has term 0."""
    if not (0 < index <= NUMBER_MAX and 0 <= term <= NUMBER_MAX):
        _numbers(kind, index, term)
        _require(term == 0, f"{kind}: index 0 has term {term}, not 0")


def _leads(kind: str, term: int) -> None:
    if not 0 < term <= NUMBER_MAX:
        _numbers(kind, term)
        raise FrameError(f"{kind}: nobody leads or runs in term 0")


def _members(kind: str, members: tuple[Member, ...], incarnation_may_be_empty: bool = False) -> None:
    """All of them at once: an Append may hold hundreds of configurations."""
    names = [member.name for member in members]
    incarnations = [member.incarnation for member in members]
    _texts(kind, names)
    _texts(kind, incarnations, empty_allowed=incarnation_may_be_empty)
    _once(kind, names)


def _texts(kind: str, texts: list[str], empty_allowed: bool = False) -> None:
    """As `_text`, for many."""
    if texts:
        shortest, longest = min(map(len, texts)), max(map(len, texts))
        if not (shortest or empty_allowed) or longest > TEXT_CHARS_MAX or not "".join(texts).isprintable():
            _text(kind, next(text for text in texts if not _is_text(text, empty_allowed)), empty_allowed)


def _once(kind: str, names: list[str]) -> None:
    if len(dict.fromkeys(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise FrameError(f"{kind}: {twice} is listed twice")


def _configuration(kind: str, data: bytes) -> None:
    try:
        configuration = Configuration.decode(data)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"{kind}: the configuration is not readable: {error}") from None
    _require(len(configuration.voters) > 0, f"{kind}: a configuration without voters")
    _members(kind, (*configuration.voters, *configuration.learners))
    _members(kind, configuration.outgoing)
    if configuration.addresses:
        _addresses(kind, configuration.addresses)


def _addresses(kind: str, addresses: tuple[MemberAddress, ...]) -> None:
    names = [address.name for address in addresses]
    _texts(kind, names)
    _texts(kind, [address.host for address in addresses])
    _texts(kind, [address.client_url for address in addresses], empty_allowed=True)
    _once(kind, names)
    for address in addresses:
        _require(0 < address.port <= PORT_MAX, f"{kind}: {address.name} listens at port {address.port}, which is none")


def _entries(message: Append) -> None:
    """Without `_require`: a message may hold thousands of entries, and building sentences costs more than checks."""
    index, term, last_term = message.prev_index, message.prev_term, message.term
    for entry in message.entries:
        if entry.index != index + 1:
            raise FrameError(f"append: entry {entry.index} follows entry {index}")
        if not term <= entry.term <= last_term:
            raise FrameError(f"append: entry {entry.index} has the impossible term {entry.term}")
        if not (0 <= entry.time_us <= NUMBER_MAX and 0 <= entry.session <= NUMBER_MAX):
            raise FrameError(f"append: entry {entry.index} has an impossible time or session")
        if not 0 <= entry.sequence <= NUMBER_MAX:
            raise FrameError(f"append: entry {entry.index} has an impossible sequence number")
        if entry.kind is not EntryKind.WRITE or entry.index == 1:
            _special_entry(entry)
        index, term = entry.index, entry.term
    _numbers("append", index, term)


def _special_entry(entry: Entry) -> None:
    if entry.kind is EntryKind.CONFIGURATION:
        _configuration("append", entry.data)
    else:
        _require(entry.index > 1, "append: entry 1 is not a configuration")
        _require(not entry.data, f"append: entry {entry.index}, a no-op, has data")


def _context(kind: str, context: ReadContext | None) -> None:
    if context is not None and not _is_plain(context):
        _text(kind, context.node)
        _text(kind, context.boot)
        _numbers(kind, context.number)


def _is_plain(context: ReadContext) -> bool:
    """All three looks at once: there is a context in every round of reads."""
    node, boot = context.node, context.boot
    short = 0 < len(node) <= TEXT_CHARS_MAX and 0 < len(boot) <= TEXT_CHARS_MAX
    return short and 0 <= context.number <= NUMBER_MAX and (node + boot).isprintable()


def _check_pre_vote(m: PreVote) -> None:
    _leads("pre-vote", m.term)
    _numbers("pre-vote", m.campaign)
    _position("pre-vote", m.last_index, m.last_term)
    _require(m.last_term <= m.term, f"pre-vote: a log that ends in term {m.last_term} runs for term {m.term}")


def _check_pre_vote_reply(m: PreVoteReply) -> None:
    _numbers("pre-vote reply", m.term, m.campaign)
    _position("pre-vote reply", m.out_index, m.out_term)
    _texts("pre-vote reply", [m.asker], empty_allowed=True)


def _check_vote(m: Vote) -> None:
    _leads("vote", m.term)
    _position("vote", m.last_index, m.last_term)
    _require(m.last_term <= m.term, f"vote: a log that ends in term {m.last_term} runs for term {m.term}")


def _check_vote_reply(m: VoteReply) -> None:
    _numbers("vote reply", m.term)
    _texts("vote reply", [m.asker], empty_allowed=True)


def _check_append(m: Append) -> None:
    _leads("append", m.term)
    _numbers("append", m.commit)
    _position("append", m.prev_index, m.prev_term)
    if m.prev_term > m.term:
        raise FrameError(f"append: entry {m.prev_index} has term {m.prev_term}, later than {m.term}")
    _entries(m)


def _check_append_reply(m: AppendReply) -> None:
    _numbers("append reply", m.term, m.index)
    _position("append reply", m.hint_index, m.hint_term)


def _check_heartbeat(m: Heartbeat) -> None:
    _leads("heartbeat", m.term)
    _numbers("heartbeat", m.commit)
    _context("heartbeat", m.context)


def _check_heartbeat_reply(m: HeartbeatReply) -> None:
    _numbers("heartbeat reply", m.term)
    _context("heartbeat reply", m.context)


def _check_read_index(m: ReadIndex) -> None:
    _numbers("read index", m.term)
    _context("read index", m.context)


def _check_read_index_reply(m: ReadIndexReply) -> None:
    _numbers("read index reply", m.term, m.index)
    _context("read index reply", m.context)


def _check_timeout_now(m: TimeoutNow) -> None:
    _leads("timeout now", m.term)


def _check_command(m: Command) -> None:
    _numbers("command", m.term, m.request)
    _text("command", m.boot)
    _text("command", m.name)
    _require(len(m.arguments) <= COMMAND_BYTES_MAX, f"command: arguments longer than {COMMAND_BYTES_MAX} bytes")


def _check_command_reply(m: CommandReply) -> None:
    _numbers("command reply", m.term, m.request)
    _text("command reply", m.boot)
    _require(len(m.outcome) <= OUTCOME_BYTES_MAX, f"command reply: an outcome longer than {OUTCOME_BYTES_MAX} bytes")


def _check_birth(m: Birth) -> None:
    _numbers("birth", m.term)
    _members("birth", m.view, incarnation_may_be_empty=True)  # a seed that was not heard has none
    _require(all(a < b for a, b in zip(m.view, m.view[1:], strict=False)), "birth: the view is not sorted")
    if m.configuration:
        _configuration("birth", m.configuration)
    _context("birth", m.challenge)
    _addresses("birth", m.addresses if m.address is None else (m.address,))
    _addresses("birth", m.addresses)
    names = [address.name for address in m.addresses]
    _require(names == sorted(names), "birth: the addresses are not sorted")


def _check_forward(m: Forward) -> None:
    _numbers("forward", m.term)
    _text("forward", m.boot)
    for proposal in m.proposals:
        _numbers("forward", proposal.request, proposal.session, proposal.sequence)


def _check_forward_reply(m: ForwardReply) -> None:
    _numbers("forward reply", m.term, *(answer.request for answer in m.answers))
    _text("forward reply", m.boot)


def _check_report(m: Report) -> None:
    _numbers("report", m.term)
    _require(len(m.body) <= REPORT_BYTES_MAX, f"report: longer than {REPORT_BYTES_MAX} bytes")


def _check_snapshot_piece(m: SnapshotPiece) -> None:
    info, kind = m.info, "snapshot piece"
    _numbers(kind, m.term, info.base.time_us, info.chunks, info.crc, info.size_bytes, m.offset)
    _position(kind, info.base.index, info.base.term)
    _require(info.base.index > 0, f"{kind}: a snapshot of nothing")
    _text(kind, info.base.cluster_id)
    _configuration(kind, info.base.configuration.encode())
    if info.base.birth:
        _configuration(kind, info.base.birth)
    _require(len(m.data) <= PIECE_BYTES_MAX, f"{kind}: longer than {PIECE_BYTES_MAX} bytes")
    _require(m.offset + len(m.data) <= info.size_bytes, f"{kind}: it lies beyond the snapshot's end")


def _check_snapshot_piece_reply(m: SnapshotPieceReply) -> None:
    _numbers("snapshot piece reply", m.term, m.index, m.crc, m.offset)
    fits = len(m.problem) <= PROBLEM_CHARS_MAX and m.problem.isprintable()
    _require(fits, f"snapshot piece reply: a problem longer than {PROBLEM_CHARS_MAX} characters or not printable")


def check_hello(versions: tuple[int, int], cluster_id: str, texts: tuple[str, ...], host: str, port: int) -> None:
    """The fields of a hello: `cluster_id` and `host` may be empty, `texts` (name, incarnation, boot) may not.
    `versions`: the oldest and the newest that are spoken."""
    _numbers("hello", *versions)
    if versions[0] > versions[1]:
        raise FrameError(f"hello: versions from {versions[0]} to {versions[1]}")
    _text("hello", cluster_id, empty_allowed=True)
    _text("hello", host, empty_allowed=True)
    if not 0 <= port <= PORT_MAX or bool(host) != bool(port):
        raise FrameError(f"hello: an address of host {host!r} and port {port}")
    for text in texts:
        _text("hello", text)


CHECKS: dict[type[Any], Callable[[Any], None]] = {
    PreVote: _check_pre_vote,
    PreVoteReply: _check_pre_vote_reply,
    Vote: _check_vote,
    VoteReply: _check_vote_reply,
    Append: _check_append,
    AppendReply: _check_append_reply,
    Heartbeat: _check_heartbeat,
    HeartbeatReply: _check_heartbeat_reply,
    ReadIndex: _check_read_index,
    ReadIndexReply: _check_read_index_reply,
    TimeoutNow: _check_timeout_now,
    Birth: _check_birth,
    Forward: _check_forward,
    ForwardReply: _check_forward_reply,
    Report: _check_report,
    Command: _check_command,
    CommandReply: _check_command_reply,
    SnapshotPiece: _check_snapshot_piece,
    SnapshotPieceReply: _check_snapshot_piece_reply,
}
