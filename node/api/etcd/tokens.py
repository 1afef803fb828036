"""Tokens that stand for a user, as this node knows them.

Why it exists: clients of etcd prove their password once, and show a token with every call, at whichever member it
lands. So that all members know a token, its digest is an entry of the log: nobody who reads log, snapshot or backup can
use it, and it outlives leaders and restarts for the rest of its five minutes. As with etcd's, a member through which it
is used knows it for five minutes more each time: that is kept here, for a bounded number of tokens. What its owner gave
back is nobody's here at once, and elsewhere when its entry comes. Time is log time. It must not know what a user may.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from node.statemachine.auth import TOKEN_TTL_US, Auth
from node.statemachine.permitting import Asker

IN_USE_MAX = 10_000
"""Tokens that go on being good because they are used; the one that was not used for longest is forgotten."""

GIVEN_BACK_MAX = 1_000
"""Tokens that were given back here, and whose entry may not have come: an election, or a time without a quorum."""

TOKEN_CHARS_MAX = 128
SECRET_BYTES = 18


class InUse(msgspec.Struct, gc=False):
    """A token that was used here. `era`: see `Auth`."""

    asker: Asker
    era: int
    used_us: int


class Tokens:
    """`auth`: the store's present one. `now_us`: log time. `random_bytes`: chance."""

    def __init__(
        self, auth: Callable[[], Auth], now_us: Callable[[], int], random_bytes: Callable[[int], bytes]
    ) -> None:
        self._auth = auth
        self._now_us = now_us
        self._random_bytes = random_bytes
        self._in_use: OrderedDict[bytes, InUse] = OrderedDict()
        self._in_use_of = auth()
        """What it was found in: after a snapshot from another node it is not known what was given back meanwhile."""
        self._given_back: OrderedDict[bytes, None] = OrderedDict()
        self._times_given_back = 0

    def made(self) -> tuple[str, bytes]:
        """The secret of a new one, and its digest."""
        secret = urlsafe_b64encode(self._random_bytes(SECRET_BYTES)).decode()
        return secret, digest_of(secret)

    @property
    def times_given_back(self) -> int:
        """Grows with every token that is given back."""
        return self._times_given_back + self._auth().log_outs

    def is_given_back(self, token: str) -> bool:
        """Whether its owner has logged out, as far as this node knows."""
        secret, index = parted(token)
        return index is not None and self._is_given_back(digest_of(secret))

    def give_back(self, token: str) -> bytes | None:
        """From now on it is nobody's at this node; its digest, for the others. None: it was nobody's before."""
        if self.find(token) is None:
            return None
        digest = digest_of(parted(token)[0])
        del self._in_use[digest]
        self._given_back[digest] = None
        self._times_given_back += 1
        if len(self._given_back) > GIVEN_BACK_MAX:
            self._given_back.popitem(last=False)
        return digest

    def _is_given_back(self, digest: bytes) -> bool:
        return digest in self._given_back or digest in self._auth().logged_out

    def find(self, token: str) -> Asker | None:
        """Whose it is; None: nobody's, as far as this node has come."""
        secret, index = parted(token)
        if index is None:
            return None
        digest, auth, now_us = digest_of(secret), self._auth(), self._now_us()
        if auth is not self._in_use_of:
            self._in_use_of = auth
            self._in_use.clear()
        if self._is_given_back(digest):
            self._in_use.pop(digest, None)
            return None
        found = self._in_use.get(digest)
        if found is not None:
            fresh = found.era == auth.era and now_us - found.used_us <= TOKEN_TTL_US
            if fresh and auth.still(*found.asker) is not None:
                found.used_us = now_us
                self._in_use.move_to_end(digest)
                return found.asker
            del self._in_use[digest]
        user = auth.user_of(digest, now_us)
        if user is None:
            return None
        asker = Asker(user.name, user.since)
        self._in_use[digest] = InUse(asker, auth.era, now_us)
        if len(self._in_use) > IN_USE_MAX:
            self._in_use.popitem(last=False)
        return asker


def shown(secret: str, index: int) -> str:
    """What its owner gets. `index`: of the entry from which on nodes know it."""
    return f"{secret}.{index}"


def parted(token: str) -> tuple[str, int | None]:
    """Its secret, and the index; None: it is no token."""
    secret, dot, index = token.partition(".")
    if not dot or len(token) > TOKEN_CHARS_MAX or not (index.isascii() and index.isdigit()):
        return "", None
    return secret, int(index)


def digest_of(secret: str) -> bytes:
    """What is kept of it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
