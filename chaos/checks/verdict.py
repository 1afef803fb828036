"""What a check looks at, and what it says.

Why it exists: every check is a pure function of the same evidence, so a kept run can be judged again by newer checks. A
check that lacks what it needs says "unknown", never "pass".
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from chaos.model import Event, FaultSpan, LogLine, Lost, Pause, View
from chaos.workload.history import Op, PastRead

Group = Literal["safety", "recovery", "effect"]
Outcome = Literal["pass", "fail", "unknown", "not-applicable"]
"""not-applicable: this system cannot show what the check needs. It says nothing, and costs a run nothing."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run recorded. `voters`: of the committed configuration at the start. `logs`: by node, at the end.
    `final`: by key, the value read linearizably after the heal (0: absent); empty: it could not be read.
    `ended_us`: when the recording ended; `recovered_us`: when the cluster was whole again after each fault's end.
    `final_versions`: by key, how often it was written, read with `final`; empty: unknown. `past`: by key, what it held
    at the revisions of its acknowledged writes, read last; what could not be read is left out. `uncertainty_us`: by
    node, how far the times of its events may be off, but for those beside a step of its clock. `lost`: events that
    could not be kept; `views_dropped`: samples that showed nothing new and were thinned out. `pauses`: when the
    tool itself stood still. `workload`: what clients did; `system`: what the nodes are; `lacks`: what such nodes do
    not show (systems/port.py)."""

    voters: tuple[str, ...]
    history: Sequence[Op]
    views: tuple[View, ...]
    events: tuple[Event, ...]
    logs: Mapping[str, tuple[LogLine, ...]]
    final: Mapping[str, int]
    faults: tuple[FaultSpan, ...]
    recovered_us: tuple[int | None, ...]
    recovery_limit_us: int
    began_faults_us: int
    ended_us: int
    final_versions: Mapping[str, int] = {}
    past: Mapping[str, tuple[PastRead, ...]] = {}
    uncertainty_us: Mapping[str, int] = {}
    lost: tuple[Lost, ...] = ()
    views_dropped: int = 0
    pauses: tuple[Pause, ...] = ()
    workload: str = "registers"
    system: str = "raft-node"
    lacks: tuple[str, ...] = ()

    def off_us(self, event: Event) -> int:
        """How far the time of that event may be off."""
        return max(event.off_us, self.uncertainty_us.get(event.node, 0))


class Verdict(msgspec.Struct, frozen=True):
    """`group` decides the exit code of a failure: "safety" 1, "recovery" 2, "effect" 3. `sentence` names what was seen
    (nodes, terms, values); `proof`: the records that contradict each other, one line each."""

    check: str
    group: Group
    outcome: Outcome
    sentence: str
    proof: tuple[str, ...] = ()
