"""Means that do nothing, and proofs that lie: a run that tested nothing says so, every time."""

from collections.abc import Callable
from typing import Any

import pytest

from chaos.errors import NOT_EFFECTIVE
from chaos.faults import kill_leader, proven_cut
from chaos.faults.proven_cut import ProvenCut
from chaos.targets import clusterfile, local
from tests.chaos.raft_chaos import Tool
from tests.chaos.test_run_truth import Ignores, KeepsOldConnections, bend

pytestmark = pytest.mark.longest
KILL = ("kill-leader", "--mode", "sigkill", "--duration", "1s", "--within", "8s", "--yes")
CUT = ("partition", "--duration", "3s", "--within", "8s", "--yes")
Sabotage = Callable[[pytest.MonkeyPatch], None]


def the_signal_goes_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusterfile, "send", lambda *_: None)
    monkeypatch.setattr(local, "END_WAIT_SECONDS", 2.0)
    monkeypatch.setattr(kill_leader, "GONE_SECONDS", {"sigkill": 2.0, "delete": 2.0})


def nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    bend(monkeypatch, Ignores)


def nothing_is_cut_and_the_dials_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    bend(monkeypatch, KeepsOldConnections)


def nothing_is_cut_and_every_proof_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    async def proves(*_: Any) -> str:
        return ""

    bend(monkeypatch, KeepsOldConnections)
    monkeypatch.setattr(ProvenCut, "prove", proves)
    monkeypatch.setattr(ProvenCut, "dial_again", proves)
    monkeypatch.setattr(ProvenCut, "leak", lambda *_: "")


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("command", "sabotage"),
    [
        (KILL, the_signal_goes_nowhere),
        (CUT, nothing_is_cut),
        (CUT, nothing_is_cut_and_the_dials_lie),
        (CUT, nothing_is_cut_and_every_proof_lies),
    ],
)
def test_what_did_nothing_is_never_told_as_a_fault_that_was_survived_or_not(
    tool: Tool, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], sabotage: Sabotage, seed: int
) -> None:
    monkeypatch.setattr(proven_cut, "PROVE_SECONDS", 2.0)
    sabotage(monkeypatch)
    said = tool(*command, "--seed", str(seed), "-o", "json")
    assert said.code == NOT_EFFECTIVE, said.err
    assert tool.status()["in_force"] == []
