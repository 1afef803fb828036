"""The policies that select a release's pods, one line each, for people. Pure.

Why it exists: `status` and `doctor` show what stands between the nodes, and whose it is. It must not judge them: what a
policy does to a partition is for `shape.culprits`.
"""

from collections.abc import Sequence

from chaos.targets.kubernetes.admits import directions, selects
from chaos.targets.kubernetes.api import Object
from chaos.targets.kubernetes.narrowing import MANAGED_BY_LABEL, MANAGER, RUN_LABEL
from chaos.targets.kubernetes.shape import EXPIRES, Around, is_charts


def policy_lines(around: Around) -> Sequence[str]:
    """Every policy that selects one of the nodes now."""
    return [_line(around, policy, nodes) for policy in around.policies if (nodes := selected_nodes(around, policy))]


def foreign_policies(around: Around) -> list[str]:
    """By name: those that select nodes and are neither the chart's nor this tool's."""
    return [
        str(policy["metadata"]["name"])
        for policy in around.policies
        if selected_nodes(around, policy) and not _is_ours(policy) and not is_charts(around.release, policy)
    ]


def selected_nodes(around: Around, policy: Object) -> list[str]:
    return [node for node, end in around.ends.items() if selects(policy, end)]


def _line(around: Around, policy: Object, nodes: Sequence[str]) -> str:
    who = "all nodes" if len(nodes) == len(around.ends) else ", ".join(nodes)
    ways = " and ".join(one.lower() for one in sorted(directions(policy), reverse=True))
    return f"NetworkPolicy {policy['metadata']['name']} ({_whose(around, policy)}): {ways} of {who}"


def _whose(around: Around, policy: Object) -> str:
    run = (policy["metadata"].get("labels") or {}).get(RUN_LABEL)
    if _is_ours(policy):
        until = (policy["metadata"].get("annotations") or {}).get(EXPIRES, "?")
        return f"raft-chaos, run {run}, meant to end at {until}"
    owner = "of the chart" if is_charts(around.release, policy) else "foreign"
    return f"{owner}, narrowed by run {run}" if run else owner


def _is_ours(policy: Object) -> bool:
    return (policy["metadata"].get("labels") or {}).get(MANAGED_BY_LABEL) == MANAGER
