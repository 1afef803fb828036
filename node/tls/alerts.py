"""A context whose handshakes tell the other side why they fail, and whoever waits here as well.

Why it exists: event loops drop a connection whose handshake fails before the alert that OpenSSL has written leaves, so
the other side would see a reset, and its operator would look for a broken network. Here a failed handshake first asks
for more to read, which lets the alert out; the other side ends the connection on it, or the time limit does.
It must not judge a certificate.
"""

import ssl
from contextvars import ContextVar
from typing import Any

FAILED: ContextVar["list[ssl.SSLError] | None"] = ContextVar("FAILED", default=None)
"""Where the error of a handshake is put that is begun in this context."""


class TellingObject(ssl.SSLObject):
    """See the module."""

    failed: "list[ssl.SSLError] | None" = None

    def do_handshake(self) -> None:
        failed = self.failed
        if failed:
            raise failed[0]
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            if failed is None:
                raise
            failed.append(error)
            raise ssl.SSLWantReadError(ssl.SSL_ERROR_WANT_READ, "the alert is to leave first") from error


class TellingContext(ssl.SSLContext):
    """See the module. Handshakes begun where `FAILED` is not set are as of any context."""

    sslobject_class = TellingObject

    def wrap_bio(self, *bios: Any, **options: Any) -> ssl.SSLObject:
        made = super().wrap_bio(*bios, **options)
        if isinstance(made, TellingObject):
            made.failed = FAILED.get()
        return made
