"""What can go wrong inside the algorithm: refusals are values, broken invariants are exceptions.

Why it exists: a refusal is an ordinary answer that a caller must handle, so it is a typed value; a broken
invariant means that this process can no longer be trusted, so it raises and the node stops. It is not `assert`,
which `python -O` removes.
"""

import msgspec


class InvariantViolation(Exception):
    """A rule that Raft proves cannot be broken was broken: stop, and report the numbers in the message."""


def invariant(holds: bool, template: str, *values: object) -> None:
    """Raise `InvariantViolation` unless `holds`; its sentence is `template.format(*values)`, made only then.

    Never pass an f-string: it is built each time, and costs more than all that it explains (3 to 5 microseconds).
    """
    if not holds:
        raise InvariantViolation(template.format(*values) if values else template)


class NotLeader(msgspec.Struct, frozen=True, tag=True, gc=False):
    """This node does not lead, so nothing was proposed. `leader` is who probably does; empty where unknown."""

    leader: str = ""


class LogFull(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The log reached its limit for a write of that length, so nothing was proposed; reads go on. Sizes are bytes."""

    size_bytes: int
    limit_bytes: int


class Overloaded(msgspec.Struct, frozen=True, tag=True, gc=False):
    """Too much waits to be committed, so nothing was proposed; try again later. `unit`: "bytes" or "entries"."""

    waiting: int
    limit: int
    unit: str = "bytes"


class NotBorn(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The node is INITIAL: it belongs to no cluster yet. `waiting_for` says why, for people."""

    waiting_for: str = ""


class Transferring(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The leader is handing over to `target`, so nothing was proposed; for one election timeout at most."""

    target: str


Refusal = NotLeader | LogFull | Overloaded | NotBorn | Transferring
"""Why the core took no proposal or read: in each case nothing was proposed and nothing will happen."""
