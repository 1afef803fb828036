"""What the dashboard counts of one node: elections, votes, heartbeats, traffic, commit latency, faults.

Why it exists: all of it is known elsewhere (the trace's counts, the links' counters, the driver's latencies); here it
is put into one shape when somebody asks, so that the hot path pays nothing more. It must not keep anything.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from node.observe.trace import Trace
from node.observe.turns import Stall, Turns
from node.raft.messages import Heartbeat
from node.raft.types import Role


class Traffic(Protocol):
    """Counts of one peer since the process started; frames and their bytes, both lanes."""

    @property
    def messages_sent(self) -> int: ...
    @property
    def messages_received(self) -> int: ...
    @property
    def bytes_sent(self) -> int: ...
    @property
    def bytes_received(self) -> int: ...


class Fault(Protocol):
    """What is said of a fault; see `node.runtime.ports.FaultView`."""

    @property
    def kind(self) -> str: ...
    @property
    def peer(self) -> str: ...
    @property
    def direction(self) -> str: ...
    @property
    def value(self) -> float: ...
    @property
    def expires_in_us(self) -> int: ...


class Hop(Protocol):
    """See `node.runtime.onehop.HopCounts`; in answers."""

    @property
    def refused(self) -> int: ...
    @property
    def lost(self) -> int: ...
    @property
    def untold(self) -> int: ...


class Latency(Protocol):
    """See `node.runtime.latency.LatencySummary`; milliseconds."""

    @property
    def recent(self) -> tuple[Any, ...]: ...
    @property
    def p50(self) -> float | None: ...
    @property
    def p99(self) -> float | None: ...
    @property
    def count(self) -> int: ...


class Stats:
    """Asked at each request, on the event loop's thread. `injections`: faults begun so far, by kind. `hop`: what went
    wrong with answers between nodes. By type, `unsent`: messages that no link took; `dropped`: that came in while too
    much waited. `frames_refused`: frames between nodes that were not taken or not sent, by why."""

    def __init__(
        self,
        trace: Trace,
        traffic: Mapping[str, Traffic],
        latency: Callable[[], Latency],
        faults: Callable[[], tuple[Fault, ...]] = tuple,
        injections: Mapping[str, int] | None = None,
        hop: Hop | None = None,
        unsent: Mapping[type, int] | None = None,
        dropped: Mapping[type, int] | None = None,
        turns: Turns | None = None,
        frames_refused: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self.trace = trace
        self.traffic = traffic
        self.latency = latency
        self.faults = faults
        self.turns = turns
        self.injections = injections if injections is not None else {}
        self.hop = hop
        self.unsent = unsent if unsent is not None else {}
        self.dropped = dropped if dropped is not None else {}
        self.frames_refused = frames_refused

    def body(self, role: Role) -> dict[str, object]:
        """`/stats`. Counts are since this process started."""
        counts, latency = self.trace.transition_counts, self.latency()
        started = counts.get(("election", "vote"), 0)
        won = counts.get(("won",), 0)
        heartbeats = {True: 0, False: 0}
        for (sent, _, kind), count in self.trace.message_counts.items():
            if kind is Heartbeat:
                heartbeats[sent] += count
        return {
            "elections": {
                "started": started,
                "won": won,
                "lost": max(0, started - won - int(role is Role.CANDIDATE)),
                "pre_votes": counts.get(("election", "pre-vote"), 0),
            },
            "transitions": {f"{key[1]}->{key[2]}": n for key, n in counts.items() if key[0] == "role"},
            "votes": {
                "granted": counts.get(("vote", "vote", "true"), 0),
                "refused": counts.get(("vote", "vote", "false"), 0),
            },
            "heartbeats": {"sent": heartbeats[True], "received": heartbeats[False]},
            "peers": [
                {
                    "name": name,
                    "messages_sent": traffic.messages_sent,
                    "messages_received": traffic.messages_received,
                    "bytes_sent": traffic.bytes_sent,
                    "bytes_received": traffic.bytes_received,
                }
                for name, traffic in sorted(self.traffic.items())
            ],
            "commit_latency_ms": {
                "recent": latency.recent,
                "p50": latency.p50,
                "p99": latency.p99,
                "count": latency.count,
            },
            "faults": faults_body(self.faults()),
            **({} if self.turns is None else {"stalls": stalls_body(self.turns)}),
            "frames_refused": self.frames_refused(),
        }


def stalls_body(turns: Turns) -> dict[str, object]:
    """When the loop stood still, as JSON; the longest and the last one, None where there was none."""

    def one(stall: Stall | None) -> dict[str, object] | None:
        if stall is None:
            return None
        return {"ms": round(stall.seconds * 1000, 1), "doing": stall.doing, "own": stall.own}

    return {"count": sum(turns.stalls.values()), "longest": one(turns.longest), "last": one(turns.last)}


def faults_body(faults: tuple[Fault, ...]) -> list[dict[str, object]]:
    """Faults as JSON: `value` is milliseconds or percent."""
    return [
        {
            "kind": fault.kind,
            "peer": fault.peer,
            "direction": fault.direction,
            "value": fault.value,
            "expires_in_ms": fault.expires_in_us / 1000,
        }
        for fault in faults
    ]
