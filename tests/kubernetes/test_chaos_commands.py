"""Every `raft-chaos` command on a real Kubernetes, as a person with the chart's own account runs it, and every way it
can be ended or refused."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from chaos.errors import INTERRUPTED, NOT_EFFECTIVE, NOT_RECOVERED, PASSED, REFUSED, TOOL_FAILED
from tests.kubernetes.chaos_account import RBAC, audit_end, audited, kubeconfig_of
from tests.kubernetes.chaos_tool import Tool, is_complete, left_by_label, passed, policy_specs
from tests.kubernetes.figures import figure
from tests.kubernetes.kube import until
from tests.kubernetes.policies import policies
from tests.kubernetes.release import Release

INSTALLED_WITH = (*RBAC, "--set", "chaos.rbac.probes=true")
QUICK = ("--duration", "10s", "--yes")
READING = ("get", "list", "watch")
SAMPLE_US = 100_000
"""Between two looks of the tool at a node."""
REVIEWS = {"selfsubjectaccessreviews", "selfsubjectreviews"}
"""Questions that an API server answers and keeps nowhere: what one may do, and who one is."""


def led(before: Any, fault: Any) -> str:
    """Whom the fault had to hit: who led when it aimed. That is who led before, unless another term had begun."""
    name, term = fault["acted_on"]
    assert term >= before["term"]
    if term == before["term"]:
        assert name == before["leader"]
    return str(name)


@pytest.mark.smoke
def test_a_killed_leaders_failover_is_shown_moment_by_moment(tool: Tool) -> None:
    before = tool.until_whole()
    record = passed(tool.run("kill-leader", "--mode", "sigkill", "--yes", "-o", "json"))
    (fault,), (failover,) = record["faults"], record["failovers"]
    assert failover["killed"] == led(before, fault) != failover["new_leader"]
    assert fault["acted_on"][1] == failover["old_term"] < failover["new_term"]
    names = ("last_acknowledged", "suspicion", "won", "first_commit", "first_success")
    moments = {name: failover[name] for name in names}
    assert None not in moments.values()
    # The last word of the leader may arrive after others miss it, and a commit is seen by samples, later than it was.
    last, suspicion, won, committed, success = (moment["at_us"] for moment in moments.values())
    assert fault["injected_us"] < suspicion <= won <= success, failover
    assert last <= won + moments["won"]["uncertainty_us"], failover
    assert won <= committed, failover
    assert committed - moments["first_commit"]["uncertainty_us"] <= success + SAMPLE_US, failover
    assert failover["down_us"] > 0  # the kubelet's back-off, apart from the recovery
    assert set(record["uncertainty_us"].values()).isdisjoint({None})
    is_complete(Path(tool.folder, record["folder"]))
    figure("kill-leader --mode sigkill: nobody could write for", failover["unavailable_us"] / 1e6, "s")
    figure("kill-leader --mode sigkill: the kubelet started the node again after", failover["down_us"] / 1e6, "s")


@pytest.mark.smoke
def test_a_partition_is_proven_before_it_counts_and_leaves_nothing(tool: Tool, raft: Release) -> None:
    before, whole = policy_specs(raft), tool.until_whole()
    with policies("keep"):
        record = passed(tool.run("partition", *QUICK, "-o", "json"))
    (fault,) = record["faults"]
    assert fault["groups"][0] == [led(whole, fault)]
    times = [fault[f"{name}_us"] for name in ("injected", "effective", "reverting", "reverted", "healed")]
    assert times == sorted(times)
    assert fault["reverting_us"] - fault["effective_us"] >= 10_000_000
    assert not any(fact.startswith("not as predicted") for fact in fault["facts"]), fault["facts"]
    assert "minority-acknowledges-nothing" in {verdict["check"] for verdict in record["verdicts"]}
    is_complete(Path(tool.folder, record["folder"]))
    assert policy_specs(raft) == before
    assert left_by_label(raft.namespace) == []
    figure("raft-chaos partition: proven after", (fault["effective_us"] - fault["injected_us"]) / 1e6, "s")
    figure("raft-chaos partition: whole after the heal", (record["recovered_us"][0] - fault["reverted_us"]) / 1e6, "s")


def test_a_kept_run_is_judged_again_alike(tool: Tool) -> None:
    record = passed(tool.run("kill-leader", "--mode", "sigkill", "--yes", "-o", "json"))
    page = Path(tool.folder, record["folder"], "report.html")
    page.unlink()
    again = tool("report", record["folder"], "-o", "json")
    assert again.code == PASSED, again
    for judged in ("verdicts", "failovers", "figures", "recovered_us", "uncertainty_us"):
        assert again.json[judged] == record[judged]
    assert page.exists()
    assert "Verdicts" in tool("report", "chaos-runs").out


def test_a_deleted_leader_hands_its_lead_over_and_comes_back_as_another_pod(tool: Tool, raft: Release) -> None:
    leader = tool.leader()
    old = raft.pod(leader)["metadata"]["uid"]
    said = tool.run("kill-leader", "--yes", "-o", "json")
    record = passed(said)
    assert f"deleted pod {leader} (UID {old})" in said.err
    assert raft.pod(leader)["metadata"]["uid"] != old
    assert record["failovers"][0]["new_leader"] not in ("", leader)
    figure(
        "kill-leader --mode delete: the longest time without a write", record["figures"]["longest_gap_us"] / 1e6, "s"
    )


def test_a_paused_leader_is_replaced_and_its_container_is_the_same_afterwards(tool: Tool, raft: Release) -> None:
    leader = tool.leader()
    before = raft.pod(leader)["status"]["containerStatuses"][0]["containerID"]
    record = passed(tool.run("pause", "leader", "--for", "10s", "--yes", "-o", "json"))
    (fault,) = record["faults"]
    assert (fault["effect"], fault["nodes"]) == ("paused", [leader])
    assert fault["reverting_us"] - fault["effective_us"] >= 10_000_000
    assert any(fact.endswith(f"leads term {fault['acted_on'][1] + 1}") for fact in fault["facts"]), fault["facts"]
    assert raft.pod(leader)["status"]["containerStatuses"][0]["containerID"] == before
    figure("raft-chaos pause: nobody could write for", record["figures"]["longest_gap_us"] / 1e6, "s")


def test_what_kill_9_of_the_tool_left_asleep_is_woken_by_its_journal(tool: Tool) -> None:
    with tool.breaking("pause", "follower", "--for", "60s", "--yes") as run:
        run.popen.kill()
        assert run.ends() == -signal.SIGKILL
    said = tool("heal")
    assert "sent SIGCONT to the node's process in pod" in said.out, said
    tool.until_whole()


def test_a_node_wakes_by_itself_where_the_tool_is_gone_and_nobody_heals(tool: Tool) -> None:
    with tool.breaking("pause", "follower", "--for", "120s", "--yes") as run:
        run.popen.kill()
        assert run.ends() == -signal.SIGKILL
    assert tool.status()["healthy"] is False
    until("a node that woke by itself", lambda: tool.status()["healthy"] or None, 60.0)
    tool("heal", "--all")


def test_status_shows_pods_and_the_policies_in_force(tool: Tool, raft: Release) -> None:
    said = tool("status")
    assert said.code == PASSED, said
    assert f"release raft in namespace {raft.namespace.name} (context least): raft-" in said.out
    pods = raft.pods()
    for node, pod in pods.items():
        (line,) = [line for line in said.out.splitlines() if line.startswith(f"{node} ")]
        assert pod["spec"]["nodeName"] in line
        assert pod["metadata"]["uid"][:8] in line
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "team-clients"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]},
    }
    raft.namespace.apply(policy)
    try:
        assert "NetworkPolicy team-clients (foreign): egress of all nodes" in tool("status").out
        (foreign,) = [
            one for one in tool("doctor", "--dry-run", "-o", "json").json["findings"] if "team-clients" in str(one)
        ]
        assert foreign["about"] == "foreign policies"
    finally:
        raft.namespace.kubectl("delete", "networkpolicy", "team-clients")


def test_the_doctor_says_whether_policies_are_enforced(tool: Tool, raft: Release) -> None:
    said = tool("doctor")
    assert said.code == PASSED, said
    told = " ".join(said.out.split())
    assert "Enforced: new connections stopped after" in told
    assert "partition: allowed in namespace" in told
    assert "Every node is the child of an init" in told
    until("the throw-away pods are gone", lambda: left_by_label(raft.namespace) == [], 30.0)


def test_the_doctor_names_the_verbs_that_an_account_lacks(raft: Release, tool: Tool, tmp_path: Path) -> None:
    role = raft.namespace.get("role", "raft-chaos")
    rules = [
        {**rule, "verbs": verbs}
        for rule in role["rules"]
        if (verbs := [verb for verb in rule["verbs"] if verb not in ("delete", "patch")])
    ]
    least = Tool(account_with(raft, "no-delete", rules, tmp_path), tmp_path / "least")
    said = least("doctor", "-o", "json")
    assert said.code == NOT_EFFECTIVE, said
    wrong = " ".join(one["sentence"] for one in said.json["findings"] if one["level"] == "error")
    assert "kill-leader --mode delete: not allowed in namespace" in wrong
    assert "delete pods" in wrong
    assert "patch networkpolicies" in wrong
    assert "chaos.rbac.create=true" in wrong

    nothing = Tool(account_with(raft, "nothing", [], tmp_path), tmp_path / "nothing")("doctor")
    assert nothing.code == REFUSED, nothing
    assert 'cannot list resource "statefulsets"' in nothing.sentence


def account_with(raft: Release, name: str, rules: list[dict[str, Any]], folder: Path) -> Path:
    """A kubeconfig of an account that has these rights in the release's namespace."""
    rbac, namespace = "rbac.authorization.k8s.io/v1", raft.namespace
    account = f"{raft.fullname}-{name}-chaos"
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account}
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace.name}
    named = {"metadata": {"name": account}}
    namespace.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", **named},
        {"apiVersion": rbac, "kind": "Role", **named, "rules": rules},
        {"apiVersion": rbac, "kind": "RoleBinding", **named, "roleRef": reference, "subjects": [subject]},
    )
    made = Release(namespace, f"{raft.fullname}-{name}", raft._proxy)
    into = folder / name
    into.mkdir()
    return kubeconfig_of(made, into)


