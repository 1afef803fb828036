"""A first install while the cluster's name server is away for half a minute. One leader, and nothing lost."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kubernetes.births import NAMES_LATE_SECONDS, nobody_is_born_for, one_leader_of_one_cluster, until_running
from tests.kubernetes.doors import Proxy
from tests.kubernetes.figures import figure
from tests.kubernetes.kube import Namespace, run, until
from tests.kubernetes.release import release

DNS = ("kubectl", "--namespace=kube-system")


def test_names_late_by_half_a_minute_elect_one_leader(space: Namespace, proxy: Proxy, evidence: Path) -> None:
    with no_dns() as dns_back, release(space, proxy, name="late-raft", wait=False) as raft:
        until_running(raft, 3)
        until("three nodes answer", lambda: len(raft.statuses()) == 3, 60)
        nobody_is_born_for(raft, NAMES_LATE_SECONDS)
        assert all(pod["status"]["containerStatuses"][0]["restartCount"] == 0 for pod in raft.pods().values())
        dns_back()
        begun = raft.now()
        one_leader_of_one_cluster(raft, evidence)
        figure("no DNS for 30 s: one leader after it was back", raft.now() - begun, "s")


@contextmanager
def no_dns() -> Iterator[Callable[[], None]]:
    """CoreDNS of the whole cluster away until the returned function is called, and back afterwards in any case."""
    before = run(*DNS, "get", "deployment/coredns", "--output=jsonpath={.spec.replicas}")

    def back() -> None:
        run(*DNS, "scale", "deployment/coredns", f"--replicas={before}")
        run(*DNS, "rollout", "status", "deployment/coredns", "--timeout=90s")

    run(*DNS, "scale", "deployment/coredns", "--replicas=0")
    try:
        run(*DNS, "wait", "--for=delete", "pod", "--selector=k8s-app=kube-dns", "--timeout=60s")
        yield back
    finally:
        back()
