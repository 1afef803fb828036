"""Mistakes about watches and the history that they read, each as one small change: `test_watching.py` notices those of
`node/watching`, `test_history.py` of the state machine those of the history.

Why it exists: see `tests.mutating`.

    python -m tests.watching.mutations            the whole list, one line a mutation; exit code 1 if one survives
"""

import sys

from tests.mutating import Mutation, passes, run

ROOM = "node"

MUTATIONS = (
    Mutation(
        "a watch that begins within a revision misses the part before",
        "watching/hub.py",
        "return self.revision + (1 if self._walk is None else 2)",
        "return self.revision + 1",
    ),
    Mutation("an event that makes room is lost", "watching/hub.py", "group.recent[0][0] + 1", "group.recent[0][0]"),
    Mutation(
        "a revision is told before all of it is there",
        "watching/hub.py",
        "                if left <= 0:\n                    break\n            else:\n",
        "                if left <= 0:\n                    break\n            if True:\n",
    ),
    Mutation(
        "after a jump only who has something is told",
        "watching/hub.py",
        "            self._to_tell.append((self.revision + 1, everybody))\n",
        "            del everybody\n",
    ),
    Mutation(
        "an idle watch falls behind what it has passed",
        "watching/stream.py",
        "                watch.next = max(watch.next, revision)\n",
        "",
    ),
    Mutation(
        "progress overtakes events",
        "watching/stream.py",
        "if not all(each.is_synced() for each in self._watches.values()):",
        "if False:",
    ),
    Mutation(
        "progress by itself overtakes events",
        "watching/stream.py",
        "if watch is not None and watch.is_synced():",
        "if watch is not None:",
    ),
    Mutation(
        "a watch at the compacted revision is refused",
        "watching/stream.py",
        "watch.next < hub.store.compact_revision",
        "watch.next <= hub.store.compact_revision",
    ),
    Mutation(
        "an id is given twice",
        "watching/stream.py",
        "        while self._next_id in self._watches:\n            self._next_id += 1\n",
        "",
    ),
    Mutation(
        "a response says more than it tells",
        "watching/stream.py",
        "Response(watch.id, watch.next - 1, piece",
        "Response(watch.id, watch.next, piece",
    ),
    Mutation("the last fragment says that more comes", "watching/stream.py", "at < len(pieces)", "at <= len(pieces)"),
    Mutation(
        "filters are taken for each other",
        "watching/watch.py",
        "self.no_delete if event.is_delete else self.no_put",
        "self.no_put if event.is_delete else self.no_delete",
    ),
    Mutation(
        "a part of a revision that takes two turns is lost",
        "watching/watch.py",
        "                self.partial = partial\n",
        "",
    ),
    Mutation(
        "what lived at the compacted revision is not told as the version before",
        "watching/events.py",
        "gone = before < store.compact_revision",
        "gone = before <= store.compact_revision",
    ),
    Mutation("a key is told twice", "watching/events.py", "if key not in seen:", "if key:"),
    Mutation(
        "a prefix is found by a key that is shorter",
        "watching/interest.py",
        "if group is not None and len(key) >= length:",
        "if group is not None:",
    ),
    Mutation(
        "the order within a revision is forgotten",
        "statemachine/history.py",
        "        if key <= slot[-1]:",
        "        if False:",
    ),
    Mutation(
        "history goes that can still be read",
        "statemachine/history.py",
        "(self._lowest + 1) * REVISIONS_PER_BLOCK > revision",
        "self._lowest * REVISIONS_PER_BLOCK > revision",
    ),
    Mutation(
        "the change at the compacted revision is not restored",
        "statemachine/versions.py",
        "if kv.mod_revision >= compacted:",
        "if kv.mod_revision > compacted:",
    ),
    Mutation(
        "a delete at the compacted revision is not told",
        "statemachine/changes.py",
        "    if compacted >= 0:\n        yield compacted\n",
        "",
    ),
    Mutation(
        "changes that contradict the versions are taken",
        "statemachine/changes.py",
        "elif revision != self._versions.compacted or not key or",
        "elif False and not key or",
    ),
)


def survives(mutation: Mutation | None) -> str:
    """See `tests.mutating.passes`."""
    of_watches, of_history = "test_watching.py", "../statemachine/test_history.py"
    if mutation is None:
        files = [of_watches, of_history]
    else:
        files = [of_history if mutation.file.startswith("statemachine/") else of_watches]
    return passes(mutation, ROOM, "tests/watching", files, beside=["tests/statemachine"])


if __name__ == "__main__":
    sys.exit(run(MUTATIONS, survives, sys.argv[1:]))
