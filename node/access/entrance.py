"""Where it is decided whether whoever asks may: one question for every door.

Why it exists: HTTP and gRPC find a credential each in its own place, and everything after that is the same. Whoever can
tell a principal by a credential is a `Source`: the file of tokens, the cluster's own users. While no source demands
anything, everything is open, and nobody is asked. It must not know HTTP, gRPC, files or time.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from node.access.audit import Audit
from node.access.principals import ANYBODY, UNKNOWN, Claimant, ClusterUser, Need, Principal
from node.access.standing import LetIn, Standing

CREDENTIAL_CHARS_MAX = 1024
"""A longer one is nobody's."""


class Source(Protocol):
    """Who can tell a principal by what they show."""

    @property
    def demands(self) -> bool:
        """Whether somebody who is not known may do nothing."""

    @property
    def version(self) -> int:
        """Grows whenever `find` may answer otherwise than before: what doors remember is void then."""

    def find(self, credential: str) -> Principal | None:
        """Whose that is; None: nobody's."""


class ClusterUsers(Protocol):
    """The cluster's own users, whose passwords and permissions are in its store."""

    @property
    def in_force(self) -> bool:
        """Whether everybody must be one of them, or be known by a `Source`."""

    @property
    def version(self) -> int:
        """As a source's."""

    def name_of(self, credential: str) -> str:
        """Whose token that is, as far as this node knows by now; empty: nobody's."""

    def known(self, credential: str) -> ClusterUser | None:
        """The same, and what they may."""

    def still(self, user: ClusterUser) -> bool:
        """Whether that is still the same user, whose password is the same, and who is root if they were."""

    def has_left(self, credential: str) -> bool:
        """Whether that is a token whose owner has logged out."""

    async def proved(self, credential: str) -> ClusterUser | None:
        """Whose token, or name and password, that is; None: nobody's."""


class Refusal(Exception):
    """The message is one sentence with its cure. `known`: they are known, and may not (403); else it is not known who
    they are (401)."""

    def __init__(self, known: bool, message: str, principal: Principal = UNKNOWN) -> None:
        super().__init__(message)
        self.known = known
        self.message = message
        self.principal = principal


class Watched(Protocol):
    """Who counts and tells what became of requests."""

    def refused(self, refusal: Refusal, asked: str) -> None: ...


