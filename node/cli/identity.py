"""How commands that ask nodes prove who they are, and whom they trust: from flags or the environment.

Why it exists: every command that takes a URL takes an https one, and says in one sentence what is wrong with it. The
sessions that commands ask with are made here. A token is never a flag: everybody on the machine can read those. It must
not decide where TLS is spoken: the URL does.
"""

import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node.cli.failure import USAGE, Failure

if TYPE_CHECKING:
    import aiohttp

Cacert = Annotated[
    Path | None,
    typer.Option(
        "--cacert", metavar="FILE", envvar="RAFT_CACERT", help="for https: who signs the nodes' certificates, PEM"
    ),
]
Cert = Annotated[
    Path | None, typer.Option("--cert", metavar="FILE", envvar="RAFT_CERT", help="for https: what to show nodes, PEM")
]
Key = Annotated[Path | None, typer.Option("--key", metavar="FILE", envvar="RAFT_KEY", help="for https: its key, PEM")]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        metavar="FILE",
        envvar="RAFT_TOKEN_FILE",
        help="where nodes ask for a token: the file that holds it, else the variable RAFT_TOKEN",
    ),
]
OPTIONS = {"tls_cacert": Cacert, "tls_cert": Cert, "tls_key": Key, "token_file": TokenFile}
"""Added to every command that asks nodes; see node.cli.group."""

_ALERT_OF_HANDSHAKES = ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE", "ACCESS_DENIED", "PROTOCOL_VERSION")

_OF_AUTHORITIES = (18, 19, 20, 21)
"""OpenSSL's numbers for a certificate whose signer is not known or not trusted, itself or in its chain."""

TOKEN_ENV = "RAFT_TOKEN"
TOKEN_BYTES_MAX = 4096


class _Given:
    """Of the command that runs."""

    cacert: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    token: str = ""
    later: tuple[Path | None, ...] = (None,) * 4


def use(cacert: Path | None, cert: Path | None, key: Path | None, token_file: Path | None) -> None:
    """What the command was given. Raises Failure for what is of no use, before anything is asked."""
    _Given.cacert, _Given.cert, _Given.key = cacert, cert, key
    if (cert is None) != (key is None):
        raise Failure("--cert and --key belong together: give both, or none.", USAGE)
    context()
    _Given.token = _token_of(token_file)


def use_later(*given: Path | None) -> None:
    """As `use`, once `use_now` is called: for a command that may find out before that there is nobody to ask."""
    _Given.later = given


def use_now() -> None:
    """What `use_later` was given."""
    use(*_Given.later)


def token() -> str | None:
    """What to show nodes; None: nothing was given."""
    return _Given.token or None


def context() -> ssl.SSLContext | None:
    """None: nothing was given, so the system's authorities are trusted and nothing is shown."""
    if not (_Given.cacert or _Given.cert):
        return None
    path = _Given.cacert
    try:
        made = ssl.create_default_context(cafile=path)
        if _Given.cert is not None and _Given.key is not None:
            path = _Given.cert
            made.load_cert_chain(_Given.cert, _Given.key, password=lambda: "")
    except FileNotFoundError:
        raise Failure(f"{_missing()} is not there: give the path of a file in PEM form.", USAGE) from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else ""
        raise Failure(
            f"{path} is of no use ({why or 'no certificate, or not of that key'}): give PEM.", USAGE
        ) from None
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    return made


@asynccontextmanager
async def asking_session() -> "AsyncIterator[aiohttp.ClientSession]":
    """As `new_session`, with what the command was given. No command waits for a look-up that hangs."""
    import aiohttp

    from node.discovery.lookup import Lookup
    from node.discovery.own_threads import OwnThreads
    from node.supervisor.watch import new_session

    headers = {"Authorization": f"Bearer {_Given.token}"} if _Given.token else None
    lookup = Lookup()
    connector = aiohttp.TCPConnector(ssl=context() or True, resolver=OwnThreads(lookup))
    try:
        async with new_session(connector, headers) as session:
            yield session
    finally:
        await lookup.close()


def trouble(error: BaseException) -> str:
    """What is wrong with the handshake, or with who asks, as the end of a sentence about the node; empty where it is
    none of that. Then nothing was done: no request is read before a handshake is through."""
    import aiohttp

    from node.supervisor.watch import NotLetIn

    if isinstance(error, NotLetIn):
        return f"does not let this command in: {str(error).rstrip('.')}"
    found: BaseException | None = error
    while found is not None and (isinstance(found, aiohttp.ClientError) or not isinstance(found, ssl.SSLError)):
        found = found.__cause__ or found.__context__
    if found is None:
        return ""
    if isinstance(found, ssl.SSLCertVerificationError):
        told = f"shows a certificate that is not trusted ({found.verify_message})"
        cure = f"{_Given.cacert} must hold the authority that signed it" if _Given.cacert else "give --cacert"
        return f"{told}: {cure}" if found.verify_code in _OF_AUTHORITIES else told
    reason = found.reason or ""
    words = reason.lower().replace("_", " ")
    if "ALERT" in reason and any(word in reason for word in _ALERT_OF_HANDSHAKES):
        cure = f"{_Given.cert} must be of an authority that it trusts" if _Given.cert else "give --cert and --key"
        return f"does not take what this command shows ({words}): {cure}"
    return f"speaks no TLS that this command does ({words})" if "ALERT" not in reason else ""


def _token_of(path: Path | None) -> str:
    """From the file, else from the environment; empty: there is none."""
    found, where = os.environ.get(TOKEN_ENV, "").strip(), f"the variable {TOKEN_ENV}"
    if path is not None:
        where = str(path)
        try:
            with path.open("rb") as file:
                found = file.read(TOKEN_BYTES_MAX).decode("ascii", "replace").strip()
        except OSError as error:
            why = error.strerror or str(error)
            raise Failure(f"The file {path} cannot be read ({why}): give one that holds a token.", USAGE) from None
        if not found:
            raise Failure(f"The file {path} is empty: give one that holds a token.", USAGE)
    if "sha256:" in found:
        raise Failure(f"{where} holds a line of the nodes' tokens_file: give the token, which was shown once.", USAGE)
    if not (found.isascii() and found.isprintable() and " " not in found):
        raise Failure(f"What {where} holds is no token: it is one word, as raft-node token new shows it.", USAGE)
    return found


def _missing() -> Path | None:
    return next((path for path in (_Given.cacert, _Given.cert, _Given.key) if path and not path.exists()), None)
