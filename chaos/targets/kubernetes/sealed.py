"""TLS with a node over a way that carries bytes and is no socket, and what is wrong with it, in sentences.

Why it exists: a port-forward comes out of the API server's WebSocket, and who dials it sees an address of this machine,
which no certificate names. So the way in speaks TLS itself, as a client of the node's own name. It must not know what
is said, nor how bytes travel.
"""

import ssl

from chaos.observe.identity import CACERT, CERT, KEY, of_environment

PIECE_BYTES = 64 * 1024


class Seal:
    """Of one connection. Bytes of the way go in at `handshake` and `opened`; what it wants to say is `to_send`."""

    def __init__(self, context: ssl.SSLContext, name: str) -> None:
        self._heard, self._said = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._heard, self._said, server_hostname=name)

    def handshake(self, heard: bytes = b"") -> bool:
        """Whether it is through. Raises ssl.SSLError; an alert for the node may be left to send."""
        self._heard.write(heard)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def sealed(self, plain: bytes) -> bytes:
        """What to send for it."""
        self._tls.write(plain)
        return self.to_send()

    def opened(self, heard: bytes) -> bytes:
        """What the node said. Raises ssl.SSLError, also where it ends the connection for what it was shown."""
        self._heard.write(heard)
        pieces = []
        while True:
            try:
                piece = self._tls.read(PIECE_BYTES)
            except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                break
            if not piece:
                break
            pieces.append(piece)
        return b"".join(pieces)

    def to_send(self) -> bytes:
        return self._said.read()


def own_context() -> ssl.SSLContext:
    """Whom this tool trusts and what it shows, as the environment says. Raises ChaosError."""
    return of_environment() or ssl.create_default_context()


def trouble(node: str, error: ssl.SSLError) -> str:
    """A sentence: what, and the cure."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"{node} shows a certificate that is not trusted here ({error.verify_message}): "
            f"set {CACERT} to a file with the ca.crt of the release's Secret."
        )
    words = (error.reason or "unknown").lower().replace("_", " ")
    if "alert" in words:
        return (
            f"{node} does not take what this tool shows ({words}): set {CERT} and {KEY} to a certificate that the "
            "release's ca.crt signed, and its key."
        )
    return f"{node} speaks no TLS that this tool does ({words})."
