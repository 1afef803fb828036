"""What the log may ask about users, roles and permissions, and what the store answers; forms as those of `writes`.

Why it exists: beside `writes`, whose unions hold these, too. They follow etcd's Auth service. A password stands nowhere
here: who serves the client makes a hash of it first, so that the log, which many may read, never held it. Of a token
only the digest is kept. It must not know the store.
"""

import enum
from typing import Annotated

import msgspec

Natural = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Kind(enum.IntEnum):
    """What a permission permits (etcd's Permission.Type)."""

    READ = 0
    WRITE = 1
    READWRITE = 2


class _Part(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    pass


class AsUser(_Part, frozen=True, tag="a"):
    """`write`, bytes of any other but this, done for `user`: only if they may, when its turn has come.

    `since` is the user's, as the node knew it that took the request: one whose password was changed meanwhile, or who
    was deleted and made anew, is another. `user` empty: who asked is none of etcd's users, and was let in by the node.
    """

    user: str
    since: Natural
    write: bytes


class AuthEnable(_Part, frozen=True, tag="ae"):
    """From now on everybody must say who they are."""


class AuthDisable(_Part, frozen=True, tag="ad"):
    """Nobody need say who they are any more; all tokens end."""


class UserAdd(_Part, frozen=True, tag="ua"):
    """`password`: its hash; empty with `no_password`, and then nobody can log in by that name."""

    name: str
    password: bytes
    no_password: bool = False


class UserDelete(_Part, frozen=True, tag="ud"):
    """Their tokens end, too."""

    name: str


class UserPassword(_Part, frozen=True, tag="up"):
    """Another password, of which this is the hash. Their tokens end."""

    name: str
    password: bytes


class UserGrantRole(_Part, frozen=True, tag="ug"):
    """The user gets the role; a role called root there always is."""

    user: str
    role: str


class UserRevokeRole(_Part, frozen=True, tag="ur"):
    """The user loses the role."""

    name: str
    role: str


class RoleAdd(_Part, frozen=True, tag="ra"):
    """A role without permissions."""

    name: str


class RoleDelete(_Part, frozen=True, tag="rd"):
    """All users lose it."""

    role: str


class RoleGrantPermission(_Part, frozen=True, tag="rg"):
    """The role gets a permission on `key`, or on [key, range_end); b"\\0": on every key from `key` on."""

    name: str
    kind: Kind
    key: bytes
    range_end: bytes = b""


class RoleRevokePermission(_Part, frozen=True, tag="rr"):
    """The role loses all its permissions on exactly these."""

    role: str
    key: bytes
    range_end: bytes = b""


class LogIn(_Part, frozen=True, tag="li"):
    """`name` proved their password; if it is still that of `since`, a token of that `digest` is theirs from now on."""

    name: str
    since: Natural
    digest: bytes


class LogOut(_Part, frozen=True, tag="lo"):
    """The token of that `digest` is nobody's any more: its owner said so. A digest that is none does nothing."""

    digest: bytes


AuthWrite = (
    AuthEnable
    | AuthDisable
    | UserAdd
    | UserDelete
    | UserPassword
    | UserGrantRole
    | UserRevokeRole
    | RoleAdd
    | RoleDelete
    | RoleGrantPermission
    | RoleRevokePermission
    | LogIn
    | LogOut
)


class _Answer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    pass


class AuthDone(_Answer, frozen=True, tag="ad"):
    """It was done; `revision` is the store's, as in every answer."""

    revision: int


class LoggedIn(_Answer, frozen=True, tag="li"):
    """`index`: of the entry from which on nodes know the token."""

    revision: int
    index: int


AuthResult = AuthDone | LoggedIn
