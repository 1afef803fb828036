"""Users, roles and tokens: who may do what with which keys, as etcd's Auth service has it.

Why it exists: whether a write is done depends on who asks, so who may what is a part of the state that the log drives.
All of it is small and bounded, so it is kept as values in plain dictionaries, and looked at and copied at once. It must
not know the keys of the store, or decide what a request needs: that is `permitting`.
"""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from operator import itemgetter

import msgspec

from node.statemachine.auth_writes import Kind, Natural

USERS_MAX = 1_000
ROLES_MAX = 1_000
ROLES_PER_USER_MAX = 32
PERMISSIONS_PER_ROLE_MAX = 100
"""One more is refused. A user's permissions are then 3,200 at most, which are sorted in a millisecond or two."""

PERMISSIONS_BYTES_MAX = 4 * 1024 * 1024
"""Of the keys of all permissions together."""

NAME_BYTES_MAX = 256
"""Of a user or role."""

HASH_BYTES_MAX = 1024
DIGEST_BYTES = 32

TOKENS_MAX = 10_000
"""Tokens that were given out lately; for one more the oldest is forgotten."""

LOGGED_OUT_MAX = 10_000
"""Tokens that their owners gave back lately; for one more the one that was given back first is forgotten."""

EXPIRED_PER_LOGIN_MAX = 64
"""Tokens that are let go at each log in, because their time is over."""

TOKEN_TTL_US = 300_000_000
"""How long a token is good, in log time since it was given out: etcd's five minutes. A node through which it is used
goes on knowing it (see `node.api.etcd.tokens`)."""

ROOT = "root"
"""Of this name are the user who must be there, and the role that may do everything."""

FIRST_REVISION = 1


_BEGIN = itemgetter(0)


