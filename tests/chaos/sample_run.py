"""A run that never happened, as a run records it: three nodes, the leader killed, then cut off; the same every time.

0 s  n1 leads term 1      2 s  n1 is killed, down until 4 s      2.3 s  n2 leads term 2
6 s  n2 is cut off from n1 and n3 until 9 s                      6.4 s  n3 leads term 3
"""

from typing import Literal

from chaos.anatomy import Failover, Moment
from chaos.checks.verdict import Evidence, Verdict
from chaos.evidence.record import RunRecord
from chaos.model import Event, FaultSpan, LogLine, Lost, View
from chaos.report import figures
from chaos.workload.history import Op

S = 1_000_000
ENDED = 12 * S
NODES = ("n1", "n2", "n3")
RUN = "sample-1"


def faults() -> tuple[FaultSpan, ...]:
    return (
        FaultSpan(
            kind="kill-leader",
            title="kill the leader n1 (term 1, sigkill)",
            nodes=("n1",),
            acted_on=("n1", 1),
            injected_us=2 * S,
            effective_us=2 * S + 50_000,
            reverted_us=3 * S + 500_000,
            healed_us=4 * S,
            facts=["sent SIGKILL to process 1 of n1", "n1 runs again"],
        ),
        FaultSpan(
            kind="partition",
            title="cut n2 | n1 n3",
            nodes=NODES,
            groups=(("n2",), ("n1", "n3")),
            acted_on=("n2", 2),
            injected_us=6 * S,
            effective_us=7 * S,
            reverted_us=9 * S,
            healed_us=9 * S + 200_000,
            facts=["proven after 1.0 s"],
        ),
    )


def views() -> tuple[View, ...]:
    """Ten a second of each node that answers."""
    return tuple(
        View(name=node, role=role, term=term, leader="", commit=1, applied=1, asked_us=at - 1000, answered_us=at)
        for at in range(50_000, ENDED, 100_000)
        for node in NODES
        for role, term in [state(node, at)]
        if role
    )


def state(node: str, at: int) -> tuple[str, int]:
    """(role, term) of the node then; role empty: it does not answer."""
    if node == "n1" and 2 * S <= at < 4 * S:
        return "", 0
    if at < 2_290_000:
        return ("leader" if node == "n1" else "pre-candidate" if node == "n2" and at >= 2_200_000 else "follower"), 1
    if at < 6_400_000:
        return ("leader" if node == "n2" else "follower"), 2
    if node == "n2" and at < 9 * S:
        return "pre-candidate", 2
    return ("leader" if node == "n3" else "follower"), 3


def event(seq: int, at: int, node: str, kind: str, term: int, role: str, **detail: str | int | bool) -> Event:
    return Event(seq, 1_700_000_000_000_000 + at, node, kind, term, role, detail, at)


def events() -> tuple[Event, ...]:
    return (
        event(1, -S, "n1", "role", 1, "leader", **{"from": "candidate", "to": "leader"}),
        event(1, 2_200_000, "n2", "role", 1, "pre-candidate", **{"from": "follower", "to": "pre-candidate"}),
        event(2, 2_290_000, "n2", "role", 2, "leader", **{"from": "candidate", "to": "leader"}),
        event(1, 4 * S, "n1", "started", 1, "follower", boot="b2", version="1"),
    )


def history() -> tuple[Op, ...]:
    """A writer and a reader per node, twenty requests per second each."""
    found = []
    kinds: tuple[Literal["write", "read"], ...] = ("write", "read")
    for number, at in enumerate(range(100_000, ENDED - S, 50_000)):
        for node in NODES:
            role, _ = state(node, at)
            outcome: Literal["ok", "fail", "unknown"] = (
                "ok" if role and not (node == "n2" and 6 * S <= at < 9 * S) else "fail"
            )
            if 2 * S <= at < 2_400_000:
                outcome = "unknown" if role else "fail"
            for kind in kinds:
                found.append(
                    Op(
                        client=f"{kind[0]}{node[1]}",
                        number=number,
                        kind=kind,
                        key=f"chaos/{RUN}/w{node[1]}",
                        value=number + 1,
                        via=node,
                        sent_us=at,
                        done_us=at + 20_000,
                        outcome=outcome,
                        code=200 if outcome == "ok" else 0,
                    )
                )
    return tuple(found)


def evidence() -> Evidence:
    return Evidence(
        lost=(Lost("n2", 3, 1 * S, 2 * S),),
        views_dropped=4,
        voters=NODES,
        history=history(),
        views=views(),
        events=events(),
        logs={node: (LogLine(1, 1, "aa"), LogLine(2, 2, "bb")) for node in NODES},
        final={f"chaos/{RUN}/w1": 7},
        final_versions={f"chaos/{RUN}/w1": 7},
        past={f"chaos/{RUN}/w1": ((3, 3, 1), (9, 0, 0))},
        faults=faults(),
        recovered_us=(4 * S + 500_000, None),
        recovery_limit_us=30 * S,
        began_faults_us=2 * S,
        ended_us=ENDED,
        uncertainty_us={"n1": 900, "n2": 400},
    )


def failover() -> Failover:
    return Failover(
        fault=0,
        title="kill the leader n1 (term 1, sigkill)",
        killed="n1",
        old_term=1,
        injected_us=2 * S,
        election_timeout_ms=180.0,
        last_acknowledged=Moment(1_995_000, 0, "n2", f"w2 wrote chaos/{RUN}/w2 = 38"),
        suspicion=Moment(2_200_000, 400, "n2", "election in term 1 (phase pre-vote)"),
        won=Moment(2_290_000, 400, "n2", "won in term 2 (votes 2, voters 3)"),
        first_commit=Moment(2_350_000, 60_000, "n3", "entry 90 of term 2 committed"),
        first_success=Moment(2_420_000, 0, "n3", f"w3 wrote chaos/{RUN}/w3 = 47"),
        new_leader="n2",
        new_term=2,
        terms_burned=0,
        campaigns=1,
        unavailable_us=425_000,
        down_us=2 * S,
    )


def record(given: Evidence | None = None) -> RunRecord:
    given = given or evidence()
    return RunRecord(
        tool_version="0.1.0",
        run=RUN,
        command_line="raft-chaos kill-leader --mode sigkill",
        target_title="the local cluster in ./raft-data",
        target_kind="local",
        seed=7,
        began_wall_us=1_700_000_000_000_000,
        exit_code=0,
        verdicts=(
            Verdict("one-leader-a-term", "safety", "pass", "Each of 3 terms that had a leader had one."),
            Verdict("enough-writes", "effect", "pass", "60 acknowledged writes per second before the first fault."),
        ),
        figures=figures.count(given),
        failovers=(failover(),),
        uncertainty_us={"n1": 900, "n2": 400, "n3": None},
        voters=given.voters,
        faults=given.faults,
        recovered_us=given.recovered_us,
        recovery_limit_us=given.recovery_limit_us,
        began_faults_us=given.began_faults_us,
        ended_us=given.ended_us,
    )
