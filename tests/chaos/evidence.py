"""Evidence made by hand: a good run of three nodes, from which tests spoil one thing at a time."""

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from chaos.checks.verdict import Evidence
from chaos.model import Event, FaultSpan, LogLine, Member, View
from chaos.workload.history import Op

NODES = ("n1", "n2", "n3")
S = 1_000_000
Outcome = Literal["ok", "fail", "unknown"]


def write(
    value: int, sent: float, done: float, outcome: Outcome = "ok", key: str = "chaos/t/w1", via: str = "n1"
) -> Op:
    """Times are seconds."""
    code = {"ok": 200, "fail": 503, "unknown": 504}[outcome]
    return _op("write", value, sent, done, outcome, key, via, code)


def read(value: int, sent: float, done: float, key: str = "chaos/t/w1", via: str = "n2", outcome: Outcome = "ok") -> Op:
    return _op("read", value, sent, done, outcome, key, via, 200 if value else 404)


def _op(
    kind: Literal["write", "read"],
    value: int,
    sent: float,
    done: float,
    outcome: Outcome,
    key: str,
    via: str,
    code: int,
) -> Op:
    return Op(
        client="w1" if kind == "write" else "r1",
        number=value,
        kind=kind,
        key=key,
        value=value,
        via=via,
        sent_us=int(sent * S),
        done_us=int(done * S),
        outcome=outcome,
        code=code,
    )


def view(name: str, at: float, **other: Any) -> View:
    """A follower of n1 in term 3, unless `other` says so."""
    made = View(
        name=name,
        role="leader" if name == "n1" else "follower",
        term=3,
        leader="n1",
        commit=int(at * 10),
        applied=int(at * 10),
        last_index=int(at * 10) + 1,
        incarnation=f"disk-{name}",
        boot=f"boot-{name}",
        voters=tuple(Member(node) for node in NODES),
        asked_us=int(at * S),
        answered_us=int(at * S) + 1000,
    )
    return msgspec.structs.replace(made, **other)


def event(seq: int, node: str, kind: str, term: int, at: float = 0.0, **detail: str | int | bool) -> Event:
    return Event(seq, int(at * S), node, kind, term, "follower", dict(detail), int(at * S), f"boot-{node}")


def log(*terms: int) -> tuple[LogLine, ...]:
    """Entries 1, 2, 3, ... of these terms."""
    return tuple(LogLine(index, term, f"sum-{index}-{term}") for index, term in enumerate(terms, 1))


def cut(groups: tuple[tuple[str, ...], ...], effective: float | None, reverted: float | None) -> FaultSpan:
    return FaultSpan(
        kind="partition",
        title="cut",
        nodes=groups[-1],
        groups=groups,
        acted_on=("n1", 3),
        injected_us=int(((effective or 5.0) - 0.5) * S),
        effective_us=None if effective is None else int(effective * S),
        reverted_us=None if reverted is None else int(reverted * S),
    )


def kill(node: str = "n1", at: float = 5.0, term: int = 3) -> FaultSpan:
    return FaultSpan(
        kind="kill-leader",
        title=f"kill {node}",
        nodes=(node,),
        acted_on=(node, term),
        injected_us=int(at * S),
        effective_us=int(at * S),
        reverted_us=int((at + 1) * S),
    )


def good(history: Iterable[Op] = (), **other: Any) -> Evidence:
    """Ten seconds: twenty writes per second, n1 leading term 3, a fault may begin after five seconds."""
    ops = tuple(history) or writes_and_reads(10.0)
    last = max((op.value or 0 for op in ops if op.kind == "write" and op.outcome == "ok"), default=0)
    made = Evidence(
        voters=NODES,
        history=ops,
        views=tuple(view(name, at / 10) for at in range(100) for name in NODES),
        events=(
            event(1, "n1", "won", 3),
            event(1, "n2", "leader", 3, leader="n1"),
            event(1, "n3", "started", 3),
        ),
        logs={name: log(0, *[3] * 99) for name in NODES},
        final={"chaos/t/w1": last},
        final_versions={"chaos/t/w1": sum(op.kind == "write" and op.outcome == "ok" for op in ops)},
        faults=(),
        recovered_us=(),
        recovery_limit_us=3 * S,
        began_faults_us=5 * S,
        ended_us=10 * S,
    )
    return msgspec.structs.replace(made, **other)


def writes_and_reads(seconds: float) -> tuple[Op, ...]:
    """Every node acknowledges a third of the writes."""
    ops: list[Op] = []
    for number in range(1, int(seconds * 20) + 1):
        at = number / 20 - 0.05
        two = write(number, at, at + 0.01, via=NODES[number % 3]), read(number, at + 0.02, at + 0.03)
        ops += [msgspec.structs.replace(op, revision=number + 1) for op in two]
    return tuple(ops)
