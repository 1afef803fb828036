"""A message to etcd's JSON API of the nodes: node after node is asked, until one says what is.

Why it exists: leases, locks and elections are all made of such messages, and each may meet a node that is gone, paused
or without a leader. It must not know what a message means: whoever asks makes it one that may be done twice, and says
by `changes` whether a doubt is left where nobody answered.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from raftclient.answers import Answer, Failed
from raftclient.errors import NotDone, OutcomeUnknown

ATTEMPT_SECONDS_MAX = 2.0
"""One attempt: a node that is paused takes connections and does not answer, and another one would."""

PAUSE_SECONDS = 0.1
"""Between attempts."""

Send = Callable[[str, bytes, float], Awaitable[tuple[str, Answer]]]
"""Post a body to a path of whichever node is asked now, within so many seconds: which it was, and its answer. Raises
`Failed`, and the next call asks another."""


async def ask(
    send: Send,
    path: str,
    message: Mapping[str, object],
    until: float,
    about: tuple[str, bytes],
    *,
    changes: bool = False,
) -> dict[str, Any]:
    """The JSON object that a node answers, before `until` of the loop's clock. `about`: method and key, for errors.
    Raises `NotDone` (with `status` where a node refused for good), and with `changes` `OutcomeUnknown` where an attempt
    that was not answered may have been done."""
    loop = asyncio.get_running_loop()
    body, reason, endpoint, doubtful = json.dumps(message).encode(), "no time", "", False
    while (left := until - loop.time()) > 0:
        try:
            endpoint, answer = await send(path, body, min(left, ATTEMPT_SECONDS_MAX))
        except Failed as error:
            reason, doubtful = str(error), doubtful or not error.safe
        else:
            said = answer.said()
            result = said.get("result", said)
            if answer.status == 200 and isinstance(result, dict) and "header" in result:
                return result
            reason = f"answered {answer.status}: {said.get('message', '')}"
            if 400 <= answer.status < 500 and not (changes and doubtful):
                refused = NotDone(*about, endpoint, _failed(path, reason))
                refused.status = answer.status
                raise refused
            doubtful = doubtful or not 400 <= answer.status < 500
        await asyncio.sleep(min(PAUSE_SECONDS, max(0.0, until - loop.time())))
    raise (OutcomeUnknown if changes and doubtful else NotDone)(*about, endpoint, _failed(path, reason))


def _failed(path: str, reason: str) -> str:
    return f"{path.rpartition('/')[2]} failed: {reason}"
