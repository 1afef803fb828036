"""Where the time of a failover went, step by step, as the node that won tells it in its trace.

Why it exists: one figure says that a failover is slow, and not what to mend. All nodes and the benchmark share this
machine's clock, so moments of different processes can be put beside each other. It must not kill anything.
"""

import json
import socket
import statistics
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

EVENTS_SECONDS = 0.25
"""So long nothing more comes: the stream has said what there was."""
EVENTS_BYTES_MAX = 8 * 1024 * 1024

STEPS = {
    "links break": "the kernel has taken the process down, and a link of the coming leader broke",
    "leader gone": "no link stands, and a dial is refused: the coming leader has its own evidence",
    "asks": "its turn has come: it asks for pre-votes, in the campaign that won",
    "may win": "a quorum would vote for it, and the evidence is old enough: it asks for votes",
    "won": "a quorum's votes came, on disk there and here",
    "no-op held": "a quorum has its first entry on disk",
    "first write": "a client has its acknowledgement",
}
"""Every step, and what has happened by then."""


def told(port: int) -> list[dict[str, Any]]:
    """The events that a node still has, oldest first; empty where it has no such stream."""
    data = b""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), EVENTS_SECONDS) as stream:
        stream.sendall(b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        while len(data) < EVENTS_BYTES_MAX and (piece := stream.recv(1 << 16)):
            data += piece
    found = []
    for line in data.splitlines():
        with suppress(ValueError):
            event = json.loads(line.removeprefix(b"data: ")) if line.startswith(b"data: ") else None
            if isinstance(event, dict) and "kind" in event:
                found.append(event)
    return found


def steps(events: Sequence[Mapping[str, Any]], killed_us: int, first_write_us: int) -> dict[str, float]:
    """Milliseconds from the kill to each step that was seen. `events`: of all that survived."""
    mine = sorted((event for event in events if event["time_us"] >= killed_us), key=lambda event: event["time_us"])
    won = next((event for event in mine if event["kind"] == "won"), None)
    if won is None:
        return {}
    mine = [event for event in mine if event["node"] == won["node"]]
    at: dict[str, int] = {"won": won["time_us"], "first write": first_write_us}
    held = []
    for event in mine:
        kind, detail, when = event["kind"], event["detail"], event["time_us"]
        if kind == "link" and not detail["up"]:
            at.setdefault("links break", when)
        elif kind == "leader-gone":
            at.setdefault("leader gone", when)
        elif kind == "election" and when <= at["won"]:
            at["asks" if detail["phase"] == "pre-vote" else "may win"] = when  # the last campaign is the one that won
        elif kind == "progress" and detail["to"] == "replicate":
            held.append(when)
    others = won["detail"]["voters"] // 2
    if len(held) >= others > 0:
        at["no-op held"] = held[others - 1]
    return {step: round((at[step] - killed_us) / 1000, 1) for step in STEPS if step in at}


def medians(failovers: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Of each step, over those that saw it."""
    seen = {step: [one[step] for one in failovers if step in one] for step in STEPS}
    return {step: round(statistics.median(times), 1) for step, times in seen.items() if times}
