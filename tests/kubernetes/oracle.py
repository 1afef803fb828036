"""Judges a load: what was acknowledged must be there, once, in order, and reads must be as new as what came before.

Why it exists: "nothing acknowledged is lost" needs somebody who knows what was acknowledged and asks for all of it. The
arithmetic is pure (`test_judging.py` shows that it notices); the state comes from `read_back`, through every node.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.kubernetes.release import Release

Line = Mapping[str, Any]

KEYS_MAX = 1000
"""One page of the list."""


@dataclass(frozen=True)
class Key:
    """What a node says of one key, read linearizably. `writes`: how many puts it has seen since it was made."""

    value: int
    revision: int
    writes: int


@dataclass
class Told:
    """What the writer of one key was told, in order. `acknowledged`: (number, revision)."""

    acknowledged: list[tuple[int, int]] = field(default_factory=list)
    unknown: list[int] = field(default_factory=list)
    attempted: int = 0


def told(lines: Iterable[Line]) -> dict[str, Told]:
    """By key."""
    keys: dict[str, Told] = defaultdict(Told)
    for line in lines:
        if line["op"] != "put":
            continue
        key = keys[line["key"]]
        key.attempted = line["n"]
        if line["outcome"] == "acknowledged":
            key.acknowledged.append((line["n"], line["revision"]))
        elif line["outcome"] == "unknown":
            key.unknown.append(line["n"])
    return dict(keys)


def faults(lines: Sequence[Line], found: Mapping[str, Key]) -> list[str]:
    """Every breach of what the writers were promised, a sentence each; empty when all is well."""
    keys = told(lines)
    return [
        *(sentence for name, key in sorted(keys.items()) for sentence in _of_key(name, key, found.get(name))),
        *_shared_revisions(keys),
        *_stale_reads(lines),
    ]


def _of_key(name: str, key: Told, now: Key | None) -> Iterable[str]:
    if not key.acknowledged:
        return
    revisions = [revision for _, revision in key.acknowledged]
    if revisions != sorted(set(revisions)):
        yield f"{name}: acknowledged one after the other, but the revisions do not grow"
    if now is None:
        yield f"{name}: {len(key.acknowledged)} acknowledged writes, and there is no such key"
        return
    last, revision = key.acknowledged[-1]
    # A write of unknown outcome may still be done later, and then stands above an acknowledged one
    if now.value != last and now.value not in key.unknown:
        yield f"{name}: {last} was acknowledged, and {now.value} is there"
    if now.revision < revision or (now.value == last and now.revision != revision):
        yield f"{name}: {last} was acknowledged at revision {revision}, and {now.revision} is there"
    least, most = len(key.acknowledged), len(key.acknowledged) + len(key.unknown)
    if not least <= now.writes <= most:
        yield f"{name}: {least} acknowledged and {most - least} unknown writes, and {now.writes} were done"


def _shared_revisions(keys: Mapping[str, Told]) -> Iterable[str]:
    owner: dict[int, str] = {}
    for name, key in keys.items():
        for number, revision in key.acknowledged:
            if revision in owner:
                yield f"revision {revision} was given to {owner[revision]} and to {name} = {number}"
            owner[revision] = f"{name} = {number}"


def _stale_reads(lines: Sequence[Line]) -> Iterable[str]:
    last: dict[str, int] = {}  # each key has one client, which does one thing after the other
    for line in lines:
        if line["outcome"] != "acknowledged":
            continue
        if line["op"] == "put":
            last[line["key"]] = line["n"]
        elif line["value"] < last.get(line["key"], 0):
            yield f"{line['key']}: {last[line['key']]} was acknowledged before a read that saw {line['value']}"


def longest_stall_s(lines: Sequence[Line], since: float = 0.0, until: float = float("inf")) -> float:
    """Seconds: the longest time without any acknowledged write between those two moments of the load's clock."""
    at = sorted(line["at"] for line in lines if line["op"] == "put" and line["outcome"] == "acknowledged")
    at = [moment for moment in at if since <= moment <= until]
    return max((after - before for before, after in pairwise(at)), default=0.0)


def read_back(release: Release, node: str, prefix: str) -> dict[str, Key]:
    """Every key of the load as this node gives it, linearizably."""
    listed = release.ask(node, f"/kv/?prefix={prefix}&limit={KEYS_MAX}")
    assert listed is not None, f"{node} gives no list"
    found = {}
    for entry in listed["keys"]:
        value = release.value(node, entry["key"], f"?revision={entry['mod_revision']}")
        assert value is not None, entry
        found[entry["key"]] = Key(int(value), entry["mod_revision"], entry["version"])
    return found


def nothing_is_lost(release: Release, lines: Sequence[Line]) -> None:
    """Every node, asked for itself, has all that was acknowledged."""
    keys = told(lines)
    assert any(key.acknowledged for key in keys.values()), "nothing was acknowledged: this run proves nothing"
    prefix = next(iter(keys)).rpartition("-")[0] + "-"
    for node in release.nodes:
        broken = faults(lines, read_back(release, node, prefix))
        assert not broken, f"through {node}:\n" + "\n".join(broken[:20])
