"""Users, roles and tokens of a snapshot, checked as they come.

Why it exists: beside `restoring`; chunks may have come over a network, and who may do everything stands in these. It
must not keep what cannot be.
"""

from node.statemachine.auth import (
    DIGEST_BYTES,
    FIRST_REVISION,
    HASH_BYTES_MAX,
    PERMISSIONS_BYTES_MAX,
    PERMISSIONS_PER_ROLE_MAX,
    ROLES_MAX,
    ROLES_PER_USER_MAX,
    ROOT,
    TOKENS_MAX,
    USERS_MAX,
    Auth,
    Role,
    Token,
    User,
    too_long,
)
from node.statemachine.sections import AuthRows, AuthSection, RolesSection, UsersSection


class AuthLoading:
    """Takes the sections in order. Raises `ValueError` for what cannot be."""

    def __init__(self, auth: Auth) -> None:
        self._auth = auth
        self._announced: AuthSection | None = None
        self._last = ""

    def load(self, section: AuthSection | AuthRows) -> None:
        """The next one."""
        if isinstance(section, AuthSection):
            self._announce(section)
        elif self._announced is None:
            raise ValueError("the chunks of the snapshot are not in order: it says how many users there are, then who")
        elif isinstance(section, RolesSection):
            for role in section.rows:
                self._load_role(role)
        elif isinstance(section, UsersSection):
            self._check_roles()
            for user in section.rows:
                self._load_user(user)
        else:
            for token in section.rows:
                self._load_token(token)

    def check(self) -> None:
        """All must have come."""
        wanted, auth = self._announced, self._auth
        if wanted is None:
            return
        found = len(auth.roles), len(auth.users), len(auth.tokens)
        if found != (wanted.roles, wanted.users, wanted.tokens):
            raise ValueError(
                f"the snapshot should hold {wanted.roles} roles, {wanted.users} users and {wanted.tokens} tokens, and "
                f"holds {found[0]}, {found[1]} and {found[2]}: a part of it is missing"
            )
        root = auth.users.get(ROOT)
        if auth.enabled and (root is None or not auth.is_root(root)):
            raise ValueError("the snapshot says that users are in force, and has no user root with the role root")

    def _announce(self, section: AuthSection) -> None:
        auth = self._auth
        if self._announced is not None:
            raise ValueError("the chunks of the snapshot are not in order: its users come once")
        too_many = section.roles > ROLES_MAX or section.users > USERS_MAX or section.tokens > TOKENS_MAX
        if too_many or section.revision < FIRST_REVISION or section.era > section.revision:
            raise ValueError("no store has users like those that the snapshot announces")
        self._announced = section
        auth.enabled, auth.revision, auth.era = section.enabled, section.revision, section.era

    def _load_role(self, role: Role) -> None:
        auth = self._auth
        if auth.users or auth.tokens:
            raise ValueError("the chunks of the snapshot are not in order: its roles, then its users")
        keys = [each.key for each in role.permissions]
        fits = bool(role.name) and not too_long(role.name) and len(keys) <= PERMISSIONS_PER_ROLE_MAX
        if not fits or role.name <= self._last or not all(keys) or keys != sorted(keys):
            raise _impossible("role", role.name)
        auth.put_role(role)
        self._last = role.name

    def _check_roles(self) -> None:
        if not self._auth.users:
            self._last = ""
            if self._auth.permissions_bytes > PERMISSIONS_BYTES_MAX:
                raise ValueError("the permissions of the snapshot are longer than any store's")

    def _load_user(self, user: User) -> None:
        auth = self._auth
        if auth.tokens:
            raise ValueError("the chunks of the snapshot are not in order: its users, then their tokens")
        known = all(role == ROOT or role in auth.roles for role in user.roles)
        fits = bool(user.name) and not too_long(user.name) and len(user.password) <= HASH_BYTES_MAX
        ordered = list(user.roles) == sorted(set(user.roles)) and len(user.roles) <= ROLES_PER_USER_MAX
        if not (known and fits and ordered) or user.name <= self._last or user.since > auth.revision:
            raise _impossible("user", user.name)
        auth.users[user.name] = user
        self._last = user.name

    def _load_token(self, token: Token) -> None:
        auth = self._auth
        if not auth.enabled or len(token.digest) != DIGEST_BYTES or token.digest in auth.tokens:
            raise _impossible("token of the user", token.user)
        auth.tokens[token.digest] = token


def _impossible(what: str, name: str) -> ValueError:
    return ValueError(f"the {what} {name[:40]!r} stands in the snapshot where it cannot, or twice")
