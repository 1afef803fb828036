"""Who asks for a call of etcd's API, and whether they may: everything that calls need to know of users.

Why it exists: a read is judged here, by the node that answers it, once it has waited for the barrier. A write is judged
where it is applied; here it is only marked with who asks. While users are not in force nobody is asked anything. It
must not know in which form a token came: doors find who asks (`CURRENT`).
"""

from base64 import b64decode
from collections.abc import Callable
from typing import Protocol

from node.access.entrance import is_basic
from node.access.principals import ANYBODY, CURRENT, UNKNOWN, Claimant, ClusterUser, Principal, Role, with_roles
from node.api.etcd import errors
from node.api.etcd.errors import Code, EtcdError
from node.api.etcd.passwords import Passwords
from node.api.etcd.refusals import refused, unavailable
from node.api.etcd.tokens import Tokens, parted
from node.runtime.ports import NodeHandle, ReadFailed
from node.statemachine.auth import Auth, User
from node.statemachine.leases import Leases
from node.statemachine.permitting import (
    NOBODY,
    TRUSTED,
    Asker,
    may_not_read,
    may_not_transact,
    not_admin,
    not_somebody,
)
from node.statemachine.versions import Versions
from node.statemachine.work import EVERYTHING, Meter, at_once
from node.statemachine.writes import Refused, Txn, as_user


class AuthStore(Protocol):
    """What is asked of the store."""

    @property
    def auth(self) -> Auth: ...


