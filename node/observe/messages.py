"""How a message is shown: its name and its numbers, never its contents.

Why it exists: the trace keeps thousands of messages and must hold on to none of the entries or bodies in them, and
metrics need names that do not change. It must not keep state.
"""

from typing import NamedTuple, cast, get_args

from node.raft.messages import (
    Append,
    AppendReply,
    Birth,
    Command,
    CommandReply,
    Forward,
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

Numbers = dict[str, str | int | bool]


class Look(NamedTuple):
    """How the page shows a message in flight: classes of its style sheet and the letter in it ("+": how many entries).
    `rare`: few, and what people look for, so a sample takes it first. `hidden`: it carries the pages' own figures, and
    is counted but never flies."""

    style: str = ""
    letter: str = ""
    rare: bool = False
    hidden: bool = False


LOOKS: dict[type, Look] = {
    PreVote: Look("vote", "P", rare=True),
    PreVoteReply: Look("vote reply", rare=True),
    Vote: Look("vote", "V", rare=True),
    VoteReply: Look("vote reply", rare=True),
    Append: Look("append", "+"),
    AppendReply: Look("append reply"),
    Heartbeat: Look("heartbeat"),
    HeartbeatReply: Look("heartbeat reply"),
    ReadIndex: Look("read"),
    ReadIndexReply: Look("read reply"),
    TimeoutNow: Look("vote", "T", rare=True),
    Birth: Look(rare=True),
    Report: Look(hidden=True),
    Command: Look("vote", "C", rare=True),
    CommandReply: Look("vote reply", "C", rare=True),
    SnapshotPiece: Look("append", "S"),
    SnapshotPieceReply: Look("append reply"),
}
"""A message that is not here looks like any other. The page takes them from here (`words.js`)."""

RARE = frozenset(kind for kind, look in LOOKS.items() if look.rare)


def _kebab(name: str) -> str:
    return "".join(f"-{c.lower()}" if c.isupper() else c for c in name).lstrip("-")


_NAMES: dict[type, str] = {kind: _kebab(kind.__name__) for kind in get_args(Message)}


def type_name(kind: type) -> str:
    """The class of a message as people write it: "append", "append-reply", "pre-vote"."""
    return _NAMES.get(kind) or _kebab(kind.__name__)


def light(message: Message) -> Message | Numbers:
    """The message itself where it is small, else its numbers alone."""
    kind = type(message)
    if kind is Append:
        append = cast(Append, message)
        entries = append.entries
        if not entries:
            return message
        return {
            "term": append.term,
            "prev_index": append.prev_index,
            "prev_term": append.prev_term,
            "commit": append.commit,
            "entries": len(entries),
            "last_index": entries[-1].index,
        }
    if kind is Forward:
        forward = cast(Forward, message)
        return {"term": forward.term, "proposals": len(forward.proposals)}
    if kind is ForwardReply:
        reply = cast(ForwardReply, message)
        return {"term": reply.term, "answers": len(reply.answers)}
    if kind is Report:
        report = cast(Report, message)
        return {"term": report.term, "body_bytes": len(report.body)}
    if kind is Command:
        command = cast(Command, message)
        return {"request": command.request, "name": command.name}
    if kind is SnapshotPiece:
        piece = cast(SnapshotPiece, message)
        of = {"index": piece.info.base.index, "size_bytes": piece.info.size_bytes}
        return {**of, "offset": piece.offset, "data_bytes": len(piece.data)}
    if kind is CommandReply:
        obeyed = cast(CommandReply, message)
        return {"request": obeyed.request, "outcome_bytes": len(obeyed.outcome)}
    return message


def numbers_of(message: Message) -> Numbers:
    """Every plain field of a message; bytes and tuples as their sizes."""
    numbers: Numbers = {}
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if isinstance(value, (str, int)):
            numbers[name] = value
        elif isinstance(value, bytes):
            numbers[f"{name}_bytes"] = len(value)
        elif isinstance(value, tuple):
            numbers[name] = len(value)
        elif isinstance(value, ReadContext):
            numbers[name] = f"{value.node}/{value.boot}/{value.number}"
    return numbers