def test_no_dry_run_changes_anything(tool: Tool, raft: Release) -> None:
    since = audit_end()
    for command in (
        ("kill-leader",),
        ("kill-leader", "--mode", "sigkill", "--times", "3"),
        ("partition",),
        ("partition", "--split", "1,2"),
        ("heal", "--all"),
        ("status",),
        ("doctor",),
    ):
        said = tool(*command, "--dry-run")
        assert said.code == PASSED, said
    until("the audit log shows who asked", lambda: len(asked(raft, since)) > 20, 10.0)
    changes = [event for event in asked(raft, since) if event["verb"] not in READING]
    reviews = [one for one in changes if one["objectRef"]["resource"] in REVIEWS]
    assert {one["objectRef"]["resource"] for one in reviews} == REVIEWS
    assert [f"{one['verb']} {one['requestURI']}" for one in changes if one not in reviews] == []
    assert [one["requestURI"] for one in asked(raft, since) if one["objectRef"].get("subresource") == "exec"] == []
    assert tool.runs() == []

    tool("partition", "--isolate", "raft-9", "--yes")  # not dry, and refused: its lock is the only change
    locked = [one["verb"] for one in asked(raft, since) if one["objectRef"]["resource"] == "leases"]
    assert locked.count("create") == locked.count("delete") <= 1


