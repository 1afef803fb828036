"""Static tokens: a file with a line for each, its holder's name, roles and hash. Read anew when it changes.

Why it exists: a Secret that is mounted is enough to give a program a token, to renew it and to take it back, and nobody
who reads the file can use what it holds. The hash is one SHA-256: a token is 256 bits of chance, which no dictionary
holds and nobody can try out, so a slow hash would cost every request and protect nothing. What is short enough to be
guessed is therefore no token, whatever the file says. It must not make tokens, and must not know time.
"""

import asyncio
import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from node.access.principals import INCLUDED, Principal, Role
from node.file_stamps import stamp_of

TOKEN_CHARS_MIN = 32
"""A shorter one is refused even where the file has its hash: it may have been made up by somebody."""

TOKENS_MAX = 256
"""Of a file. All are compared with each that comes in: 60 microseconds, 4 for ten tokens."""

FILE_BYTES_MAX = 64 * 1024
NAME_PATTERN = r"[A-Za-z0-9](?:[A-Za-z0-9._@-]{0,62}[A-Za-z0-9])?"
CURE = "make lines with raft-node token new"

_HASH = re.compile(r"sha256:([0-9a-f]{64})")


class TokensError(Exception):
    """The file is of no use; one sentence: what, where, cure."""


class Told(Protocol):
    """Who counts and tells what became of the file."""

    def taken(self, count: int, *, renewed: bool) -> None: ...
    def not_taken(self, reason: str) -> None: ...


class _Line(NamedTuple):
    digest: bytes
    principal: Principal


def digest_of(token: str) -> bytes:
    """What of a token is kept."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def line_of(name: str, roles: Sequence[str], token: str) -> str:
    """The line of a file for that token."""
    return f"{name} {','.join(roles)} sha256:{digest_of(token).hex()}"


def parse(text: str, path: str) -> tuple[_Line, ...]:
    """The lines of a file. Two may have one name: the old token and the new one, while a token is renewed. Raises
    TokensError."""
    found: dict[bytes, _Line] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        read = _line(words, f"{path}, line {number}")
        if read.digest in found:
            raise TokensError(f"{path}, line {number}: this token has a line above already: keep one of the two")
        found[read.digest] = read
    if not found:
        raise TokensError(f"{path} holds no token, so nobody could do anything: {CURE}")
    if len(found) > TOKENS_MAX:
        raise TokensError(f"{path} holds {len(found)} tokens, and {TOKENS_MAX} are the most: take some out")
    return tuple(found.values())


def _line(words: list[str], where: str) -> _Line:
    if len(words) != 3:
        raise TokensError(f"{where}: it is not of the form NAME ROLES sha256:HASH: {CURE}")
    name, roles, hashed = words
    if not re.fullmatch(NAME_PATTERN, name):
        raise TokensError(f"{where}: {ascii(name)[:80]} is no name of 1 to 64 letters, digits and ._@-: rename it")
    known = {role.value: role for role in Role}
    given = roles.split(",")
    for role in given:
        if role not in known:
            raise TokensError(f"{where}: {ascii(role)[:80]} is no role: give read, write or operate, a comma between")
    digest = _HASH.fullmatch(hashed)
    if digest is None:
        raise TokensError(f"{where}: the hash is not sha256: and 64 hexadecimal digits: {CURE}")
    allowed = frozenset[Role]().union(*(INCLUDED[known[role]] for role in given))
    return _Line(bytes.fromhex(digest[1]), Principal(name, allowed))


class TokenFile:
    """A `Source`. Reads the file at once, on the caller's thread, and raises TokensError."""

    demands = True
    changed: Callable[[], None]
    """Called when other tokens count than before."""

    def __init__(self, path: str, told: Told) -> None:
        self.changed = lambda: None
        self._path, self._told = path, told
        self._stamp = stamp_of(path)
        self._lines = _read(path)
        self.version = 1
        told.taken(len(self._lines), renewed=False)

    def find(self, credential: str) -> Principal | None:
        """See `Source`. Takes as long whichever it is, and where it is none."""
        presented, found = digest_of(credential), None
        for line in self._lines:
            if hmac.compare_digest(line.digest, presented):
                found = line.principal
        return found if len(credential) >= TOKEN_CHARS_MIN else None

    def look(self, loop: asyncio.AbstractEventLoop) -> None:
        """On a watching thread: take what is new. What is of no use leaves in force what there is."""
        stamp = stamp_of(self._path)  # before it is read: what is replaced meanwhile is looked at again
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            lines = _read(self._path)
        except TokensError as error:
            loop.call_soon_threadsafe(self._told.not_taken, str(error))
        else:
            loop.call_soon_threadsafe(self._take, lines)

    def _take(self, lines: tuple[_Line, ...]) -> None:
        self._lines = lines
        self.version += 1
        self._told.taken(len(lines), renewed=True)
        self.changed()


def _read(path: str) -> tuple[_Line, ...]:
    try:
        with open(path, "rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise TokensError(f"{path} cannot be read ({error.strerror or error}): {CURE}") from None
    if len(content) > FILE_BYTES_MAX:
        raise TokensError(f"{path} is longer than {FILE_BYTES_MAX} bytes, so it is no file of tokens: name another")
    try:
        return parse(content.decode("utf-8"), path)
    except UnicodeDecodeError:
        raise TokensError(f"{path} is not UTF-8 text: {CURE}") from None
