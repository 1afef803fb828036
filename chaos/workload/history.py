"""The history: what every client asked, and what it was told, in the order it was told.

Why it exists: "nothing was lost" needs somebody who remembers what was acknowledged; an unknown outcome stays unknown
for ever. It must not judge: see `checks`.
"""

from typing import Literal

import msgspec

PastRead = tuple[int, int, int]
"""(revision asked for, revision of the write that the key held then, its value); (asked, 0, 0): it held nothing."""


class Op(msgspec.Struct, frozen=True, kw_only=True):
    """One request of one client, sent once. A client has one request under way at a time.

    `via`: the node that it was sent to. A write carries `value` (1, 2, 3, ... for a key, which one client owns); a read
    saw `value`, 0 where the key did not exist. `outcome`: "ok"; "fail": provably nothing happened; "unknown": it may
    have happened, or may still happen. `done_us`: when the answer, or the failure to get one, was there. `code`: the
    HTTP status, 0 for none. `revision`: the store's, as the node named it for an acknowledged write, or for
    the write that a read saw; 0: it named none.
    """

    client: str
    number: int
    kind: Literal["write", "read"]
    key: str
    value: int | None
    via: str
    sent_us: int
    done_us: int
    outcome: Literal["ok", "fail", "unknown"]
    code: int = 0
    error: str = ""
    revision: int = 0
