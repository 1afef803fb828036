"""Who asks, and what they may do; whoever works for a request finds out here for whom.

Why it exists: doors learn it (HTTP of a header or a cookie, gRPC of its metadata), and calls far below may want to
know: whose keys are these, who changed this? It must not know how anybody proves who they are.
"""

import enum
from contextvars import ContextVar

import msgspec


class Role(enum.StrEnum):
    """What somebody may do to a node. `write` includes `read`. `operate` includes `read` too, for a backup holds every
    key; but who heals a cluster need not change what is in it, so it does not include `write`."""

    READ = "read"
    WRITE = "write"
    OPERATE = "operate"


class Both(enum.StrEnum):
    """What takes two roles at once: whoever makes users makes those who may do anything, so neither role alone may."""

    WRITE_AND_OPERATE = "write and operate"


Need = Role | Both | None
"""What a request takes; None: nothing, it is open to all."""

_TOGETHER = {Both.WRITE_AND_OPERATE: frozenset({Role.WRITE, Role.OPERATE})}

INCLUDED = {
    Role.READ: frozenset({Role.READ}),
    Role.WRITE: frozenset({Role.WRITE, Role.READ}),
    Role.OPERATE: frozenset({Role.OPERATE, Role.READ}),
}


class Principal(msgspec.Struct, frozen=True, weakref=True):
    """Somebody who is known. `name`: as audit events and refusals call them. `roles`: with all that they include."""

    name: str
    roles: frozenset[Role]

    def may(self, need: Need) -> bool:
        """Whether that is allowed."""
        return need is None or (_TOGETHER[need] <= self.roles if isinstance(need, Both) else need in self.roles)


def with_roles(name: str, *roles: Role) -> Principal:
    """Somebody with these roles, and what they include."""
    return Principal(name, frozenset().union(*(INCLUDED[role] for role in roles)))


ANYBODY = with_roles("", *Role)
"""Whoever asks while nobody has to say who they are: may do all, as on a laptop."""

UNKNOWN = Principal("", frozenset())
"""Whoever asks for what is open to all, and does not say who they are."""


class ClusterUser(Principal, frozen=True, weakref=True):
    """One of the cluster's own users, who proved it: root has all roles, others none: what they may do with keys is
    judged key by key. `since`: see `node.statemachine.auth`."""

    since: int = 0


class Claimant(Principal, frozen=True, weakref=True):
    """Whoever asks for a call that judges the cluster's users by itself, and shows `credential` (empty: nothing)."""

    credential: str = ""


CURRENT: ContextVar[Principal] = ContextVar("principal", default=ANYBODY)
"""For whom this request is done. Doors set it round everything that they do for one, also in tasks that are made then.
It says nothing after an `await` of somebody else's task, so what lives longer than a request remembers it."""
