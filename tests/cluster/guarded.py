"""Nodes that demand tokens, each with a file of its own, and asked with a token or without.

Why it exists: a renewal comes to one node after the other, and tests of tokens want to ask as somebody. It must not
know more of the product than flags, signals, files and HTTP.
"""

import hashlib
import http.client
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.secure import Secure

TOKENS = {role: f"{role}-token-" + "x" * 24 for role in ("read", "write", "operate")}
"""By the one role that each has."""

BOTH = "both-token-" + "x" * 24
"""Of who may write and operate, and so make users."""


def line(name: str, roles: str, token: str) -> str:
    """As `raft-node token new` prints it."""
    return f"{name} {roles} sha256:{hashlib.sha256(token.encode()).hexdigest()}\n"


class Guarded(Secure):
    """Three nodes. `token`: what is shown where nothing else is said; empty: nothing."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.token = TOKENS["read"]
        self.files = {name: folder / f"tokens-{name}" for name in self.ports}
        both = line("both", "write,operate", BOTH)
        self.give(*(line(f"a-{role}", role, token) for role, token in TOKENS.items()), both)

    def give(self, *lines: str, to: tuple[str, ...] = ()) -> None:
        """A new file for all, or for some, in the place of the old one at once."""
        for name in to or self.ports:
            new = self.files[name].with_suffix(".new")
            new.write_text("".join(lines))
            new.rename(self.files[name])

    def up(self, *flags: str) -> None:
        """All, until they know a leader."""
        for name in self.ports:
            self.start(name, ["--tokens-file", str(self.files[name]), *flags])
        self.until(self.leader, "all nodes know a leader")

    def ask(self, name: str, path: str, body: bytes | None = None, timeout_s: float = 2.0) -> tuple[int, bytes]:
        """As `Bare.ask`, with the token."""
        found = self.request(name, "GET" if body is None else "PUT", path, body, self.token, timeout_s)
        return found[0], found[1]

    def request(
        self,
        name: str,
        method: str,
        path: str,
        body: bytes | None,
        token: str,
        timeout_s: float = 5.0,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """Status, body and headers; 0 where nobody answers in time."""
        if self.tls is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.ports[name], timeout=timeout_s)
        else:
            connection = http.client.HTTPSConnection("127.0.0.1", self.ports[name], timeout=timeout_s, context=self.tls)
        shown = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            connection.request(method, path, body, {**shown, **(headers or {})})
            with connection.getresponse() as answer:
                return answer.status, answer.read(), dict(answer.getheaders())
        except OSError:
            return 0, b"", {}
        finally:
            connection.close()


@contextmanager
def guarded_nodes(folder: Path) -> Iterator[Guarded]:
    """None of them runs yet; all are gone afterwards."""
    made = Guarded(folder)
    try:
        yield made
    finally:
        for process in made.processes.values():
            process.kill()
            process.wait()
