"""All pods gone, releases beside each other, a release that comes back: what was written is there."""

from pathlib import Path

import pytest

from tests.kubernetes.doors import Proxy
from tests.kubernetes.figures import figure
from tests.kubernetes.kube import namespace
from tests.kubernetes.loading import every_pod, load
from tests.kubernetes.oracle import longest_stall_s, nothing_is_lost
from tests.kubernetes.release import Release, release
from tests.kubernetes.watching import journals

WRITES_BEFORE = 100


@pytest.mark.parametrize("grace", ["default", "0"])
def test_all_pods_deleted_at_once_lose_nothing(raft: Release, evidence: Path, grace: str) -> None:
    raft.healthy()
    with journals(raft, evidence) as journal, load(raft, evidence, every_pod(raft)) as running:
        running.more_acknowledged(WRITES_BEFORE)
        old = {node: pod["metadata"]["uid"] for node, pod in raft.pods().items()}
        at_once = ("--grace-period=0", "--force") if grace == "0" else ()
        raft.namespace.kubectl("delete", "pods", f"--selector={raft.selector}", "--wait=false", *at_once)
        for node, uid in old.items():
            raft.new_pod(node, uid)
        raft.healthy()
        journal.follow()
        running.more_acknowledged(WRITES_BEFORE)
        lines = running.stop()
        journal.one_leader_a_term()
    figure(f"all pods deleted (grace {grace}): longest stall", longest_stall_s(lines), "s")
    nothing_is_lost(raft, lines)


@pytest.mark.longest
def test_releases_beside_each_other_do_not_touch_each_other(raft: Release, proxy: Proxy, evidence: Path) -> None:
    raft.healthy()
    before = containers(raft)
    with (
        journals(raft, evidence) as journal,
        release(raft.namespace, proxy, name="second") as second,
        namespace("elsewhere") as elsewhere,
        release(elsewhere, proxy) as third,
    ):
        releases = (raft, second, third)
        for number, each in enumerate(releases):
            each.write(each.healthy(), "whose", str(number))
        clusters = [each.ask(each.nodes[0], "/status")["cluster_id"] for each in releases]
        assert len(set(clusters)) == 3
        for number, each in enumerate(releases):
            for node in each.nodes:
                assert each.value(node, "whose") == str(number).encode()
                assert {peer["name"] for peer in each.ask(node, "/status")["peers"]} == {*each.nodes} - {node}
        second.namespace.kubectl("delete", "pods", f"--selector={second.selector}")
        second.healthy()
        # Whoever dials the wrong cluster is refused and named; leaders may change, for nine nodes share the machine
        assert not journal.transitions("refused-message")
        journal.one_leader_a_term()
    raft.healthy()
    assert raft.value(raft.nodes[0], "whose") == b"0"
    assert containers(raft) == before


def containers(raft: Release) -> dict[str, str]:
    """The very containers that run: another one after any restart."""
    return {node: str(pod["status"]["containerStatuses"][0]["containerID"]) for node, pod in raft.pods().items()}


def test_a_release_installed_again_finds_its_old_volumes(raft: Release) -> None:
    raft.write(raft.healthy(), "kept", "through uninstall")
    cluster = raft.ask(raft.nodes[0], "/status")["cluster_id"]
    raft.namespace.helm("uninstall", raft.name, "--wait", "--timeout=120s", timeout_s=140)
    raft.install()
    leader = raft.healthy()
    assert raft.value(leader, "kept") == b"through uninstall"
    assert raft.ask(leader, "/status")["cluster_id"] == cluster
