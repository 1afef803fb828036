"""What a call may raise, each with what became of it.

Why it exists: a caller must be able to tell what provably did not happen from what may have. It must not know how an
answer looks.
"""


class ClientError(Exception):
    """`key` and `endpoint` (the node that was asked last) say what it is about, `reason` why it failed."""

    cure = ""

    def __init__(self, method: str, key: bytes, endpoint: str, reason: str) -> None:
        super().__init__(f"{method} {key[:100].decode(errors='replace')!r} at {endpoint}: {reason}; {self.cure}.")
        self.key, self.endpoint, self.reason = key, endpoint, reason


class NotDone(ClientError):
    """Provably nothing happened, and nothing will. `status`: HTTP's where a node refused for good, else 0."""

    cure = "nothing happened"
    status = revision = 0


class RevisionMismatch(NotDone):
    """The key was not at the revision that the write demanded. `revision`: where it is, 0 for no such key."""


class HistoryGone(ClientError):
    """Changes that a watch had still to tell were compacted. `compact_revision`: the first that is left; read the keys,
    then watch on from the revision after that of what was read."""

    cure = "read the keys, and watch from there on"

    def __init__(self, method: str, key: bytes, endpoint: str, reason: str, compact_revision: int) -> None:
        super().__init__(method, key, endpoint, reason)
        self.compact_revision = compact_revision


class LeaseLost(Exception):
    """The lease may have ended, and with it the keys that were put with it. `lease`: its number."""

    def __init__(self, lease: int) -> None:
        super().__init__(f"lease {lease} was lost: its keys may be gone, and somebody else may hold what it held")
        self.lease = lease


class OutcomeUnknown(ClientError):
    """The write may have happened, or may happen yet."""

    cure = "the outcome is unknown: read the key before you repeat the write"
