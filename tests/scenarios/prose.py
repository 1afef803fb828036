"""Messages, writes and traces as a person reads them: the words of the golden files, and nothing else.

`4/2` is the entry at index 4 of term 2; `last 3/1` says how a log ends.
"""

from collections.abc import Sequence

from node.raft.effects import (
    Accepted,
    Apply,
    ConfigChanged,
    Effect,
    Ordered,
    Persist,
    ReadReady,
    Refused,
    Restore,
    Trace,
)
from node.raft.messages import (
    Append,
    AppendReply,
    Birth,
    Heartbeat,
    HeartbeatReply,
    PreVote,
    PreVoteReply,
    RaftMessage,
    ReadContext,
    ReadIndex,
    ReadIndexReply,
    TimeoutNow,
    Vote,
    VoteReply,
)
from node.raft.types import Entry, EntryKind, Member, voted_for
from node.statemachine import writes
from node.statemachine.describe import describe


def entry(item: Entry) -> str:
    numbers = f", as {item.session}.{item.sequence}" if item.session else ""
    return f"{item.index}/{item.term} {_data(item)}{numbers}"


def _data(item: Entry) -> str:
    """The word that stands for a write, or what a write of the store does."""
    if item.kind is not EntryKind.WRITE:
        return item.kind.name.lower()
    try:
        return item.data.decode()
    except UnicodeDecodeError:
        return describe(item)


def result(item: writes.Result | None, again: bool) -> str:
    """What a client is told, or was told before."""
    match item:
        case writes.Registered(session):
            said = f"session {session}"
        case writes.Refused(code):
            said = f"refused, {code}"
        case writes.PutResult(revision):
            said = f"revision {revision}"
        case _:
            said = repr(item)
    return f"{said}, as it was answered before" if again else said


def entries(items: Sequence[Entry]) -> str:
    return ", ".join(entry(item) for item in items) or "no entries"


def members(items: Sequence[Member]) -> str:
    return " ".join(f"{item.name}:{item.incarnation}" for item in items)


def _context(context: ReadContext | None) -> str:
    return "" if context is None else f" round {context.node}.{context.boot}.{context.number}"


def _granted(granted: bool) -> str:
    return "granted" if granted else "refused"


def message(item: RaftMessage) -> str:
    """One message, without sender and receiver."""
    match item:
        case PreVote():
            text = f" last {item.last_index}/{item.last_term} campaign {item.campaign}"
        case PreVoteReply():
            out = f", and you are no member at {item.out_index}/{item.out_term}" if item.out_index else ""
            text = f" {_granted(item.granted)} campaign {item.campaign}{out}"
        case Vote():
            text = f" last {item.last_index}/{item.last_term}{' transfer' if item.transfer else ''}"
        case VoteReply():
            text = f" {_granted(item.granted)}"
        case Append():
            text = f" after {item.prev_index}/{item.prev_term} commit {item.commit}: {entries(item.entries)}"
        case AppendReply(success=True):
            text = f" has {item.index}"
        case AppendReply():
            text = f" refuses {item.index}, try {item.hint_index}/{item.hint_term}"
        case Heartbeat():
            text = f" commit {item.commit}{_context(item.context)}"
        case HeartbeatReply():
            text = _context(item.context)
        case ReadIndex():
            text = _context(item.context)
        case ReadIndexReply():
            text = f"{_context(item.context)} index {item.index}"
        case TimeoutNow():
            text = ""
        case Birth():
            text = f" sees {members(item.view)}" if not item.configuration else " is born"
            challenge = item.challenge
            if challenge is not None:
                text += (
                    f", asks ({challenge.number})" if item.answer else f", answers {challenge.node}({challenge.number})"
                )
            text += ", you are let in" if item.invited else ""
            return f"Birth{text}"
    return f"{type(item).__name__} term {item.term}{text}"


def write(item: Persist) -> str:
    """What a Persist puts on the disk; its `then` is shown by the caller."""
    parts = []
    if item.base is not None:
        parts.append(f"the snapshot of {item.base.index}/{item.base.term} instead of the log")
    if item.truncate_from is not None:
        parts.append(f"cut from {item.truncate_from}")
    if item.entries:
        parts.append(entries(item.entries))
    if item.hard_state is not None:
        hard = item.hard_state
        parts.append(f"term {hard.term} vote {voted_for(hard.vote) or '-'} commit {hard.commit}")
    return "; ".join(parts) or "nothing"


def trace(item: Trace) -> str:
    detail = dict(item.detail)
    if item.kind == "role":
        return f"role: {detail['from']} -> {detail['to']} ({detail['reason']})"
    if item.kind == "term":
        return f"term: {detail['from']} -> {detail['to']}"
    return f"{item.kind}: " + " ".join(f"{key}={value if value != '' else '-'}" for key, value in detail.items())


def effect(item: Effect) -> str:
    """Every effect but Send and Persist, which the world shows with what becomes of them."""
    match item:
        case Trace():
            return trace(item)
        case Apply():
            return f"applies {entries(item.entries)}"
        case Accepted():
            return f"accepts request {_numbers(item.requests)} at {item.first_index}/{item.term}"
        case Refused():
            return f"refuses request {_numbers(item.requests)}: {item.reason}"
        case ReadReady():
            return f"READ {_numbers(item.requests)} may be served at index {item.index}"
        case Ordered(request, done, sentence):
            return f"ANSWER {request}: {'done' if done else 'no'}, {sentence}"
        case ConfigChanged():
            learners = item.configuration.learners
            return f"configuration: {members(item.configuration.voters)}" + (
                f", learners {members(learners)}" if learners else ""
            )
        case Restore(base):
            return f"takes over the state of the snapshot of {base.index}/{base.term}"
    return type(item).__name__


def _numbers(requests: Sequence[int]) -> str:
    return " ".join(str(request) for request in requests)
