"""Who leads, and what is missing where nobody does: judged from the views of many nodes.

Why it exists: `raft-node cluster` waits for it and `raft-node status` shows it, and both must judge alike. Pure.
"""

from collections.abc import Mapping

from node.observe.headline import Seen, facts_of
from node.supervisor.watch import NodeStatus


def agreed_leader(views: Mapping[str, NodeStatus | None]) -> str:
    """The key of the node that says it leads and that a majority follows in its term; empty where there is none.

    The majority is of the leader's own voters; a node that was not asked, or does not answer, follows nobody.
    """
    facts = facts_of([Seen(view.name, "heard", view) for view in views.values() if view])
    keys = [key for key, view in views.items() if view and view.name == facts.leader]
    return keys[0] if facts.serves and keys else ""


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
