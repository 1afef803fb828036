"""`raft-chaos doctor`: whether faults would work here, before one is tried.

Why it exists: most of what voids a fault is known beforehand: permissions, a plugin that ignores policies, a foreign
policy, a node that is PID 1. It must leave nothing behind, and never touch the nodes of the cluster.
"""

import asyncio
import random
from collections.abc import Sequence

from chaos.errors import ChaosError
from chaos.targets.kubernetes.api import Api, ApiError
from chaos.targets.kubernetes.around import look_around
from chaos.targets.kubernetes.inforce import foreign_policies
from chaos.targets.kubernetes.partition import PolicyNetwork
from chaos.targets.kubernetes.permissions import reviewed
from chaos.targets.kubernetes.pods import INITS, init_of
from chaos.targets.kubernetes.probes import Enforcement, probes_left, try_policies
from chaos.targets.kubernetes.release import Release
from chaos.targets.port import Finding

PLUGINS = {
    "calico-node": "Calico: enforces; open connections outlive a policy",
    "cilium": "Cilium: enforces; open connections are cut",
    "antrea-agent": "Antrea: enforces; open connections outlive a policy",
    "kube-router": "kube-router: enforces; open connections outlive a policy",
    "ovnkube-node": "OVN-Kubernetes: enforces; open connections are cut",
    "weave-net": "Weave: enforces; open connections outlive a policy",
    "kindnet": "kindnet: ignores policies before kind v0.24; later ones enforce, and most open connections outlive one",
    "kube-flannel-ds": "Flannel: ignores policies unless a sidecar enforces them",
    "aws-node": "AWS VPC CNI: enforces only where that is switched on",
}
"""By name of a DaemonSet; behaviour as their issue trackers and sources tell, so a hint and no more."""


async def examine(api: Api, release: Release, network: PolicyNetwork, probe: bool = True) -> Sequence[Finding]:
    """Bounded in time; about ten seconds where policies are enforced. Without `probe` nothing is made or run."""
    found, may_try, _ = await reviewed(api, release)
    parts = [_plugin(api), _foreign(api, release), *([_inits(api, release)] if probe else [])]
    for part in (*parts, _left(api, release, network)):
        try:
            found += await part
        except ChaosError as error:
            found.append(Finding("warning", "doctor", str(error)))
    if not probe:
        return [*found, Finding("ok", "policies", "Whether policies are enforced was not tried (dry run).")]
    if not may_try:
        found.append(
            Finding(
                "warning",
                "policies",
                "Whether policies are enforced was not tried: this account may not make throw-away pods "
                "(chaos.rbac.probes=true allows it).",
            )
        )
        return found
    run = f"doctor-{random.SystemRandom().randrange(16**6):06x}"
    return [*found, *_enforcement(await try_policies(api, release, run))]


async def _plugin(api: Api) -> list[Finding]:
    """By the DaemonSets of the cluster, where they may be listed; some plugins have none."""
    try:
        sets = await api.items("/apis/apps/v1/daemonsets")
    except ApiError:
        return [Finding("ok", "network plugin", "Not guessed: DaemonSets of other namespaces may not be listed.")]
    names = {str(one["metadata"]["name"]) for one in sets}
    known = [says for name, says in PLUGINS.items() if name in names]
    if known:
        return [Finding("ok", "network plugin", f"It looks like {'; '.join(known)}.")]
    return [Finding("ok", "network plugin", "None that this tool knows by its DaemonSet.")]


async def _foreign(api: Api, release: Release) -> list[Finding]:
    names = foreign_policies(await look_around(api, release))
    if not names:
        return [Finding("ok", "foreign policies", "No NetworkPolicy but the chart's own selects the nodes.")]
    return [
        Finding(
            "warning",
            "foreign policies",
            f"{', '.join(names)} select nodes of {release.title}: policies only ever allow, so what they admit "
            "between nodes cannot be cut; `partition` refuses where that is so.",
        )
    ]


async def _inits(api: Api, release: Release) -> list[Finding]:
    names = await asyncio.gather(*(init_of(api, release, node) for node in release.nodes), return_exceptions=True)
    found = []
    for node, name in zip(release.nodes, names, strict=True):
        if isinstance(name, ChaosError):
            found.append(Finding("warning", "PID 1", f"{node}: not known ({name})"))
        elif isinstance(name, BaseException):
            raise name
        elif name not in INITS:
            found.append(
                Finding(
                    "error",
                    "PID 1",
                    f"{node}: PID 1 is {name or 'unknown'}, no init: SIGKILL in place would do nothing to it. "
                    "The chart's image runs the node under tini.",
                )
            )
    return found or [Finding("ok", "PID 1", "Every node is the child of an init, so it can be killed in place.")]


async def _left(api: Api, release: Release, network: PolicyNetwork) -> list[Finding]:
    left = [*await network.leftovers(), *await probes_left(api, release.namespace)]
    if not left:
        return [Finding("ok", "leftovers", "Nothing of an earlier run is left.")]
    named = ", ".join(f"{step.arguments['name']} (run {step.arguments['run']})" for step in left)
    return [Finding("warning", "leftovers", f"Left behind: {named}. `raft-chaos heal --all` takes it away.")]


def _enforcement(seen: Enforcement) -> list[Finding]:
    if seen.enforced == "unknown":
        return [Finding("warning", "policies", f"Whether policies are enforced is not known: {seen.why}.")]
    if seen.enforced == "no":
        return [
            Finding(
                "error",
                "policies",
                "Policies do nothing here: a policy between two throw-away pods did not stop new connections. "
                "`partition` would end with exit code 3.",
            )
        ]
    lasting = (
        "an open connection outlived the policy, so links must be reset as `partition` does"
        if seen.outlives
        else "an open connection was cut too"
    )
    return [Finding("ok", "policies", f"Enforced: new connections stopped after {seen.seconds:.1f} s; {lasting}.")]
