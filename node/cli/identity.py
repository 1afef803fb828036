"""How commands that ask nodes speak TLS: whom they trust, and what they show, from flags or the environment.

Why it exists: every command that takes a URL takes an https one, and says in one sentence what is wrong with it. The
sessions that commands ask with are made here. It must not decide where TLS is spoken: the URL does.
"""

import ssl
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
OPTIONS = {"tls_cacert": Cacert, "tls_cert": Cert, "tls_key": Key}
"""Added to every command that asks nodes; see node.cli.group."""

_ALERT_OF_HANDSHAKES = ("CERTIFICATE", "UNKNOWN_CA", "HANDSHAKE_FAILURE", "ACCESS_DENIED", "PROTOCOL_VERSION")


class _Given:
    """Of the command that runs."""

    cacert: Path | None = None
    cert: Path | None = None
    key: Path | None = None


def use(cacert: Path | None, cert: Path | None, key: Path | None) -> None:
    """What the command was given. Raises Failure for what is of no use, before anything is asked."""
    _Given.cacert, _Given.cert, _Given.key = cacert, cert, key
    if (cert is None) != (key is None):
        raise Failure("--cert and --key belong together: give both, or none.", USAGE)
    context()


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


def asking_session() -> "aiohttp.ClientSession":
    """As `new_session`, with what the command was given. Call it in a running loop."""
    import aiohttp

    from node.supervisor.watch import new_session

    found = context()
    return new_session(None if found is None else aiohttp.TCPConnector(ssl=found))


def trouble(error: BaseException) -> str:
    """What is wrong with the handshake, as the end of a sentence about the node; empty where it is none of that. Then
    nothing was done: no request is read before a handshake is through."""
    import aiohttp

    found: BaseException | None = error
    while found is not None and (isinstance(found, aiohttp.ClientError) or not isinstance(found, ssl.SSLError)):
        found = found.__cause__ or found.__context__
    if found is None:
        return ""
    if isinstance(found, ssl.SSLCertVerificationError):
        return f"shows a certificate that is not trusted ({found.verify_message}): give --cacert"
    reason = found.reason or ""
    words = reason.lower().replace("_", " ")
    if "ALERT" in reason and any(word in reason for word in _ALERT_OF_HANDSHAKES):
        return f"does not take what this command shows ({words}): give --cert and --key"
    return f"speaks no TLS that this command does ({words})" if "ALERT" not in reason else ""


def _missing() -> Path | None:
    return next((path for path in (_Given.cacert, _Given.cert, _Given.key) if path and not path.exists()), None)