class User(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """`password`: a hash. `since`: the auth revision at which they were made or got it. `roles` in order."""

    name: str
    password: bytes
    no_password: bool
    since: Natural
    roles: tuple[str, ...] = ()


class Permission(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """On `key`, or on [key, range_end); b"\\0": on every key from `key` on."""

    kind: Kind
    key: bytes
    range_end: bytes = b""


class Role(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Permissions in the order of their keys."""

    name: str
    permissions: tuple[Permission, ...] = ()


class Token(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """Given out to `user` at that log time, while their password was that of `since`."""

    digest: bytes
    user: str
    since: Natural
    given_us: Natural


Span = tuple[bytes, bytes | None]
"""Keys in [begin, end); end None: to the last key."""


class Spans:
    """Many, made into few that neither overlap nor touch, in order."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._begins: list[bytes] = []
        self._ends: list[bytes | None] = []
        last: bytes | None = b""
        for begin, end in sorted(spans, key=_BEGIN):
            if last is None:
                break
            if begin > last:  # no key is empty, so the first one always is
                self._begins.append(begin)
                self._ends.append(last := end)
            elif end is None or end > last:
                self._ends[-1] = last = end

    def cover(self, key: bytes, range_end: bytes) -> bool:
        """Whether all of it lies in one of them; `range_end` as in a range."""
        at = bisect_right(self._begins, key) - 1
        if at < 0:
            return False
        end = self._ends[at]
        if end is None:
            return range_end in (b"", b"\0") or range_end > self._begins[at]
        if range_end == b"\0":
            return False
        return key < end and (not range_end or self._begins[at] < range_end <= end)


def _bytes_of(role: Role) -> int:
    return sum(len(each.key) + len(each.range_end) for each in role.permissions)


class Auth:
    """All of it. `revision` grows with every change of users and roles, but not as it is enabled. `era`: the revision
    at which it was disabled last; what was given out before is void."""

    def __init__(self) -> None:
        self.enabled = False
        self.revision = FIRST_REVISION
        self.era = 0
        self.users: dict[str, User] = {}
        self.roles: dict[str, Role] = {}
        self.permissions_bytes = 0
        """Of the keys of all permissions."""
        self.tokens: OrderedDict[bytes, Token] = OrderedDict()
        """By digest; the oldest comes first."""
        self.logged_out: OrderedDict[bytes, None] = OrderedDict()
        self.log_outs = 0
        """Digests of tokens that were given back since this process began, and how many. No part of the state, for
        which such a token is one that there is not: a node through which it was used knows it for longer."""
        self._spans: dict[str, tuple[Spans, Spans]] = {}

    @property
    def is_blank(self) -> bool:
        """Whether nobody ever said anything about users."""
        return self.revision == FIRST_REVISION and not self.enabled

    def changed(self) -> None:
        """Users or roles were."""
        self.revision += 1
        self._spans.clear()

    def put_role(self, role: Role) -> None:
        """A new one, or in the place of that of its name."""
        self.drop_role(role.name)
        self.roles[role.name] = role
        self.permissions_bytes += _bytes_of(role)

    def drop_role(self, name: str) -> None:
        """It is no more, if there was one."""
        role = self.roles.pop(name, None)
        self.permissions_bytes -= 0 if role is None else _bytes_of(role)

    def is_root(self, user: User) -> bool:
        """Whether they may do everything."""
        return ROOT in user.roles

    def spans(self, user: User) -> tuple[Spans, Spans]:
        """What they may read, and what they may write."""
        found = self._spans.get(user.name)
        if found is None:
            held = [each for name in user.roles if name in self.roles for each in self.roles[name].permissions]
            spans = [
                (each.key, None if each.range_end == b"\0" else each.range_end or each.key + b"\0") for each in held
            ]
            readable = Spans(span for span, each in zip(spans, held, strict=True) if each.kind is not Kind.WRITE)
            writable = Spans(span for span, each in zip(spans, held, strict=True) if each.kind is not Kind.READ)
            found = self._spans[user.name] = readable, writable
        return found

    def prepare(self, name: str) -> int:
        """Before the permissions of that user are asked for; how many were put in order for it."""
        user = self.users.get(name)
        if user is None or name in self._spans or self.is_root(user):
            return 0
        self.spans(user)
        return sum(len(self.roles[each].permissions) for each in user.roles if each in self.roles)

    # --- tokens ----------------------------------------------------------------------------------------------

    def give(self, token: Token) -> None:
        """From now on that is known. Some of those that are over go, and the oldest where there is no room."""
        for _ in range(EXPIRED_PER_LOGIN_MAX):
            oldest = next(iter(self.tokens.values()), None)
            has_room = len(self.tokens) < TOKENS_MAX
            if oldest is None or (has_room and token.given_us - oldest.given_us <= TOKEN_TTL_US):
                break
            self.tokens.popitem(last=False)
        self.tokens[token.digest] = token

    def take_back(self, digest: bytes) -> None:
        """From now on that is nobody's."""
        self.tokens.pop(digest, None)
        self.logged_out[digest] = None
        self.log_outs += 1
        if len(self.logged_out) > LOGGED_OUT_MAX:
            self.logged_out.popitem(last=False)

    def go_on_from(self, before: "Auth") -> None:
        """This state takes the place of that one: what was given back to this process stays so."""
        self.logged_out, self.log_outs = before.logged_out, before.log_outs

    def user_of(self, digest: bytes, now_us: int) -> User | None:
        """Whose token that is at a log time; None: nobody's (any more)."""
        token = self.tokens.get(digest)
        if token is None or now_us - token.given_us > TOKEN_TTL_US:
            return None
        return self.still(token.user, token.since)

    def still(self, name: str, since: int) -> User | None:
        """The user of that name, if they are still those of then."""
        user = self.users.get(name)
        return user if user is not None and user.since == since else None

    # --- the whole of it -------------------------------------------------------------------------------------

    def everything(self) -> tuple[list[Role], list[User], list[Token]]:
        """As it is now: roles and users in the order of their names, tokens in that of their coming."""
        return (
            [self.roles[name] for name in sorted(self.roles)],
            [self.users[name] for name in sorted(self.users)],
            list(self.tokens.values()),
        )


def too_long(name: str) -> bool:
    """Whether a user or role cannot be called so."""
    return len(name) > NAME_BYTES_MAX or len(name.encode("utf-8", "surrogatepass")) > NAME_BYTES_MAX


def in_order(permissions: Sequence[Permission], new: Permission) -> tuple[Permission, ...]:
    """With another one, which comes after those of the same key; or in the place of the first of that key, where both
    are on exactly the same keys. etcd does it so, and whoever asks for them sees it."""
    at = next((i for i, each in enumerate(permissions) if each.key >= new.key), len(permissions))
    if at < len(permissions) and (permissions[at].key, permissions[at].range_end) == (new.key, new.range_end):
        return (*permissions[:at], new, *permissions[at + 1 :])
    while at < len(permissions) and permissions[at].key == new.key:
        at += 1
    return (*permissions[:at], new, *permissions[at:])
