"""The dead man's switch of `raft-chaos partition` on a real Kubernetes: nobody heals, and nothing is in force a minute
later."""

import os
import signal
import time
from pathlib import Path

import pytest

from chaos.errors import NOT_EFFECTIVE, PASSED, REFUSED
from tests.kubernetes.chaos_account import RBAC
from tests.kubernetes.chaos_tool import CLOCK_STARTS, Tool, left_by_label, policy_specs, until_no_trace
from tests.kubernetes.figures import figure
from tests.kubernetes.kube import until
from tests.kubernetes.release import Release
from tests.kubernetes.test_chaos_commands import account_with

INSTALLED_WITH = (*RBAC, "--set", "networkPolicy.enabled=true")
GONE_SECONDS = 60.0
CUT = ("partition", "--duration", "240s", "--yes")
IN_ALL = {"test_nothing_is_in_force_a_minute_after_the_tool_is_gone": {"kill -9"}}


@pytest.mark.parametrize("way", [signal.SIGKILL, signal.SIGSTOP], ids=["kill -9", "stopped for ever"])
def test_nothing_is_in_force_a_minute_after_the_tool_is_gone(tool: Tool, raft: Release, way: signal.Signals) -> None:
    before = policy_specs(raft)
    with tool.breaking(*CUT) as run:
        assert policy_specs(raft) != before
        run.popen.send_signal(way)
        began = time.monotonic()
        until("nothing is in force", lambda: policy_specs(raft) == before, GONE_SECONDS)
        took = time.monotonic() - began
        until_no_trace(raft.namespace, GONE_SECONDS)
        if way == signal.SIGSTOP:
            run.popen.send_signal(signal.SIGCONT)
            assert run.ends() == NOT_EFFECTIVE, run.output
            assert "the dead man's switch (Job raft-chaos-partition-" in run.output
        else:
            run.ends()
    figure(f"raft-chaos partition, {way.name} of the tool: all policies as before after", took, "s")
    tool.until_whole()
    assert policy_specs(raft) == before
    assert left_by_label(raft.namespace) == []


def test_who_may_make_no_jobs_is_refused_unless_it_is_meant(raft: Release, tool: Tool, tmp_path: Path) -> None:
    rules = [rule for rule in raft.namespace.get("role", "raft-chaos")["rules"] if rule["apiGroups"] != ["batch"]]
    least = Tool(account_with(raft, "no-jobs", rules, tmp_path), tmp_path / "no-jobs")
    said = least("partition", "--yes", "--duration", "5s")
    assert said.code == REFUSED, said
    assert "add --without-switch" in said.out + said.err
    assert left_by_label(raft.namespace) == []
    said = least.run("partition", "--yes", "--duration", "5s", "--without-switch")
    assert said.code == PASSED, said
    assert CLOCK_STARTS in said.out


def test_a_person_has_an_account_made_for_the_run_that_goes_with_it(raft: Release, tool: Tool, tmp_path: Path) -> None:
    """The chart of this release made one, so it is taken away first; the last test, for its token is void then."""
    raft.upgrade("--set", "networkPolicy.enabled=true", "--set", "chaos.rbac.create=false")
    admin = Tool(Path(os.environ["KUBECONFIG"]), tmp_path / "admin")
    try:
        before = policy_specs(raft)
        where = ("--namespace", raft.namespace.name)
        with admin.breaking(*CUT, *where) as run:
            assert [one for one in left_by_label(raft.namespace) if one.startswith("Role ")]
            run.popen.kill()
            run.ends()
            until("nothing is in force", lambda: policy_specs(raft) == before, GONE_SECONDS)
            until_no_trace(raft.namespace, GONE_SECONDS)
    finally:
        raft.upgrade(*INSTALLED_WITH)
