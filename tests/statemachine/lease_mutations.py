"""Mistakes about leases, each as one small change of `node/statemachine`: `test_leases.py` notices them.

Why it exists: see `tests.mutating`.

    python -m tests.statemachine.lease_mutations            the whole list; exit code 1 if one survives
"""

import sys

from tests.mutating import Mutation, passes, run

ROOM = "node/statemachine"

MUTATIONS = (
    Mutation("a lease ends a moment early", "leases.py", "_bytes8(now_us + 1)", "_bytes8(now_us + 2)"),
    Mutation("a lease is shorter than was asked for", "leases.py", "now_us + ttl_s * 1", "now_us + (ttl_s - 1) * 1"),
    Mutation("a keep-alive changes nothing", "leases.py", "now_us + before.ttl_s * 1_000_000", "before.expiry_us"),
    Mutation(
        "who is dead is kept alive",
        "leases.py",
        "if before is None or before.expiry_us <= now_us:",
        "if before is None:",
    ),
    Mutation("a keep-alive leaves the old end", "leases.py", "        self._by_expiry.drop(_expiry_key(before))\n", ""),
    Mutation("no least time to live", "leases.py", "max(ttl_s, TTL_S_MIN)", "ttl_s"),
    Mutation("no longest time to live", "leases.py", "min(max(ttl_s, TTL_S_MIN), TTL_S_MAX)", "max(ttl_s, TTL_S_MIN)"),
    Mutation(
        "the index believes itself",
        "leases.py",
        "return kv is not None and kv.lease == int.from_bytes(entry[:8]) - _BIAS",
        "return kv is not None",
    ),
    Mutation("purge under a reader", "leases.py", " and not self._versions.held:", ":"),
    Mutation(
        "purge what is true",
        "leases.py",
        "                if not self._is_true(entry, self._versions.last):\n",
        "                if True:\n",
    ),
    Mutation(
        "the index keeps the keys of the dead",
        "leases.py",
        "        self._stale.append(_range_of",
        "        str(_range_of",
    ),
    Mutation("a walk sees later leases", "leases.py", '        self._shared[:] = b"\\1" * PARTS\n', ""),
    Mutation(
        "a lease is gone before its keys",
        "leasing.py",
        "    yield from _deleting_keys_of(versions, leases, write.id, meter)\n    leases.revoked(write.id)\n",
        "    keys = _deleting_keys_of(versions, leases, write.id, meter)\n"
        "    leases.revoked(write.id)\n"
        "    yield from keys\n",
    ),
    Mutation("a revision for each key", "leasing.py", "number, revision)", "number, versions.last + 1)"),
    Mutation("keys of another lease go too", "versions.py", " and kv.lease == lease]", "]"),
    Mutation("what ended ends again", "ordered.py", "            del self._blocks[0][:some]\n", "            break\n"),
    Mutation(
        "a number that is taken is granted again",
        "leasing.py",
        "    if number in leases:\n        return Refused",
        "    if False:\n        return Refused",
    ),
    Mutation("no end of leases", "leasing.py", "if len(leases) >= LEASES_MAX:", "if False:"),
    Mutation("no end of keys of one entry", "leasing.py", "if keys >= ENDED_KEYS_MAX:", "if False:"),
    Mutation("no end of leases of one entry", "leases.py", "ENDED_PER_ENTRY_MAX - len(found))", "10**6)"),
    Mutation(
        "a put with any lease",
        "executing.py",
        "if operation.lease and operation.lease not in leases:",
        "if False:",
    ),
    Mutation("a key stays with its old lease", "executing.py", "        if previous:\n", "        if False:\n"),
    Mutation(
        "a deleted key stays with its lease",
        "executing.py",
        "                if kv.lease:\n",
        "                if False:\n",
    ),
    Mutation(
        "a snapshot without leases",
        "store.py",
        "SnapshotJob(self._state)",
        "SnapshotJob(self._state._replace(leases=Leases(self._versions)))",
    ),
    Mutation(
        "a restored lease has no keys",
        "restoring.py",
        "            self._leases.attach(newest.lease, newest.key)\n",
        "",
    ),
    Mutation(
        "the last key of a snapshot has no lease",
        "restoring.py",
        "            self._attach(self._before)\n",
        "            pass\n",
    ),
)


def survives(mutation: Mutation | None) -> str:
    """See `tests.mutating.passes`."""
    return passes(mutation, ROOM, "tests/statemachine", ["test_leases.py"])


if __name__ == "__main__":
    sys.exit(run(MUTATIONS, survives, sys.argv[1:]))
