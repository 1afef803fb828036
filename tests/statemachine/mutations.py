"""Mistakes about clients' sessions, and about a state that is taken over from a snapshot, each as one small change of
`node/statemachine`: `test_sessions.py` notices the first, `test_damaged_snapshots.py` the others.

Why it exists: see `tests.mutating`.

    python -m tests.statemachine.mutations            the whole list, one line a mutation; exit code 1 if one survives
"""

import sys

from tests.mutating import Mutation, passes, run

ROOM = "node/statemachine"

MUTATIONS = (
    Mutation("do what comes again", "sessions.py", "        if found is None:", "        if True:"),
    Mutation(
        "keep a session past its time",
        "sessions.py",
        "if session is None or _is_over(session, entry.time_us):",
        "if session is None:",
    ),
    Mutation(
        "a session ends a moment early",
        "sessions.py",
        "session.used_us > session.idle_us",
        "session.used_us >= session.idle_us",
    ),
    Mutation(
        "a session ends though it was used", "sessions.py", "replace(session, used_us=now_us)", "replace(session)"
    ),
    Mutation(
        "do what the client has given up",
        "sessions.py",
        "        if sequence <= session.answered:\n",
        "        if sequence <= session.answered and found is not None:\n",
    ),
    Mutation("take a word back", "sessions.py", "max(session.answered, answered))", "answered)"),
    Mutation("take one write for another", "sessions.py", "if found.checksum != checksum:", "if False:"),
    Mutation(
        "forget the latest result where there are too many",
        "sessions.py",
        "results[0].sequence)",
        "results[-1].sequence)",
    ),
    Mutation(
        "a result that went for room may be done anew",
        "sessions.py",
        "self._put(session, results, session.answered if len(results) <= RESULTS_MAX else results[0].sequence)",
        "self._put(session, results[-RESULTS_MAX:], session.answered)",
    ),
    Mutation("evict the youngest", "sessions.py", "next(iter(held.sessions))", "next(reversed(held.sessions))"),
    Mutation(
        "evict who was used lately",
        "sessions.py",
        "        self._held(session.id).sessions.move_to_end(session.id)\n",
        "",
    ),
    Mutation("the idle stay young", "sessions.py", "        self._by_id.move_to_end(session.id)\n", ""),
    Mutation(
        "no end of sessions",
        "sessions.py",
        "len(self._by_id) > SESSIONS_MAX or self.size_bytes",
        "self.size_bytes",
    ),
    Mutation(
        "no end of bytes",
        "sessions.py",
        "return len(self._by_id) > SESSIONS_MAX or self.size_bytes > SESSIONS_BYTES_MAX",
        "return len(self._by_id) > SESSIONS_MAX",
    ),
    Mutation(
        "lose count of bytes",
        "sessions.py",
        "            self._count(session.id, -KEPT_BYTES - len(kept.result))\n",
        "            pass\n",
    ),
    Mutation("any time that is asked for", "sessions.py", "min(idle_us, IDLE_US_MAX)", "idle_us"),
    Mutation("all that expired at once", "sessions.py", "range(EXPIRED_PER_ENTRY_MAX)", "range(10**6)"),
    Mutation(
        "a result is made only where somebody waits",
        "applying.py",
        "    return (yield from _permitted(state, asker, write, entry, meter, wanted=True))\n",
        "    return (yield from _permitted(state, asker, write, entry, meter, wanted=False))\n",
    ),
    Mutation(
        "numbers without a session count", "applying.py", "elif isinstance(write, InSession):", "elif entry.session:"
    ),
    Mutation(
        "a session in a session",
        "applying.py",
        "    if isinstance(write, InSession | Register | AsUser):\n        return Refused",
        "    if False:\n        return Refused",
    ),
    Mutation(
        "a snapshot without sessions",
        "store.py",
        "SnapshotJob(self._state)",
        "SnapshotJob(self._state._replace(sessions=Sessions()))",
    ),
    Mutation(
        "a restore keeps the old sessions",
        "store.py",
        "self._versions, self._leases, self.sessions, self.auth = versions, leases, sessions, auth",
        "self._versions, self._leases, self.auth = versions, leases, auth",
    ),
    Mutation(
        "a walk sees later sessions",
        "sessions.py",
        "return list(self._by_id.values())",
        "return self._by_id.values()  # type: ignore[return-value]",
    ),
    Mutation(
        "a session in two chunks loses the first",
        "sessions.py",
        "results=before.results + session.results",
        "results=session.results",
    ),
    Mutation(
        "apply a chunk twice",
        "restoring.py",
        "            if not (follows and possible and",
        "            if not (possible and",
    ),
    Mutation(
        "a chunk that is missing is not missed",
        "restoring.py",
        "        if (section.keys, section.versions) != (self._keys_loaded, self._versions_loaded):",
        "        if False:",
    ),
    Mutation(
        "rows of sessions come in any order",
        "restoring.py",
        " or section.before != self._rows_loaded:",
        ":",
    ),
    Mutation("take over a state that is cut short", "restoring.py", "        if not self._ended:", "        if False:"),
    Mutation(
        "go on after the end of a state",
        "restoring.py",
        "        if isinstance(section, StoreSection) is self._begun or self._ended:",
        "        if isinstance(section, StoreSection) is self._begun:",
    ),
    Mutation(
        "leases of a snapshot are not counted",
        "restoring.py",
        "        if wanted != len(self._leases):",
        "        if False:",
    ),
    Mutation(
        "a key may have a lease that is not in the snapshot",
        "restoring.py",
        "            if newest.lease not in self._leases:",
        "            if False:",
    ),
    Mutation(
        "leases of a snapshot come in any order",
        "restoring.py",
        "            if self._last_lease is not None and lease.id <= self._last_lease.id:",
        "            if False:",
    ),
    Mutation("take over what was refused", "restoring.py", "        if self._refusal:", "        if False:"),
    Mutation(
        "sessions of a snapshot are not counted",
        "restoring.py",
        "        if (wanted.sessions, wanted.results) != (len(self._sessions), self._results_loaded):",
        "        if False:",
    ),
)


def survives(mutation: Mutation | None) -> str:
    """See `tests.mutating.passes`."""
    of_sessions, of_snapshots = "test_sessions.py", "test_damaged_snapshots.py"
    if mutation is None:
        return passes(mutation, ROOM, "tests/statemachine", [of_sessions, of_snapshots])
    tests = of_snapshots if mutation.file == "restoring.py" else of_sessions
    return passes(mutation, ROOM, "tests/statemachine", [tests])


if __name__ == "__main__":
    sys.exit(run(MUTATIONS, survives, sys.argv[1:]))
