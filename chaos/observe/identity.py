"""How the tool proves who it is to nodes, and whom it trusts, as the environment says.

Why it exists: nodes whose URLs are https are asked like all others, and the variables are those of raft-node, so that
one shell serves both. It must not decide where TLS is spoken: the URL does.
"""

import os
import ssl

from chaos.errors import ChaosError

CACERT, CERT, KEY = "RAFT_CACERT", "RAFT_CERT", "RAFT_KEY"
TOKEN, TOKEN_FILE = "RAFT_TOKEN", "RAFT_TOKEN_FILE"
TOKEN_BYTES_MAX = 4096


def of_environment() -> ssl.SSLContext | None:
    """None: nothing is said, so the system's authorities are trusted and nothing is shown. Raises ChaosError."""
    cacert, cert, key = (os.environ.get(name, "") for name in (CACERT, CERT, KEY))
    if not (cacert or cert or key):
        return None
    if bool(cert) != bool(key):
        raise ChaosError(f"{CERT} and {KEY} belong together: set both, or none.")
    try:
        made = ssl.create_default_context(cafile=cacert or None)
        if cert:
            made.load_cert_chain(cert, key, password=lambda: "")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else str(error)
        raise ChaosError(
            f"What {CACERT}, {CERT} and {KEY} name is of no use ({why}): name files in PEM form, a certificate with "
            "its key."
        ) from None
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    return made


def token_headers() -> dict[str, str]:
    """What shows a token to nodes that ask for one: of the file that is named, else of the environment; nothing where
    there is none. Raises ChaosError."""
    found, path = os.environ.get(TOKEN, "").strip(), os.environ.get(TOKEN_FILE, "")
    if path:
        try:
            with open(path, "rb") as file:
                found = file.read(TOKEN_BYTES_MAX).decode("ascii", "replace").strip()
        except OSError as error:
            raise ChaosError(
                f"{path}, which {TOKEN_FILE} names, cannot be read ({error.strerror}): name a file that holds a token."
            ) from None
    if not found:
        return {}
    if not (found.isascii() and found.isprintable() and " " not in found):
        raise ChaosError(f"What {TOKEN_FILE if path else TOKEN} gives is no token: it is one word.")
    return {"Authorization": f"Bearer {found}"}