def asked(raft: Release, since: int) -> list[Any]:
    return audited(since, raft.namespace, f"{raft.fullname}-chaos")


def test_ctrl_c_in_mid_fault_heals(tool: Tool, raft: Release) -> None:
    before = policy_specs(raft)
    with tool.breaking("partition", "--duration", "120s", "--yes") as run:
        assert policy_specs(raft) != before
        run.popen.send_signal(signal.SIGINT)
        assert run.ends() == INTERRUPTED, run.output
        assert "Interrupted and healed" in run.output
    assert policy_specs(raft) == before
    assert left_by_label(raft.namespace) == []
    folder = tool.runs()[-1]
    assert json.loads((folder / "run.json").read_bytes())["interrupted"] is True
    is_complete(folder)


def test_a_second_run_is_refused_and_what_kill_9_left_is_healed_from_anywhere(
    tool: Tool, raft: Release, tmp_path: Path
) -> None:
    before = policy_specs(raft)
    elsewhere = Tool(tool.kubeconfig, tmp_path)
    with tool.breaking("partition", "--duration", "120s", "--yes") as run:
        (lease,) = raft.namespace.get("leases", "--selector=raft-chaos/run")["items"]
        second = elsewhere("kill-leader", "--yes")
        assert second.code == REFUSED, second
        assert f"Run {lease['spec']['holderIdentity']} works on release raft" in second.sentence
        run.popen.kill()
        assert run.ends() == -signal.SIGKILL
    assert policy_specs(raft) != before
    status = tool("status")
    assert f"run {lease['spec']['holderIdentity']}" in status.out
    foreseen = elsewhere("heal", "--all", "--dry-run")
    assert "dry run: nothing is changed" in foreseen.out
    assert policy_specs(raft) != before
    alone = elsewhere("heal")
    assert (alone.code, "heal --all" in alone.out) == (NOT_RECOVERED, True), alone
    healed = elsewhere("heal", "--all")
    assert healed.code == PASSED, healed
    assert "Healed: took back" in healed.out
    assert left_by_label(raft.namespace) == []
    assert policy_specs(raft) == before
    elsewhere.until_whole()
    assert "Nothing to heal" in elsewhere("heal", "--all").out


