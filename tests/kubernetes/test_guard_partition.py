"""An upgrade in the middle of a partition that `raft-chaos` made, by the command itself: refused with one sentence, and
nothing is changed; the partition ends as if nobody had asked."""

import pytest

from chaos.errors import PASSED
from tests.kubernetes.chaos_account import RBAC
from tests.kubernetes.chaos_tool import Tool, no_trace
from tests.kubernetes.guarding import CHANGED, deployed, refusal, rollback, uids, upgrade
from tests.kubernetes.kube import until
from tests.kubernetes.release import Release

INSTALLED_WITH = (*RBAC, "--set", "networkPolicy.enabled=true")
LASTS = ("--duration", "60s", "--yes")
HELD = "proven to the end"
IN_PROGRESS = "another operation (install/upgrade/rollback) is in progress"


def leads(raft: Release, tool: Tool, node: str) -> None:
    """A partition cuts off who leads. The chart's policies let nobody ask a node from beyond the pods but the tool."""
    raft.rolled_out()
    if (leader := tool.until_whole()["leader"]) != node:
        order = ("raft-node", "command", "http://127.0.0.1:8001", "transfer_leadership", f"target={node}")
        raft.namespace.kubectl("exec", leader, "--container=node", "--", *order)
    until(f"{node} leads", lambda: tool.until_whole()["leader"] == node, 30)


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
    first = deployed(raft)
    upgrade(raft, *INSTALLED_WITH, "--set", "revisionHistoryLimit=9")  # rolls nothing, and can be rolled back
    good = deployed(raft)
    leads(raft, tool, "raft-0")
    before, made = uids(raft), generation(raft)
    changed = (*INSTALLED_WITH, *CHANGED)
    with no_trace(raft), tool.breaking("partition", *LASTS) as run:
        for options in ((), ("--no-hooks",), ("--dry-run=server",)):
            with pytest.raises(AssertionError) as refused:
                upgrade(raft, *changed, *options)
            said = " ".join(str(refused.value).split())
            assert said.count("A partition is under way") == 1
            assert sentence(raft) in said
        assert "raft-0 is not ready" in refusal(lambda: rollback(raft, to=first))
        assert IN_PROGRESS in refusal(lambda: upgrade(raft, *changed)), "Helm keeps a refused rollback as pending"
        assert (uids(raft), generation(raft)) == (before, made), "nothing was changed"
        assert HELD not in run.output, "the cut was over while helm was asked"
        assert run.ends() == PASSED, run.output
    tool.until_whole()
    rollback(raft, "--no-hooks", to=good)  # to what runs: it changes nothing, and Helm knows the release again
    assert (uids(raft), generation(raft)) == (before, made)
    raft.upgrade(*changed)
    tool.until_whole()
    assert set(uids(raft).values()).isdisjoint(before.values())


@pytest.mark.longest
def test_a_rollback_while_the_pod_that_is_replaced_first_is_cut_off_is_refused_as_well(
    tool: Tool, raft: Release
) -> None:
    """The Job that looks lets pass one that does not run: whoever runs and is cut off is not that."""
    first = deployed(raft)
    upgrade(raft, *INSTALLED_WITH, *CHANGED, "--set", "revisionHistoryLimit=8")
    leads(raft, tool, "raft-2")
    before, made = uids(raft), generation(raft)
    with no_trace(raft), tool.breaking("partition", *LASTS) as run:
        said = refusal(lambda: rollback(raft, to=first))
        assert "raft-2 is not ready" in said
        assert "though it runs: it has no link to raft-0, raft-1. A partition?" in said
        assert (uids(raft), generation(raft)) == (before, made), "nothing was changed"
        assert HELD not in run.output, "the cut was over while helm was asked"
        assert run.ends() == PASSED, run.output
    tool.until_whole()
