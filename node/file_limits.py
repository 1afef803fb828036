"""How a node divides the file descriptors that it may have: first its log and its peers, then clients.

Why it exists: a node that is out of descriptors cannot begin a segment of its log, and must stop. So what it cannot do
without is set aside at the start, and clients get what is left. The soft limit is raised to the hard one, as far as it
is of use. It must not open anything.
"""

import os
import resource

import msgspec

from node import cures
from node.api.clients import CLIENTS_MAX
from node.api.events import STREAMS_MAX
from node.transport.settings import LinkSettings

FILES_WANTED_MAX = 16_384
"""The soft limit is raised as far as this; a hard one of a million is of no use here."""

LOG_FILES = 8
"""Set aside for the log: the segment that is written, the one that is made, their folder, what a repair keeps."""

FILES_PER_PEER = 6
"""Set aside for each peer: two lanes in both directions, and a lane that replaces another before that has ended."""

SPARE_FILES = 14
"""Set aside for what comes and goes: names that are looked up, figures of the process for `/metrics`, listeners,
connections that are being accepted, refused, or closed for others."""

CLIENTS_MIN = 4
HALF_OPEN_MIN = 4
"""Connections to the peers' port that have not said whose they are; what is more than twice this is shared with
clients, one to four."""


class TooFewFiles(Exception):
    """The node could not do its work with so few; the message says how many it needs."""


class FilePlan(msgspec.Struct, frozen=True):
    """Descriptors by use. `limit`: the soft limit in force; `clients`: connections at a time; `streams`: those of them
    that may be event streams, which are never idle; `half_open`: strangers at the peers' port."""

    limit: int
    clients: int
    streams: int
    half_open: int

    def words(self) -> str:
        """For the log."""
        return (
            f"this process may open {self.limit} files: up to {self.clients} connections of clients "
            f"({self.streams} event streams) and {self.half_open} that say they are peers"
        )


def divide(limit: int, used: int, peers: int, operations: int = 0) -> FilePlan:
    """Plan `limit` descriptors, of which `used` are open, and `operations` are for their port. Raises `TooFewFiles`."""
    left = limit - used - operations - LOG_FILES - FILES_PER_PEER * peers - SPARE_FILES
    needed = CLIENTS_MIN + HALF_OPEN_MIN
    if left < needed:
        raise TooFewFiles(
            f"this process may open {limit} files, and with {peers} peers it needs {limit - left + needed}: "
            f"{cures.RAISE_OPEN_FILES}"
        )
    half_open = min(LinkSettings().half_open_max, max(HALF_OPEN_MIN, left // 5))
    clients = min(CLIENTS_MAX, left - half_open)
    return FilePlan(limit, clients, min(STREAMS_MAX, clients // 2), half_open)


def raise_limit() -> int:
    """Raise the soft limit as far as it is allowed and of use; the limit in force."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES_WANTED_MAX if hard == resource.RLIM_INFINITY else min(hard, FILES_WANTED_MAX)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return FILES_WANTED_MAX if soft == resource.RLIM_INFINITY else soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (ValueError, OSError):  # not allowed here, whatever the hard limit says
        return soft
    return most


def used_now() -> int:
    """Descriptors that this process has open."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return len(os.listdir(folder)) - 1  # one is the folder's own
        except OSError:
            continue
    return 16
