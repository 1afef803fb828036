"""What Prometheus has of releases that are well: every series that a node serves and an alarm asks for, for each pod.

Why it exists: rules are tried on series, and series that a test invents would outlive a metric's name. These are asked
of the nodes' own collector, and of no more than a test changes it says what it is.
"""

import functools
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from node.raft.types import Role
from tests.generated.metrics import standing_still
from tests.observe.status import node_status

STEPS = 12
"""A minute each: ten are looked back at by one alarm, and five are the longest that one waits."""

VALUES = {
    "raft_leader_known": "1",
    "raft_voters": "3",
    "raft_term": "4",
    "raft_link_up": "1",
    "raft_log_bytes": "100",
    "raft_log_limit_bytes": "1000",
    "raft_store_bytes": "100",
    "raft_store_limit_bytes": "1000",
    "raft_commit_index": "9000",
    "raft_applied_index": "8900",
    "raft_loop_age_seconds": "0.01",
}
"""Of a node that is well, where that of one that stands still says too little; else 0 or what it says."""


class Series(NamedTuple):
    """`labels` without those of the pod, which `pod` and `namespace` are."""

    name: str
    namespace: str
    pod: str
    labels: tuple[tuple[str, str], ...]

    def selector(self) -> str:
        """As Prometheus writes it. A volume is told of by the kubelet, by its claim's name."""
        kubelet = self.name.startswith("kubelet")
        own = {"namespace": self.namespace, "job": "kubelet" if kubelet else "raft"}
        own["persistentvolumeclaim" if kubelet else "pod"] = f"data-{self.pod}" if kubelet else self.pod
        labels = ",".join(f'{key}="{text}"' for key, text in sorted({**own, **dict(self.labels)}.items()))
        return f"{self.name}{{{labels}}}"


def healthy(namespace: str, release: str, wanted: set[str]) -> dict[Series, str]:
    """Of a release of three pods, of which the first leads: what `wanted` names, as promtool writes it."""
    pods = [f"{release}-{i}" for i in range(3)]
    found: dict[Series, str] = {}
    for pod in pods:
        peers = dict(zip(("n2", "n3"), (other for other in pods if other != pod), strict=True))
        for name, labels, value in _served(Role.LEADER if pod == pods[0] else Role.FOLLOWER):
            if name in wanted:
                renamed = tuple((key, peers.get(text, text) if key == "peer" else text) for key, text in labels)
                found[Series(name, namespace, pod, renamed)] = f"{VALUES.get(name, value)}x{STEPS}"
        for name, value in (
            ("kubelet_volume_stats_used_bytes", "300"),
            ("kubelet_volume_stats_capacity_bytes", "1000"),
            ("raft_tls_certificate_expiry_timestamp_seconds", "7776000"),
            ("raft_backup_last_success_timestamp_seconds", "0"),
        ):
            found[Series(name, namespace, pod, ())] = f"{value}x{STEPS}"
    return found


@functools.cache
def _served(role: Role) -> tuple[tuple[str, tuple[tuple[str, str], ...], str], ...]:
    """Name, labels and value of each series."""
    text = standing_still(node_status(role=role)).render().decode()
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return tuple((sample.name, tuple(sample.labels.items()), f"{sample.value:g}") for sample in samples)
