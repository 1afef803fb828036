"""The one trace schema: live stream, simulator, chaos report and golden tests all speak it (decision 12).

Why it exists: one player and one reader for all of them. As NDJSON, one event per line, keys in this order.
It must not know where events come from or go.
"""

import msgspec

KINDS: dict[str, str] = {
    "started": "the process is up; detail: boot, version",
    "leaving": "the process was asked to stop and serves on for a while; detail: wait_ms",
    "stopping": "the process leaves on purpose; detail: reason",
    "fatal": "the node stops because it must; detail: reason",
    "born": "the first configuration is durable; detail: cluster, voters",
    "role": "the role changed; detail: from, to, reason",
    "term": "the term grew; detail: from, to",
    "leader": "this node learned who leads; detail: leader (empty: nobody known)",
    "election": "a campaign began; detail: phase (pre-vote or vote), campaign",
    "won": "this node won an election; detail: votes, voters",
    "vote": "this node answered a vote request; detail: candidate, granted, phase, reason",
    "vote-reply": "an answer to this node's request came in; detail: voter, granted, phase",
    "quorum-lost": "a leader stepped down for want of a quorum; detail: heard",
    "disk-silent": "the disk owes an answer for too long; detail: silent_ms, then (steps down or does not campaign)",
    "truncated": "entries that conflict with the leader's were removed; detail: from, count",
    "append-refused": "a leader's entries did not fit; detail: leader, index, hint",
    "progress": "a follower's progress changed; detail: peer, from, to",
    "refused-message": "a message of a stranger was dropped; detail: peer, reason",
    "answers-lost": "a link did not take answers to a peer's writes or commands in time; detail: peer, count",
    "link": "a peer link changed; detail: peer, lane, direction, up, reason",
    "transfer": "a leader hands over; detail: target, phase (begun, told, done or failed)",
    "fault": "a fault was injected or ended; detail: kind, peer, direction, value, on, reason",
    "stalled": "the loop stood still; detail: ms, doing, own, cpu_ms, more (see node.observe.turns.Stall)",
    "log-full": "the log reached its size limit; detail: bytes, limit",
    "message": "messages ring only: detail: peer, sent, type, and the message's numbers",
}
"""Every kind, and what it means and carries."""


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