def test_with_a_voter_down_nothing_is_broken(tool: Tool, raft: Release) -> None:
    down = raft.followers()[0]
    with unschedulable(raft, down):
        for command in ("kill-leader", "partition"):
            said = tool(command, "--yes")
            assert said.code == REFUSED, said
            assert f"({down} already down)" in said.sentence
            assert "--allow-quorum-loss" in said.sentence
        shown = tool("status")
        assert (shown.code, f"the voter {down} does not answer" in shown.out) == (NOT_RECOVERED, True), shown
        assert tool.runs() == []
        assert left_by_label(raft.namespace) == []


@contextmanager
def unschedulable(raft: Release, node: str) -> Iterator[None]:
    """This pod stays away, as one whose machine is lost."""

    def patch(wanted: dict[str, str | None] | None, strategy: str) -> None:
        template = {"spec": {"nodeSelector": wanted}}
        spec = {"updateStrategy": {"type": strategy, "rollingUpdate": None}, "template": template}
        raft.namespace.kubectl("patch", f"statefulset/{raft.fullname}", "--patch", json.dumps({"spec": spec}))

    patch({"raft-test/nowhere": "yes"}, "OnDelete")
    try:
        raft.namespace.kubectl("delete", "pod", node)
        yield
    finally:
        patch({"raft-test/nowhere": None}, "OnDelete")
        raft.namespace.kubectl("delete", "pod", node, "--ignore-not-found")
        patch(None, "RollingUpdate")
        raft.healthy()


def test_where_nothing_is_the_sentence_says_where_it_looked(tool: Tool, raft: Release, tmp_path: Path) -> None:
    none = tool("status", "--release", "other")
    assert none.code == REFUSED
    for word in ("release 'other'", "context least", f"namespace {raft.namespace.name}"):
        assert word in none.sentence
    admin = Tool(Path(os.environ["KUBECONFIG"]), tmp_path)
    everywhere = admin("status", "--release", "other")
    assert everywhere.code == REFUSED
    assert "all namespaces" in everywhere.sentence
    bare = admin("status", "-n", "default")
    assert (bare.code, "namespace default" in bare.sentence) == (REFUSED, True)


@pytest.mark.parametrize("flags", [(), ("--context", "least")], ids=["found by itself", "named"])
def test_a_cluster_that_does_not_answer_is_one_sentence(account: Path, tmp_path: Path, flags: tuple[str, ...]) -> None:
    config = json.loads(account.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    dead = tmp_path / "kubeconfig"
    dead.write_text(json.dumps(config))
    said = Tool(dead, tmp_path)("status", *flags)
    assert said.code == TOOL_FAILED, said
    assert "luster of context least at https://127.0.0.1:1 does not answer" in said.sentence
