"""The one trace schema: live stream, simulator, chaos report and golden tests all speak it (decision 12).

Why it exists: one player and one reader for all of them. As NDJSON, one event per line, keys in this order.
It must not know where events come from or go.
"""

from typing import NamedTuple

import msgspec


class EventKind(NamedTuple):
    """What a kind means and carries. `group`: where the page lists it; empty: nowhere. `says`: what happened, for the
    page, without the node's name in front; `{name}` is a detail or a field of the event, `{because}` its reason where
    it has one; empty: it takes more than a template, and stands in the page's `sentences.js`. `counted`: its count is
    kept apart by these of its details, which have few values."""

    meaning: str
    group: str
    says: str = ""
    counted: tuple[str, ...] = ()


KINDS: dict[str, EventKind] = {
    "started": EventKind("the process is up; detail: boot, version", "life", "started, version {version}"),
    "leaving": EventKind("the process was asked to stop and serves on for a while; detail: wait_ms", "life"),
    "stopping": EventKind("the process leaves on purpose; detail: reason", "life", "is stopping{because}"),
    "fatal": EventKind("the node stops because it must; detail: reason", "life", "must stop{because}"),
    "born": EventKind(
        "the first configuration is durable; detail: cluster, voters",
        "life",
        "the cluster is born; its voters are {voters}",
    ),
    "role": EventKind(
        "the role changed; detail: from, to, reason",
        "elections",
        counted=("from", "to"),
    ),
    "term": EventKind("the term grew; detail: from, to", "elections"),
    "leader": EventKind("this node learned who leads; detail: leader (empty: nobody known)", "elections"),
    "leader-gone": EventKind(
        "links to the leader broke without goodbye and its port refuses: its process is gone; detail: leader, boot",
        "elections",
        "saw that the process of {leader} is gone: links broke, its port refuses",
    ),
    "leader-back": EventKind(
        "a leader that was thought to be gone was heard again; detail: leader",
        "elections",
        "heard {leader} again: its process lives",
    ),
    "election": EventKind(
        "a campaign began; detail: phase (pre-vote or vote), campaign", "elections", counted=("phase",)
    ),
    "won": EventKind(
        "this node won an election; detail: votes, voters",
        "elections",
        "won the election of term {term} with {votes} votes",
    ),
    "vote": EventKind(
        "this node answered a vote request; detail: candidate, granted, phase, reason",
        "elections",
        counted=("phase", "granted"),
    ),
    "vote-reply": EventKind(
        "an answer to this node's request came in; detail: voter, granted, phase",
        "elections",
        counted=("phase", "granted"),
    ),
    "quorum-lost": EventKind(
        "a leader stepped down for want of a quorum; detail: heard",
        "elections",
        "stepped down: a majority was not heard ({heard} heard)",
    ),
    "disk-silent": EventKind(
        "the disk owes an answer for too long; detail: silent_ms, then (steps down or does not campaign)",
        "elections",
        "{then}: its disk has not answered for {silent_ms} ms",
    ),
    "truncated": EventKind(
        "entries that conflict with the leader's were removed; detail: from, count",
        "log",
        "removed {count} entries from {from} on, which the leader does not have",
    ),
    "snapshot": EventKind(
        "a snapshot of this node's own state; detail: phase (begun, taken or failed), index, bytes, reason",
        "log",
        "snapshot of {index}: {phase}{because}",
    ),
    "snapshot-sent": EventKind(
        "a follower needs a snapshot; detail: peer, phase (begun, done or given up), index, bytes, reason",
        "log",
        "sends {peer} a snapshot of {index}: {phase}{because}",
    ),
    "snapshot-installed": EventKind(
        "a leader's snapshot took the place of the log; detail: index, last (the last entry before)",
        "log",
        "put the leader's snapshot of {index} in the place of its log, which ended at {last}",
    ),
    "append-refused": EventKind(
        "a leader's entries did not fit; detail: leader, index, hint",
        "log",
        "refused entries of {leader} at {index}: they do not fit",
    ),
    "members": EventKind(
        "a leader appended a change of members; detail: index, says (what then holds)",
        "elections",
        "{says}, by entry {index}",
    ),
    "left-out": EventKind(
        "a member told this node that it was removed while it was away; detail: peer, index",
        "elections",
        "was removed while it was away, says {peer}: at entry {index} it is no member",
    ),
    "progress": EventKind(
        "a follower's progress changed; detail: peer, from, to", "log", "now sends to {peer} in mode {to}, was {from}"
    ),
    "refused-message": EventKind(
        "a message of a stranger was dropped; detail: peer, reason", "links", "dropped a message of {peer}{because}"
    ),
    "answers-lost": EventKind(
        "a link did not take answers to a peer's writes or commands in time; detail: peer, count",
        "links",
        "could not tell {peer} {count} answers in time",
    ),
    "link": EventKind(
        "a peer link changed; detail: peer, lane, direction, up, reason",
        "links",
        counted=("peer", "direction", "up"),
    ),
    "tls-refused": EventKind(
        "connections were not let in; detail: port (client or peer), why, reason, count (since this was told last)",
        "links",
        "refused {count} at the {port} port: {reason}",
    ),
    "tls-renewed": EventKind(
        "a new certificate is in force; detail: for (client or peer), not_after_s (seconds since the epoch)",
        "life",
        "shows a new certificate to each {for}",
    ),
    "tls-not-renewed": EventKind(
        "a certificate or its files are of no use, and what was in force stays; detail: for (client or peer), reason",
        "life",
        "keeps its certificate for each {for}{because}",
    ),
    "access-refused": EventKind(
        "requests were refused for want of a token or a role; detail: why (unauthenticated, denied, or login: a "
        "wrong password), who, asked, "
        "count (since this was told last), reason",
        "links",
        "refused {count} for {asked}: {reason}",
    ),
    "tokens-renewed": EventKind(
        "a new file of tokens is in force; detail: tokens (how many)", "life", "takes {tokens} tokens of a new file"
    ),
    "tokens-not-renewed": EventKind(
        "a new file of tokens is of no use, and what was in force stays; detail: reason",
        "life",
        "keeps the tokens that it had{because}",
    ),
    "audit": EventKind(
        "somebody who is known did what operators do; detail: who, what, outcome (HTTP's status, gRPC's code, denied, "
        "or left: the client did not wait for it), untold (how many before this are in the log alone)",
        "life",
        "{who}: {what} ({outcome})",
    ),
    "transfer": EventKind("a leader hands over; detail: target, phase (begun, told, done or failed)", "elections"),
    "fault": EventKind("a fault was injected or ended; detail: kind, peer, direction, value, on, reason", "faults"),
    "stalled": EventKind(
        "the loop stood still; detail: ms, doing, own, cpu_ms, more (see node.observe.turns.Stall)", "life"
    ),
    "log-full": EventKind(
        "the log reached its size limit; detail: bytes, limit", "log", "the log is full at {bytes} bytes"
    ),
    "message": EventKind("messages ring only: detail: peer, sent, type, and the message's numbers", ""),
}
"""Every kind. The page takes groups and sentences from here (`words.js`)."""


class TraceEvent(msgspec.Struct, frozen=True):
    """One event. `seq` grows by one per event of this process and ring order; `time_us`: wall clock, microseconds
    since the epoch (virtual in the simulator); `role` and `term` are the node's when it happened."""

    seq: int
    time_us: int
    node: str
    kind: str
    term: int
    role: str
    detail: dict[str, str | int | bool]


_ENCODER = msgspec.json.Encoder()


def to_line(event: TraceEvent) -> bytes:
    """One NDJSON line, without the newline."""
    return _ENCODER.encode(event)
