"""How the process of a node ends: its exit codes, and the one sentence that says why.

Why it exists: supervisors, containers and people read both, so they are stated once. It must not end anything.
"""

import errno
import logging
import socket

from node import cures
from node.access.tokens import TokensError
from node.file_limits import TooFewFiles
from node.raft.errors import InvariantViolation
from node.runtime.snapshot_ports import UnreadableSnapshot
from node.settings import Settings
from node.storage.errors import StorageError
from node.tls.files import TlsError

EXIT_STOPPED = 0
EXIT_ADDRESS = 2
EXIT_LIMIT = 2
EXIT_STORAGE = 3
EXIT_SETTINGS = 64
"""As for settings that are refused before anything is made: files of certificates and tokens are read later."""
EXIT_INVARIANT = 70
"""EX_SOFTWARE: the node found itself in a state that Raft excludes, and stopped rather than go on."""

_LOG = logging.getLogger("node")


def is_foreign(error: OSError) -> bool:
    """Whether an address cannot be listened at because it is none of this machine, whichever port it is."""
    return isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL


def exit_of(failure: Exception | None, settings: Settings, *, has_peer_port: bool = True) -> tuple[int, str]:
    """The exit code and its sentence; the sentence is empty where the node was asked to stop. `has_peer_port` False:
    peers come some other way than to a port."""
    match failure:
        case None:
            return EXIT_STOPPED, ""
        case StorageError() | UnreadableSnapshot():
            return EXIT_STORAGE, str(failure)
        case OSError():
            ports = [settings.port, *([settings.operations_port] if settings.operations_port else ())]
            where = [f"{settings.host}:{port}" for port in ports]
            where += [f"{settings.peer_host}:{settings.peer_port}"] * has_peer_port
            *first, last = where
            places = f"{', '.join(first)} and {last}" if first else last
            cure = cures.OWN_ADDRESS if is_foreign(failure) else cures.OTHER_PORTS
            return EXIT_ADDRESS, f"cannot listen on {places} ({failure.strerror or failure}): {cure}"
        case TlsError() | TokensError():
            return EXIT_SETTINGS, str(failure)
        case TooFewFiles():
            return EXIT_LIMIT, str(failure)
        case InvariantViolation():
            return EXIT_INVARIANT, str(failure)
    _LOG.critical("the node stops because of a bug", exc_info=failure)
    return EXIT_INVARIANT, str(failure)
