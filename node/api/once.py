"""The numbers of a write in a client's session, and the bytes of its entry.

Why it exists: every door to a write may name a session, and a repeated write is known by its bytes, so they are made in
one place. It must not know in which form the numbers came.
"""

from typing import NamedTuple

from node.statemachine.writes import SESSION_REFUSALS, Refused, Result, StoreWrite, Untold, encode_write, in_session


class Numbers(NamedTuple):
    """`session` 0: none. `answered`: the client waits no more for any sequence number up to this."""

    session: int = 0
    sequence: int = 0
    answered: int = 0


NO_SESSION = Numbers()


def encoded(write: StoreWrite, numbers: Numbers) -> bytes:
    """What to propose."""
    data = encode_write(write)
    return in_session(data, numbers.answered) if numbers.session else data


def count_of(result: Result) -> str:
    """As what a write with that result is counted: one that is refused for its numbers was not done now."""
    if isinstance(result, Refused) and result.code in SESSION_REFUSALS:
        return result.code
    return "done-untold" if isinstance(result, Untold) else "done"
