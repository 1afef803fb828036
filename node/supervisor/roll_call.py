"""Who leads, and what is missing where nobody does: judged from the views of many nodes.

Why it exists: `raft-node cluster` waits for it and `raft-node status` shows it, and both must judge alike. Pure.
"""

from collections.abc import Mapping

from node.raft.types import Role
from node.runtime.ports import Status


def agreed_leader(views: Mapping[str, Status | None]) -> str:
    """The key of the node that says it leads and that a majority follows in its term; empty where there is none.

    The majority is of the leader's own voters; a node that was not asked, or does not answer, follows nobody.
    """
    for key, view in views.items():
        if view is None or view.core.role is not Role.LEADER:
            continue
        name, term = view.core.name, view.core.term
        voters = {voter.name for voter in view.core.voters} or {v.core.name for v in views.values() if v}
        followers = {
            v.core.name for v in views.values() if v and v.core.leader == name and v.core.term == term
        } & voters
        if len(followers) * 2 > len(voters):
            return key
    return ""


def what_is_missing(views: Mapping[str, Status | None], pids: Mapping[str, int | None]) -> str:
    """Why no leader is agreed on, node by node, one line for people. Keys of both are the nodes' names."""
    parts = []
    for name, view in views.items():
        if pids[name] is None:
            parts.append(f"{name} does not run")
        elif view is None:
            parts.append(f"{name} does not answer")
        elif view.core.waiting_for:
            parts.append(f"{name} waits: {view.core.waiting_for}")
        elif not view.core.leader:
            parts.append(f"{name} is {view.core.role.value} in term {view.core.term} and knows no leader")
    return "; ".join(parts) or "the nodes disagree who leads"
