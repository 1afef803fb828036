"""Mistakes about users and permissions, each as one small change of `node/statemachine`, which `test_auth.py` or
`test_session_owners.py` notices.

Why it exists: see `tests.mutating`.

    python -m tests.statemachine.auth_mutations            the whole list; exit code 1 if one survives
"""

import sys

from tests.mutating import Mutation, passes, run

ROOM = "node/statemachine"

MUTATIONS = (
    Mutation(
        "a user's write is done unasked",
        "applying.py",
        "    refusal = yield from may_not_do(auth, asker, leases, write, meter)\n    return refusal or",
        "    return",
    ),
    Mutation(
        "who names no user may put",
        "applying.py",
        " and not self._auth.enabled:\n            self._end(entry, put",
        ":\n            self._end(entry, put",
    ),
    Mutation(
        "who names no user is trusted", "applying.py", "if write.user else TRUSTED", "if not write.user else TRUSTED"
    ),
    Mutation(
        "a user's write inside another's",
        "applying.py",
        "    if isinstance(write, AsUser):\n        return Refused",
        "    if False:\n        return Refused",
    ),
    Mutation(
        "a refusal is kept in a session",
        "applying.py",
        "    if not (isinstance(result, Refused) and result.code in AUTH_REFUSALS):\n",
        "    if True:\n",
    ),
    Mutation(
        "an old answer for whoever may not do it now",
        "applying.py",
        "    return (yield from may_not_do(state.auth, asker, state.leases, write, meter)) or result\n",
        "    return result\n",
    ),
    Mutation("a changed password changes nothing", "permitting.py", "if user.since != asker.since:", "if False:"),
    Mutation("a token that was given back stays good", "auth.py", "        self.tokens.pop(digest, None)\n", ""),
    Mutation(
        "anybody may use a session",
        "applying.py",
        "user = asker.user if state.auth.enabled else None",
        "user = None",
    ),
    Mutation(
        "who opens many sessions has others make room",
        "sessions.py",
        "        return len(self.sessions) if crowd else self.size_bytes, owner\n",
        "        return -len(self.sessions), owner\n",
    ),
    Mutation("owners are not in a snapshot", "snapshotting.py", "state.sessions.owners()", "[]"),
    Mutation("read is write", "permitting.py", "range_end, writes=True)", "range_end, writes=False)"),
    Mutation(
        "what is nested counts for nothing",
        "permitting.py",
        "(txn, *txn.nested)",
        "(txn,)",
    ),
    Mutation("compares count for nothing", "permitting.py", "(*tree.compare, *tree.success, ", "(*tree.success, "),
    Mutation("the other branch counts for nothing", "permitting.py", "*tree.success, *tree.failure)", "*tree.success)"),
    Mutation(
        "what was there is told to whoever may only write",
        "permitting.py",
        "    if refusal is None and operation.prev_kv:\n"
        "        refusal = may_not_read(auth, asker, operation.key)\n"
        "    return",
        "    return",
    ),
    Mutation(
        "any lease will do",
        "permitting.py",
        "    if refusal is None and operation.lease:\n",
        "    if False:\n",
    ),
    Mutation(
        "everybody may change users",
        "permitting.py",
        "return None if auth.is_root(user) else permission_denied()",
        "return None",
    ),
    Mutation("half of a range is enough", "auth.py", "range_end <= end)", "self._begins[at] < end)"),
    Mutation("permissions do not join", "auth.py", "if begin > last:", "if begin >= last:"),
    Mutation("an end that is included", "auth.py", "return key < end and", "return key <= end and"),
    Mutation("what was permitted before is remembered", "auth.py", "        self._spans.clear()\n", ""),
    Mutation("a token for ever", "auth.py", "now_us - token.given_us > TOKEN_TTL_US:", "False:"),
    Mutation("no end of tokens", "auth.py", "has_room = len(self.tokens) < TOKENS_MAX", "has_room = True"),
    Mutation("a token outlives a password", "auth.py", "user.since == since else", "True else"),
    Mutation("tokens outlive the force of users", "authorizing.py", "        auth.tokens.clear()\n", ""),
    Mutation(
        "a role that is deleted stays with its users",
        "authorizing.py",
        "        _take(auth, user, write.role)\n    return None\n\n\ndef _grant",
        "        pass\n    return None\n\n\ndef _grant",
    ),
    Mutation("root can be deleted", "authorizing.py", "if auth.enabled and write.name == ROOT:", "if False:"),
    Mutation("no end of users", "authorizing.py", "if len(auth.users) >= USERS_MAX:", "if False:"),
    Mutation(
        "a snapshot without users",
        "snapshotting.py",
        "        for section in self._auth:\n",
        "        for section in ():\n",
    ),
    Mutation(
        "users of a snapshot are not counted",
        "auth_loading.py",
        "        if found != (",
        "        if False and found != (",
    ),
    Mutation(
        "a restore keeps the old users",
        "store.py",
        "self._versions, self._leases, self.sessions, self.auth = versions, leases, sessions, auth",
        "self._versions, self._leases, self.sessions = versions, leases, sessions",
    ),
)


def survives(mutation: Mutation | None) -> str:
    """See `tests.mutating.passes`."""
    return passes(mutation, ROOM, "tests/statemachine", ["test_auth.py", "test_session_owners.py"])


if __name__ == "__main__":
    sys.exit(run(MUTATIONS, survives, sys.argv[1:]))
