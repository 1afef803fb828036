"""How `/kv` says things: keys in JSON, and what became of a request as a `Problem`.

Why it exists: reads, writes and lists name a key alike, and say alike why there is none. It must not ask anybody.
"""

from base64 import b64encode
from typing import Any, cast

from node.api.answers import Problem, try_again
from node.api.etcd.errors import MEANWHILE_IN_FORCE, Code, EtcdError
from node.api.etcd.refusals import refused
from node.api.once import count_of
from node.observe.metrics import Metrics
from node.runtime.ports import Done, DoneUntold, NotProposed, Outcome, Unknown
from node.statemachine.permitting import user_empty
from node.statemachine.writes import (
    AUTH_REFUSALS,
    SESSION_EXPIRED,
    SESSION_REFUSALS,
    Compacted,
    FutureRevision,
    KeyValue,
    ReadError,
    Refused,
    Result,
    Untold,
)


def named(key: bytes) -> dict[str, Any]:
    """A key in JSON: as text where it is UTF-8 (else null), and always in base64."""
    try:
        text: str | None = key.decode()
    except UnicodeDecodeError:
        text = None
    return {"key": text, "key_base64": b64encode(key).decode()}


def row(kv: KeyValue) -> dict[str, object]:
    """A key in a list: all but its value."""
    return {
        **named(kv.key),
        "value_bytes": len(kv.value),
        "mod_revision": kv.mod_revision,
        "create_revision": kv.create_revision,
        "version": kv.version,
    }


def missing(key: bytes, revision: int) -> Problem:
    """404; `revision`: of the store when it was looked for."""
    return Problem(404, "key-not-found", "there is no such key", revision=revision, **named(key))


def unreadable(error: ReadError) -> Problem:
    """A revision that the store does not hold any more, or not yet."""
    if isinstance(error, Compacted):
        return Problem(
            410,
            "compacted",
            f"revision {error.revision} was compacted; the oldest readable one is {error.compact_revision}",
            compact_revision=error.compact_revision,
        )
    return Problem(
        400,
        "future-revision",
        f"revision {error.revision} has not happened yet; the store is at {error.current}",
        field="revision",
        revision=error.current,
    )


def result_of(outcome: Outcome, metrics: Metrics) -> Result:
    """The store's answer to a write, or a `Problem` that says what became of it. It is counted."""
    if isinstance(outcome, Done):
        result = cast(Result, outcome.result)
        if isinstance(result, Refused) and result.code in SESSION_REFUSALS:
            raise session_refused(result, metrics)
        metrics.proposal(count_of(result))
        if isinstance(result, Untold):
            raise _untold("its answer was too long to be kept", outcome.index)
        return result
    if isinstance(outcome, DoneUntold):
        metrics.proposal("done-untold")
        raise _untold(outcome.reason, outcome.index)
    if isinstance(outcome, Unknown):
        metrics.proposal("unknown")
        raise Problem(504, "unknown outcome", outcome.reason)
    metrics.proposal(outcome.code)
    raise refusal(outcome)


def session_refused(refused: Refused, metrics: Metrics) -> Problem:
    """410 where there is no such session, 409 where its numbers cannot be. It is counted."""
    metrics.proposal(refused.code)
    return Problem(410 if refused.code == SESSION_EXPIRED else 409, refused.code, refused.message)


def _untold(reason: str, index: int) -> Problem:
    message = f"the write was done, but {reason}; look before you repeat it"
    return Problem(504, "done-untold", message, index=index)


def unexpected(result: Result) -> Problem:
    """What the store refused although the API had checked it, or because of who asked: nothing was written."""
    if result == user_empty():  # this node did not know of users when it proposed it
        return not_permitted(EtcdError(Code.UNAVAILABLE, MEANWHILE_IN_FORCE))
    if isinstance(result, Refused) and result.code in AUTH_REFUSALS:
        return not_permitted(refused(result))
    if isinstance(result, Refused):
        return Problem(404 if result.code == "lease-not-found" else 400, result.code, result.message)
    if isinstance(result, (Compacted, FutureRevision)):
        return unreadable(result)
    message = "the write was done, but its answer is of another kind; look before you repeat it"
    return Problem(504, "done-untold", message)


def not_permitted(error: EtcdError) -> Problem:
    """401 where it is not known who asks (any more), 403 where they may not; in the words of etcd's API."""
    message = error.message.removeprefix("etcdserver: ")
    if error.code is Code.UNAVAILABLE:
        return try_again("no-leader", message)
    if error.code is Code.PERMISSION_DENIED:
        return Problem(403, "permission-denied", f"{message}: the user has no permission on these keys")
    return Problem(401, "unauthenticated", message, headers={"WWW-Authenticate": "Bearer"})


def store_full(bytes_max: int) -> Problem:
    """Nothing that grows is proposed while the store is full."""
    message = (
        f"the store holds its limit of {bytes_max} bytes (quota_bytes), so nothing was written: delete keys, and "
        "compact (POST /v3/kv/compaction) to let go what they were"
    )
    return Problem(507, "store-full", message)


def refusal(outcome: NotProposed) -> Problem:
    """What never got into a log."""
    if outcome.code == "too-large":
        return Problem(413, "too-large", outcome.reason)
    if outcome.code == "log-full":
        return Problem(507, "log-full", outcome.reason, leader=outcome.leader or None)
    return try_again(outcome.code, outcome.reason, outcome.leader)
