"""Outcomes in words: what the core's refusals and a request's end mean to whoever asked.

Why it exists: 503 is promised only where nothing was proposed, 504 for everything that may have happened; this is
where that is decided, once. It must not send or remember anything.
"""

from collections.abc import Callable

import msgspec

from node.raft.errors import LogFull, NotBorn, NotLeader, Overloaded, Refusal, Transferring
from node.raft.messages import ANSWER_BYTES_MAX
from node.runtime.pending import PendingWrite
from node.runtime.ports import Done, DoneUntold, NotProposed, Outcome, Unknown


class _Sent(msgspec.Struct, frozen=True, tag="done"):
    """`Done` between two nodes: `result` is what the state machine makes of its answer for a peer."""

    result: bytes
    index: int
    term: int


_Wire = _Sent | DoneUntold | NotProposed | Unknown

_DECODER: msgspec.msgpack.Decoder[_Wire] = msgspec.msgpack.Decoder(_Wire)

encode_wire: Callable[[_Wire], bytes] = msgspec.msgpack.Encoder().encode


def for_a_peer(outcome: Outcome, encode_result: Callable[[object, int], bytes | None]) -> _Wire:
    """What is said of `outcome` to another node: hardly more than `ANSWER_BYTES_MAX`; see `StateMachine`."""
    if not isinstance(outcome, Done):
        return outcome
    result = encode_result(outcome.result, ANSWER_BYTES_MAX)
    if result is None:
        return DoneUntold(outcome.index, outcome.term, "its answer is too long to be sent here")
    return _Sent(result, outcome.index, outcome.term)


def decode_outcome(data: bytes, sender: str, decode_result: Callable[[bytes], object]) -> Outcome:
    """What `sender` answered; unknown where it cannot be read."""
    try:
        outcome = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Unknown(f"{sender} answered in a form that this version does not know")
    if not isinstance(outcome, _Sent):
        return outcome
    try:
        return Done(decode_result(outcome.result), outcome.index, outcome.term)
    except ValueError:
        return DoneUntold(outcome.index, outcome.term, f"the answer of {sender} cannot be read")


def interrupted(write: PendingWrite, why: str) -> Outcome:
    """A write that gets no answer: unknown once it may be in a log, else never proposed (pitfall 34)."""
    if write.proposed:
        return unanswered(why)
    return NotProposed("no-leader", f"{why}; the write was not proposed")


def unanswered(why: str) -> Unknown:
    """The same of a write that was sent to another node."""
    return Unknown(f"{why}; the write may still happen")


def not_proposed(reason: Refusal) -> NotProposed:
    """A refusal in words for people and a code for programs."""
    match reason:
        case NotLeader(leader):
            where = f"{leader} leads" if leader else "no leader is known; an election may be under way"
            return NotProposed("no-leader", f"this node does not lead: {where}", leader)
        case NotBorn(waiting_for):
            return NotProposed("not-born", waiting_for)
        case LogFull(size_bytes, limit_bytes):
            return NotProposed(
                "log-full",
                f"the log holds {size_bytes} bytes, and for a write of this length at most {limit_bytes} until a "
                "snapshot makes room; where that lasts, raise max_log_bytes on all nodes; reads go on",
            )
        case Overloaded(waiting, limit, unit):
            return NotProposed("overloaded", f"{waiting} {unit} of at most {limit} wait to be committed")
        case Transferring(target):
            return NotProposed("transferring", f"the lead is being handed to {target}; try again at once", target)


def overloaded(who: str) -> NotProposed:
    """Too much waits on `who` ("this node", or a node as the one who asked calls it)."""
    return NotProposed("overloaded", f"too many requests wait on {who}; try again later")


def too_large(size_bytes: int, limit_bytes: int) -> NotProposed:
    """It would never fit in what nodes say to each other."""
    return NotProposed("too-large", f"a write of {size_bytes} bytes is over the limit of {limit_bytes}")