class Access:
    """`sources` in the order in which they are asked. `audit` None: nobody wants to know who did what. `soon`: see
    `Standing`.

    While `users` are in force whoever is known to no source may be one of them: calls of etcd's API find that out, and
    judge it, by themselves, and let nobody do anything else."""

    def __init__(
        self,
        sources: Sequence[Source] = (),
        watched: Watched | None = None,
        audit: Audit | None = None,
        soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self._sources = list(sources)
        self._watched = watched
        self._audit = audit
        self._standing = Standing(soon)
        self._judged = 0
        """The version of `users` at which what stands open was judged last."""
        self.users: ClusterUsers | None = None
        """Set it before anybody comes."""

    def add(self, source: Source) -> None:
        """Ask it too; before anybody comes."""
        self._sources.append(source)

    @property
    def demands(self) -> bool:
        """Whether anybody has to say who they are."""
        return self.users_in_force or any(source.demands for source in self._sources)

    @property
    def users_in_force(self) -> bool:
        """Whether whoever no source knows may be one of the cluster's users."""
        return self.users is not None and self.users.in_force

    @property
    def version(self) -> int:
        """Differs whenever `enter` may answer otherwise than before."""
        of_users = 0 if self.users is None else self.users.version
        return of_users + sum(source.version for source in self._sources)

    def enter(self, credential: str | None, need: Need, asked: str, *, judges_users: bool = False) -> Principal:
        """Who that is, who may do what needs `need`. `asked`: what it is, for people. `judges_users`: a call of etcd's
        API, which does so. Raises Refusal."""
        found = self.look(credential, need, judges_users=judges_users)
        if found is not None:
            return found
        raise self.refuse(credential, need, asked)

    async def prove(self, credential: str | None, need: Need, asked: str, *, judges_keys: bool = False) -> Principal:
        """As `enter`, where it may take a password's time. `judges_keys`: every user may ask, for what they get is
        judged key by key."""
        principal = self._known(credential)
        users = self.users if self.users_in_force else None
        if principal is None and users is not None and credential and len(credential) <= CREDENTIAL_CHARS_MAX:
            principal = await users.proved(credential)
        if principal is not None and (principal.may(need) or (judges_keys and isinstance(principal, ClusterUser))):
            return principal
        raise self.refuse(credential, need, asked, principal)

    def refuse(self, credential: str | None, need: Need, asked: str, principal: Principal | None = None) -> Refusal:
        """Why they may not; counted, and told. `principal`: whose it was found to be, where that is no source's."""
        known = principal or self._known(credential)
        refusal = _refusal(known, credential, need, users=self.users_in_force)
        if self._watched is not None:
            self._watched.refused(refusal, asked)
        if refusal.known and self._audit is not None and self._audit.wants(need):
            self._audit.done(refusal.principal, need, asked, "denied")
        return refusal

    def told(self, principal: Principal, need: Need, what: str) -> Callable[[str], None] | None:
        """Who is to be told, once, what came of it; None: nobody."""
        audit = self._audit
        if audit is None or not audit.wants(need) or not self.demands:
            return None

        def tell(outcome: str) -> None:
            audit.done(principal, need, what, outcome)

        return tell

    def look(self, credential: str | None, need: Need, *, judges_users: bool = False) -> Principal | None:
        """The same, without a word to anybody; None: they may not."""
        if not self.demands:
            return ANYBODY
        principal = self._known(credential)
        if need is None:
            return principal or UNKNOWN
        if principal is None and judges_users and self.users is not None and self.users.in_force:
            shown = credential or ""
            return Claimant(self.users.name_of(shown) if shown else "", frozenset(), shown)
        return principal if principal is not None and principal.may(need) else None

    def hold(
        self, principal: Principal, credential: str | None, need: Need, end: Callable[[], None]
    ) -> Callable[[], None]:
        """Something without an end was let in: `end` it once no source knows its principal any more, or they are not
        the same user of the cluster any more, or have logged out with the token that opened it; or had to say nothing
        of themselves, and everybody has to now. Call what is returned when it is over. A key that a user may not read
        any more is no reason, as in etcd: calls judge that as they begin."""
        if isinstance(principal, Claimant):
            if not principal.credential:
                return _nothing  # may do nothing
            principal = (self.users.known(principal.credential) if self.users is not None else None) or principal
        if principal is UNKNOWN:
            return _nothing
        return self._standing.hold(LetIn(principal, credential, need), end)

    def changed(self) -> None:
        """What sources find may be another one than before: end what was let in by what is void."""
        self._standing.judge(self._may_go_on)

    def look_at_users(self) -> None:
        """From time to time, and after a logout: end what was let in for users who are not the same any more."""
        if self.users is not None and self.users.version != self._judged:
            self._judged = self.users.version
            self.changed()

    def _may_go_on(self, let_in: LetIn) -> bool:
        users = self.users
        if users is not None and isinstance(let_in.principal, ClusterUser):
            return users.still(let_in.principal) and not users.has_left(let_in.credential or "")
        if users is not None and isinstance(let_in.principal, Claimant):  # a token that was not known here yet
            return users.known(let_in.principal.credential) is not None
        return self.look(let_in.credential, let_in.need) is not None

    def _known(self, credential: str | None) -> Principal | None:
        if not credential or len(credential) > CREDENTIAL_CHARS_MAX:
            return None
        for source in self._sources:
            found = source.find(credential)
            if found is not None:
                return found
        return None


def _nothing() -> None:
    """There is nothing to forget."""


def _refusal(principal: Principal | None, credential: str | None, need: Need, *, users: bool) -> Refusal:
    if users and isinstance(principal, ClusterUser):
        return Refusal(True, f"this needs {need}, and of the cluster's users only root may do that", principal)
    if users and principal is None:
        if credential:
            return Refusal(False, "nobody has this token, or this name and password")
        return Refusal(False, f"this needs somebody who may {need}: send a user's name and password, or a token")
    if principal is not None:
        roles = " and ".join(sorted(principal.roles)) or "nothing"
        sentence = f"{principal.name} may {roles}, and this needs {need}: use a token that may, or have the role added"
        return Refusal(True, sentence, principal)
    if credential:
        return Refusal(False, "nobody has this token: it is mistyped, or was taken out of this node's tokens_file")
    how = "send it as Authorization: Bearer TOKEN, or give raft-node --token-file FILE"
    return Refusal(False, f"this needs a token that may {need}: {how}")


def bearer(text: str) -> str:
    """The credential of a header `Authorization`: with Bearer, or bare as etcd's clients have it."""
    scheme, _, rest = text.partition(" ")
    return rest.strip() if rest and scheme.lower() == "bearer" else text.strip()


def is_basic(credential: str | None) -> bool:
    """Whether it is a name and a password (RFC 7617)."""
    return credential is not None and credential[:6].lower() == "basic "