class Users:
    """One for all routes of a node. `login_failed` is told of each name and password that do not fit: the name, or
    nothing where nobody has it."""

    def __init__(
        self,
        handle: NodeHandle,
        store: AuthStore,
        passwords: Passwords | None = None,
        login_failed: Callable[[str], None] = lambda _user: None,
    ) -> None:
        self.passwords = passwords or Passwords()
        self.tokens = Tokens(lambda: store.auth, handle.log_time_us, self.passwords.random_bytes)
        self._handle = handle
        self._store = store
        self.login_failed = login_failed

    @property
    def auth(self) -> Auth:
        """Users, roles and permissions, now."""
        return self._store.auth

    @property
    def in_force(self) -> bool:
        """Whether anybody must say who they are."""
        return self._store.auth.enabled

    def asker_now(self, principal: Principal | None = None) -> Asker | None:
        """Who asks; None: this node may hear of the token yet, see `asker`. Raises `EtcdError`. `principal` None: for
        whom this is done."""
        principal = principal or CURRENT.get()
        if isinstance(principal, ClusterUser):
            return Asker(principal.name, principal.since)
        if principal is ANYBODY:
            self.check_still_open()
        if not isinstance(principal, Claimant):
            return NOBODY if principal is ANYBODY or principal is UNKNOWN else TRUSTED
        token = principal.credential
        if not token:
            return NOBODY
        found = self.tokens.find(token)
        if found is None and not self._may_come(token):
            raise EtcdError(Code.UNAUTHENTICATED, errors.INVALID_TOKEN)
        return found

    async def asker(self) -> Asker:
        """Who asks, where users are in force. Raises `EtcdError`."""
        found = self.asker_now()
        if found is None:
            await self._barrier()
            found = self.asker_now()
        if found is None:
            raise EtcdError(Code.UNAUTHENTICATED, errors.INVALID_TOKEN)
        return found

    async def give_back(self, token: str) -> bytes | None:
        """See `Tokens.give_back`; it may have been given out a moment ago, elsewhere."""
        if self.tokens.find(token) is None and self._may_come(token):
            await self._barrier()
        return self.tokens.give_back(token)

    async def _barrier(self) -> None:
        """Wait until this node knows what was known anywhere when it was asked."""
        failed = await self._handle.read_barrier(None)
        if failed is not None:
            raise EtcdError(Code.UNAVAILABLE, unavailable(failed))

    def _may_come(self, token: str) -> bool:
        """Whether its entry is one that this node has not applied."""
        _, index = parted(token)
        return index is not None and index > self._handle.status().core.applied

    async def settled(self) -> None:
        """Wait until this node knows whether users are in force, where somebody asks without a name. Call it before
        what reaches beyond this node, and judge anew: one that is behind, as each is that has just begun, does not know
        it yet. Raises `EtcdError` where nobody can tell."""
        failed = await self.unsettled(None)
        if failed is not None:
            raise EtcdError(Code.UNAVAILABLE, unavailable(failed))

    async def unsettled(self, timeout_us: int | None) -> ReadFailed | None:
        """The same, as what failed; None: it is known."""
        if self.in_force or CURRENT.get() is not ANYBODY:
            return None
        return await self._handle.read_barrier(timeout_us)

    # --- whether they may --------------------------------------------------------------------------------------

    async def require_root(self) -> None:
        """For what root alone may do."""
        if self.in_force:
            _check(not_admin(self.auth, await self.asker()))

    async def require_somebody(self) -> None:
        """For what every user may do."""
        if self.in_force:
            _check(not_somebody(self.auth, await self.asker()))

    async def require_read(self, key: bytes, range_end: bytes = b"") -> None:
        """For reading these keys. Ask it after the barrier: what was taken away before is not used any more."""
        if self.in_force:
            self.check_read(await self.asker(), key, range_end)

    def check_read(self, asker: Asker, key: bytes, range_end: bytes = b"") -> None:
        """The same for whoever is known."""
        _check(may_not_read(self.auth, asker, key, range_end))

    async def require_read_txn(self, txn: Txn) -> None:
        """For a transaction that only reads, and is not long."""
        if self.in_force:
            asker, meter = await self.asker(), Meter()
            meter.left = EVERYTHING
            _check(at_once(may_not_transact(self.auth, asker, _NO_LEASES, txn, meter), meter))

    def may_not_watch(self, key: bytes, range_end: bytes) -> str:
        """Why no watch may be created of these keys, in the words in which etcd's clients look for it; empty: it may.
        A token that this node does not know yet is a wrong one: clients come again with a new one."""
        if not self.in_force:
            return ""
        try:
            asker = self.asker_now()
            if asker is None:
                raise EtcdError(Code.UNAUTHENTICATED, errors.INVALID_TOKEN)
            self.check_read(asker, key, range_end)
        except EtcdError as error:
            return f"rpc error: code = {_IN_WORDS[error.code]} desc = {error.message}"
        return ""

    def end_of_anybody(self) -> Callable[[], str] | None:
        """Who is to be asked, before more is told of what goes on without an end, why that ends; empty: it goes on.
        None: whoever it is for has said who they are."""
        return self._reason_to_end if CURRENT.get() is ANYBODY else None

    def _reason_to_end(self) -> str:
        return errors.NOW_IN_FORCE if self.in_force else ""

    def check_still_open(self) -> None:
        """For who was asked nothing when they came, and has waited since. They may have shown something: let them come
        again. Raises `EtcdError`."""
        if self.in_force:
            raise EtcdError(Code.UNAVAILABLE, errors.MEANWHILE_IN_FORCE)

    # --- writes ------------------------------------------------------------------------------------------------

    async def marked(self, write: bytes) -> bytes:
        """The bytes to propose. Whoever says nothing of themselves is refused here: what they ask for would be refused
        where it is applied, but would stand in the log first, and in somebody's session."""
        found = self.marked_now(write)
        if found is None:
            await self._barrier()
            found = self.marked_known(write)
        return found

    def marked_now(self, write: bytes, principal: Principal | None = None) -> bytes | None:
        """The same for who has no task; None: it must wait until this node knows what was known anywhere, and then ask
        `marked_known`: who that is, or that users are not in force any more."""
        if not self.in_force:
            return write
        asker = self.asker_now(principal)
        return None if asker is None or asker == NOBODY else mark(write, asker)

    def marked_known(self, write: bytes, principal: Principal | None = None) -> bytes:
        """The same after a barrier. Raises `EtcdError`."""
        if not self.in_force:
            return write
        asker = self.asker_now(principal)
        if asker is None:
            raise EtcdError(Code.UNAUTHENTICATED, errors.INVALID_TOKEN)
        _check(not_somebody(self.auth, asker))
        return mark(write, asker)

    # --- passwords ---------------------------------------------------------------------------------------------

    async def with_password(self, name: str, password: str) -> User | None:
        """The user, if that is their password; None: it is not, or nobody has that name."""
        user = self.auth.users.get(name)
        fits = await self.passwords.fits(password, b"" if user is None else user.password)
        if fits:
            return user
        self.login_failed("" if user is None else name)
        return None

    # --- for the node's other routes ---------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """Another one whenever whoever asks may be somebody else."""
        return 2 * (self.auth.revision + self.tokens.times_given_back) + self.auth.enabled

    def name_of(self, credential: str) -> str:
        """Whose token that is, as far as this node knows; empty: nobody's."""
        found = self.tokens.find(credential)
        return "" if found is None else found.user

    def known(self, credential: str) -> ClusterUser | None:
        """See `ClusterUsers.known`."""
        asker = self.tokens.find(credential)
        return None if asker is None else self._principal_of(self.auth.still(asker.user, asker.since))

    def still(self, user: ClusterUser) -> bool:
        """See `ClusterUsers.still`."""
        now = self.auth.still(user.name, user.since)
        return now is not None and (not user.roles or self.auth.is_root(now))

    def has_left(self, credential: str) -> bool:
        """See `ClusterUsers.has_left`."""
        return self.tokens.is_given_back(credential)

    async def proved(self, credential: str) -> ClusterUser | None:
        """Who shows that: a name and a password, or a token."""
        if is_basic(credential):
            name, colon, password = _decoded(credential[6:]).partition(":")
            return self._principal_of(await self.with_password(name, password) if colon else None)
        if self.tokens.find(credential) is None and self._may_come(credential):
            await self._barrier()
        return self.known(credential)

    def _principal_of(self, found: User | None) -> ClusterUser | None:
        if found is None:
            return None
        roles = with_roles("", *Role).roles if self.auth.is_root(found) else frozenset[Role]()
        return ClusterUser(found.name, roles, found.since)


def _decoded(text: str) -> str:
    try:
        return b64decode(text.strip(), validate=True).decode()
    except ValueError:
        return ""


_IN_WORDS = {
    Code.INVALID_ARGUMENT: "InvalidArgument",
    Code.PERMISSION_DENIED: "PermissionDenied",
    Code.UNAUTHENTICATED: "Unauthenticated",
    Code.UNAVAILABLE: "Unavailable",
}

_NO_LEASES = Leases(Versions())
"""What only reads has none."""


def mark(write: bytes, asker: Asker) -> bytes:
    """Bare bytes are nobody's."""
    return write if asker == NOBODY else as_user(asker.user, max(0, asker.since), write)


def _check(refusal: Refused | None) -> None:
    if refusal is not None:
        raise refused(refusal)
