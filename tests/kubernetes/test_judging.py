"""The judges of the tests on Kubernetes notice what they are there for; no cluster is needed for this."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tests.kubernetes.kube import json_objects
from tests.kubernetes.oracle import Key, faults, longest_stall_s
from tests.kubernetes.watching import judge_pods

NODES = ("a", "b", "c")


def put(number: int, revision: int | None, key: str = "k", at: float = 0.0) -> dict[str, Any]:
    """A line of the load; without a revision the outcome is unknown."""
    line: dict[str, Any] = {"op": "put", "key": key, "n": number, "at": at, "outcome": "unknown"}
    return line if revision is None else {**line, "outcome": "acknowledged", "revision": revision}


def got(value: int) -> dict[str, Any]:
    return {"op": "get", "key": "k", "n": 0, "at": 0.0, "outcome": "acknowledged", "value": value}


WELL: tuple[tuple[list[dict[str, Any]], dict[str, Key]], ...] = (
    ([put(1, 5), put(2, 7), got(2)], {"k": Key(2, 7, 2)}),
    ([put(1, 5), put(2, None), got(2)], {"k": Key(2, 6, 2)}),
    ([put(1, 5), put(2, None), put(3, 6)], {"k": Key(3, 6, 2)}),
    ([put(1, 5), put(2, None), put(3, 6)], {"k": Key(2, 9, 3)}),  # the unknown one was done last
    ([put(1, None)], {}),
)


@pytest.mark.parametrize(("lines", "found"), WELL)
def test_what_may_happen_is_no_fault(lines: list[dict[str, Any]], found: dict[str, Key]) -> None:
    assert faults(lines, found) == []


@pytest.mark.parametrize(
    ("lines", "found", "said"),
    [
        ([put(1, 5)], {}, "no such key"),
        ([put(1, 5), put(2, 7)], {"k": Key(1, 5, 1)}, "2 was acknowledged, and 1 is there"),
        ([put(1, 5), put(2, 7)], {"k": Key(2, 7, 1)}, "2 acknowledged and 0 unknown writes, and 1 were done"),
        ([put(1, 5), put(2, 7)], {"k": Key(2, 7, 3)}, "and 3 were done"),
        ([put(1, 5), put(2, None)], {"k": Key(2, 4, 2)}, "acknowledged at revision 5, and 4 is there"),
        ([put(1, 5), put(2, 7)], {"k": Key(2, 9, 2)}, "acknowledged at revision 7, and 9 is there"),
        ([put(1, 5), put(2, 4)], {"k": Key(2, 4, 2)}, "do not grow"),
        ([put(1, 5), put(1, 5, "l")], {"k": Key(1, 5, 1), "l": Key(1, 5, 1)}, "revision 5 was given to"),
        ([put(1, 5), put(2, 7), got(1)], {"k": Key(2, 7, 2)}, "before a read that saw 1"),
    ],
)
def test_a_broken_promise_is_named(lines: list[dict[str, Any]], found: dict[str, Key], said: str) -> None:
    assert said in " ".join(faults(lines, found))


def test_a_stall_is_the_longest_time_without_an_acknowledged_write() -> None:
    lines = [put(1, 1, at=10.0), put(2, None, at=11.0), put(3, 3, at=14.0), put(4, 4, at=15.0)]
    assert longest_stall_s(lines) == 4.0
    assert longest_stall_s(lines, since=12.0) == 1.0


def pod(name: str, ready: bool, kind: str = "MODIFIED", uid: str = "", leaving: bool = False) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "uid": uid or name}
    if leaving:
        metadata["deletionTimestamp"] = "now"
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"type": kind, "object": {"metadata": metadata, "status": {"conditions": conditions}}}


def roll(name: str) -> Sequence[dict[str, Any]]:
    return (
        pod(name, True, leaving=True),
        pod(name, False, leaving=True),
        pod(name, False, "DELETED", leaving=True),
        pod(name, False, "ADDED", uid="new"),
        pod(name, True, uid="new"),
    )


def test_a_roll_of_one_pod_after_the_other_is_seen_as_such() -> None:
    before = [pod(name, True, "ADDED") for name in NODES]
    seen = judge_pods([*before, *roll("c"), *roll("b"), *roll("a")], NODES)
    assert (seen.most_away, seen.left) == (1, ("c", "b", "a"))


def test_two_pods_away_at_once_are_noticed() -> None:
    before = [pod(name, True, "ADDED") for name in NODES]
    assert judge_pods([*before, *roll("c")[:4], *roll("b")], NODES).most_away == 2


def test_objects_one_after_the_other_are_read_up_to_the_one_on_its_way() -> None:
    text = json.dumps({"a": 1}, indent=2) + "\n" + json.dumps({"b": 2}) + '\n{"c":'
    assert json_objects(text) == [{"a": 1}, {"b": 2}]
