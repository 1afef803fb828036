"""What a test sees of a partition with its own eyes: nodes and clients are asked through `kubectl port-forward`.

Why it exists: `raft-chaos` proves its own cuts, and a proof that is wrong would be believed. So nothing of the tool is
used here: the nodes say when they heard of whom, and writes show who can still decide. It changes one key.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

from tests.kubernetes.doors import PortForward
from tests.kubernetes.kube import until

Doors = Mapping[str, PortForward]
QUIET_SECONDS = 2.0
"""Some twenty heartbeats."""
ANSWER_SECONDS_MAX = 20.0
LEADER_SECONDS_MAX = 15.0
KEY = "/kv/witness"


def nothing_passes_between(doors: Doors, minority: Sequence[str]) -> None:
    """For a while nobody hears the other side, the majority's side talks and writes, and the minority acknowledges
    nothing. Ask while the cut holds, for some seconds more."""
    majority = [node for node in doors if node not in minority]
    acknowledges_nothing(doors, minority)
    blocked = [(a, b) for a in doors for b in doors if (a in minority) != (b in minority)]
    heard = nothing_passes_over(doors, blocked)
    assert [pair for pair in heard if set(pair) <= set(majority)], f"the majority {majority} does not talk"
    writes_through(doors, majority[0])


def nothing_passes_over(doors: Doors, blocked: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
    """For a while nobody hears over the blocked pairs (who says, who would hear it); the pairs over which something was
    heard meanwhile.

    It counts what was heard after the first answer, by the listener's own clock. That the moment of last contact moves
    says nothing: a node reads its clock and its ages one after the other, and a busy machine stops it in between.
    """
    asked_at = {node: _now(_answer(doors, node)) for node in doors}
    time.sleep(QUIET_SECONDS)  # that nothing happens has no event
    heard = {(said, who) for (who, said), at in _last_heard(doors).items() if at > asked_at[who]}
    crossing = sorted(heard & set(blocked))
    assert not crossing, f"heard over the cut: {crossing}"
    return heard


def acknowledges_nothing(doors: Doors, cut_off: Sequence[str]) -> None:
    """A write through each of them comes to nothing."""
    refused = [doors[node].ask(KEY, "PUT", b"minority") for node in cut_off]
    assert not [answer for answer in refused if answer is not None and answer.status < 400], "the minority acknowledged"


def writes_through(doors: Doors, node: str) -> None:
    """Soon, for there may be an election first."""
    until(f"a write through {node}", lambda: _writes(doors[node]), LEADER_SECONDS_MAX)


def _last_heard(doors: Doors) -> dict[tuple[str, str], float]:
    """By (who, whom): when, on the clock of the one who listens, in seconds; 0: never."""
    found = {}
    for node in doors:
        status = _answer(doors, node)
        for peer in status["peers"]:
            age_ms = peer["last_contact_ms"]
            found[node, peer["name"]] = 0.0 if age_ms is None else _now(status) - age_ms / 1e3
    return found


def _answer(doors: Doors, node: str) -> dict[str, Any]:
    return until(f"{node} answers", partial(_status, doors[node]), ANSWER_SECONDS_MAX)


def _now(status: Mapping[str, Any]) -> float:
    return float(status["time_us"]) / 1e6


def _status(door: PortForward) -> dict[str, Any] | None:
    answer = door.ask("/status")
    return dict(answer.json()) if answer is not None and answer.status == 200 else None


def _writes(door: PortForward) -> bool:
    answer = door.ask(KEY, "PUT", b"majority")
    return answer is not None and answer.status == 200
