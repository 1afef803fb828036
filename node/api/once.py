"""The numbers of a write in a client's session, and the bytes of its entry.

Why it exists: every door to a write may name a session, and a repeated write is known by its bytes, so they are made in
one place. It must not know in which form the numbers came.

What clients call a session begins with a mark of the cluster: one that was made from a backup goes on from an older
index, and would give the number of an old session to somebody else.
"""

from typing import NamedTuple

from node.runtime.ports import NodeHandle
from node.statemachine.writes import (
    SESSION_EXPIRED,
    SESSION_REFUSALS,
    Refused,
    Result,
    StoreWrite,
    Untold,
    encode_write,
    in_session,
)

MARK_CHARS = 8
"""Of the cluster id, which is a hash."""


class Numbers(NamedTuple):
    """`session` 0: none. `answered`: the client waits no more for any sequence number up to this. `mark`: of the
    cluster that registered the session."""

    session: int = 0
    sequence: int = 0
    answered: int = 0
    mark: str = ""


NO_SESSION = Numbers()


class OwnCluster:
    """Whose sessions are taken here."""

    def __init__(self, handle: NodeHandle) -> None:
        self._handle = handle
        self._mark = ""

    def name(self, session: int) -> str:
        """What a client calls that session."""
        return f"{self.mark}-{session}"

    def refusal(self, numbers: Numbers) -> Refused | None:
        """Why nothing can be done with them, although nobody has asked the log."""
        if not numbers.session or self.mark in ("", numbers.mark):
            return None  # before birth the log says what there is to say
        message = (
            f"session {numbers.mark}-{numbers.session} is one of another cluster, so nothing was done now; register a "
            "new session, and read what earlier writes should have written"
        )
        return Refused(SESSION_EXPIRED, message)

    @property
    def mark(self) -> str:
        """Empty before birth. It does not change afterwards."""
        if not self._mark:
            self._mark = self._handle.status().core.cluster_id[:MARK_CHARS]
        return self._mark


def encoded(write: StoreWrite, numbers: Numbers) -> bytes:
    """What to propose."""
    data = encode_write(write)
    return in_session(data, numbers.answered) if numbers.session else data


def count_of(result: Result) -> str:
    """As what a write with that result is counted: one that is refused for its numbers was not done now."""
    if isinstance(result, Refused) and result.code in SESSION_REFUSALS:
        return result.code
    return "done-untold" if isinstance(result, Untold) else "done"
