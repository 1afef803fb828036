"""Who leads, and what is missing where nobody does: judged from the views of many nodes.

Why it exists: `raft-node cluster` waits for it and `raft-node status` shows it, and both must judge alike. Pure.
"""

from collections.abc import Mapping

from node.supervisor.watch import NodeStatus


def agreed_leader(views: Mapping[str, NodeStatus | None]) -> str:
    """The key of the node that says it leads and that a majority follows in its term; empty where there is none.

    The majority is of the leader's own voters; a node that was not asked, or does not answer, follows nobody.
    """
    for key, view in views.items():
        if view is None or view.role != "leader":
            continue
        name, term = view.name, view.term
        voters = {voter.name for voter in view.voters} or {v.name for v in views.values() if v}
        followers = {v.name for v in views.values() if v and v.leader == name and v.term == term} & voters
        if len(followers) * 2 > len(voters):
            return key
    return ""


def what_is_missing(views: Mapping[str, NodeStatus | None], pids: Mapping[str, int | None]) -> str:
    """Who follows no leader and why, one line for people; empty where all do. Keys of both are the nodes' names."""
    parts = []
    for name, view in views.items():
        if pids[name] is None:
            parts.append(f"{name} does not run")
        elif view is None:
            parts.append(f"{name} does not answer")
        elif view.waiting_for:
            parts.append(f"{name} waits: {view.waiting_for}")
        elif not view.leader:
            parts.append(f"{name} is {view.role} in term {view.term} and knows no leader")
    return "; ".join(parts)
