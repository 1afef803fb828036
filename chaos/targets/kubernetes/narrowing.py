"""How a policy of the chart that a run narrowed is widened again. Pure, and of the standard library alone.

    widening_patch      the selector, and the mark that says so
    finishing_patch     all marks, and who owns which field: at once, or whoever ends between the two leaves nothing
                        that tells what is still to do

Why it exists: the tool does it, and where the tool is gone its dead man's switch (`deadman_pod.py`), a pod with the
image of the nodes, which is sent this very source. It must import nothing that is not in every Python.
"""

import json
from typing import Any

Object = dict[str, Any]
MANAGED_BY_LABEL, MANAGER = "app.kubernetes.io/managed-by", "raft-chaos"
RUN_LABEL = "raft-chaos/run"
ORIGINAL = "raft-chaos/original"
"""Annotation of a narrowed policy: what it was, as JSON."""
WIDENED = "raft-chaos/widened"
"""Annotation of one that is widened and not finished: whether it was as this tool had narrowed it."""
_AS_NARROWED, _CHANGED = "as-narrowed", "changed"
POD_NAME_LABEL = "statefulset.kubernetes.io/pod-name"


def original_of(policy: Object) -> str:
    """What is kept of a policy that is narrowed: its selector, and who owned which of its fields."""
    metadata, selector = policy["metadata"], policy["spec"].get("podSelector") or {}
    return json.dumps({"podSelector": selector, "managedFields": metadata.get("managedFields") or []}, sort_keys=True)


def widening_patch(policy: Object, original: str) -> Object:
    """The way back from `policy` as it is now: what was added is taken out, and what others changed meanwhile stays."""
    return {
        "metadata": {
            "resourceVersion": policy["metadata"]["resourceVersion"],
            "annotations": {WIDENED: _AS_NARROWED if is_as_narrowed(policy, original) else _CHANGED},
        },
        "spec": {"podSelector": {"matchExpressions": _widened(policy, original).get("matchExpressions")}},
    }


def finishing_patch(policy: Object, widened: Object, original: str) -> Object:
    """What follows where `policy` was widened. Else this tool would own the selector for ever, and the next
    `helm upgrade` that changes it would fail; and who owns what cannot be said in the request that changes it."""
    metadata: Object = {
        "resourceVersion": widened["metadata"]["resourceVersion"],
        "labels": {RUN_LABEL: None},
        "annotations": {ORIGINAL: None, WIDENED: None},
    }
    if fields := _fields_after(policy, original):
        metadata["managedFields"] = fields
    return {"metadata": metadata}


def is_narrowed(policy: Object, original: str) -> bool:
    """Whether its selector still leaves out what a run added to it."""
    return bool((policy["spec"].get("podSelector") or {}) != _widened(policy, original))


def is_as_narrowed(policy: Object, original: str) -> bool:
    """Whether its selector is what the narrowing made of it, or the widening since: nobody else changed it."""
    before = {key: value for key, value in (_kept(original).get("podSelector") or {}).items() if value}
    mark = (policy["metadata"].get("annotations") or {}).get(WIDENED)
    ours = mark == _AS_NARROWED if mark else is_narrowed(policy, original)
    return ours and _widened(policy, original) == before


def _fields_after(policy: Object, original: str) -> list[Object]:
    """Who shall own which field of a widened policy: whoever did before, or where others changed it, they and not this
    tool; empty: it is not known."""
    if is_as_narrowed(policy, original):
        return list(_kept(original).get("managedFields") or [])
    return [one for one in policy["metadata"].get("managedFields") or [] if one.get("manager") != MANAGER]


def _widened(policy: Object, original: str) -> Object:
    """Its selector as it is now, without what was added."""
    selector = policy["spec"].get("podSelector") or {}
    own = (_kept(original).get("podSelector") or {}).get("matchExpressions") or []
    left = [one for one in selector.get("matchExpressions") or [] if one in own or not _is_added(one)]
    return {key: value for key, value in {**selector, "matchExpressions": left}.items() if value}


def _is_added(expression: Object) -> bool:
    return (expression.get("key"), expression.get("operator")) == (POD_NAME_LABEL, "NotIn")


def _kept(original: str) -> Object:
    """What `original_of` wrote; nothing where somebody spoilt it."""
    try:
        return dict(json.loads(original))
    except (ValueError, RecursionError, TypeError):
        return {}
