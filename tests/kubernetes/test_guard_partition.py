"""An upgrade in the middle of a partition that `raft-chaos` made, by the command itself: refused with one sentence, and
nothing is changed; the partition ends as if nobody had asked."""

import pytest

from chaos.errors import PASSED
from tests.kubernetes.chaos_account import RBAC
from tests.kubernetes.chaos_tool import Tool, no_trace
from tests.kubernetes.guarding import CHANGED, refusal, rollback, uids, upgrade
from tests.kubernetes.kube import until
from tests.kubernetes.release import Release

INSTALLED_WITH = (*RBAC, "--set", "networkPolicy.enabled=true")
LASTS = ("--duration", "80s", "--yes")
HELD = "proven to the end"


def leads(raft: Release, node: str) -> None:
    """A partition cuts off who leads."""
    raft.healthy()
    if (leader := raft.leader()) != node:
        raft.ask(leader, "/commands/transfer_leadership", "POST", f'{{"target": "{node}"}}'.encode())
    until(f"{node} leads", lambda: raft.agreed_leader() == node, 30)


def generation(raft: Release) -> int:
    return int(raft.namespace.get("statefulset", raft.fullname)["metadata"]["generation"])


def sentence(raft: Release) -> str:
    policy = raft.namespace.get("networkpolicy", f"{raft.fullname}-peers")
    of_run = policy["metadata"]["labels"]["raft-chaos/run"]
    return (
        f"A partition is under way: run {of_run} of raft-chaos holds the NetworkPolicy {raft.fullname}-peers, "
        "and an upgrade would fail half-way and replace pods while some are cut off. "
        "Wait until it ends, or take it back with `raft-chaos heal --all`."
    )


def test_an_upgrade_in_mid_partition_is_refused_up_front_and_goes_through_afterwards(tool: Tool, raft: Release) -> None:
    upgrade(raft, *INSTALLED_WITH, "--set", "revisionHistoryLimit=9")  # rolls nothing, and can be rolled back
    leads(raft, "raft-0")
    before, made = uids(raft), generation(raft)
    changed = (*INSTALLED_WITH, *CHANGED)
    with no_trace(raft), tool.breaking("partition", *LASTS) as run:
        for options in ((), ("--no-hooks",), ("--dry-run=server",)):
            with pytest.raises(AssertionError) as refused:
                upgrade(raft, *changed, *options)
            said = " ".join(str(refused.value).split())
            assert said.count("A partition is under way") == 1
            assert sentence(raft) in said
        assert "raft-0 is not ready" in refusal(lambda: rollback(raft))
        assert (uids(raft), generation(raft)) == (before, made), "nothing was changed"
        assert HELD not in run.output, "the cut was over while helm was asked"
        assert run.ends() == PASSED, run.output
    raft.healthy()
    raft.upgrade(*changed)
    raft.healthy()
    assert set(uids(raft).values()).isdisjoint(before.values())


def test_a_rollback_while_the_pod_that_is_replaced_first_is_cut_off_is_refused_as_well(
    tool: Tool, raft: Release
) -> None:
    """The Job that looks lets pass one that does not run: whoever runs and is cut off is not that."""
    upgrade(raft, *INSTALLED_WITH, *CHANGED, "--set", "revisionHistoryLimit=8")
    leads(raft, "raft-2")
    before, made = uids(raft), generation(raft)
    with no_trace(raft), tool.breaking("partition", *LASTS) as run:
        assert "raft-2 is not ready" in refusal(lambda: rollback(raft))
        assert (uids(raft), generation(raft)) == (before, made), "nothing was changed"
        assert HELD not in run.output, "the cut was over while helm was asked"
        assert run.ends() == PASSED, run.output
    raft.healthy()
