"""What became of a write, as the API reads it: the state machine's own value.

Why it exists: `/kv` and etcd's routes take the same answer out of an outcome. It must not decide how either says it.
"""

from typing import cast

import msgspec

from node.runtime.ports import Done
from node.statemachine.commands import Result, decode_result

DONE_UNREADABLE = "the write was done, but its answer cannot be read; look before you repeat it"


def result_of(done: Done) -> Result | None:
    """The store's answer; None where it cannot be read."""
    result: object = done.result
    if not isinstance(result, bytes):
        return cast(Result, result)
    try:  # until every state machine answers by value
        return decode_result(result)
    except msgspec.MsgspecError:
        return None
