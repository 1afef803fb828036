"""The port of the cluster monitor: found and held before anything starts, so that its address can be printed first.

Why it exists: a second cluster on the machine, or any program that likes 8080, must not keep a cluster from starting;
but who names a port means that one. It must not serve anything.
"""

import errno
import socket
from collections.abc import Collection

from node.supervisor.layout import HOST, NodeEntry, SupervisorError

MONITOR_PORT = 8080
PORTS_TRIED_MAX = 20
"""From MONITOR_PORT on, where none was named."""
BACKLOG = 128


class Door:
    """A listening socket. `allowed_hosts`, `request_seconds`: what the nodes' settings say, for the monitor too."""

    def __init__(self, listening: socket.socket, allowed_hosts: Collection[str], request_seconds: float) -> None:
        self.socket = listening
        self.allowed_hosts = tuple(allowed_hosts)
        self.request_seconds = request_seconds
        self.port = int(listening.getsockname()[1])
        self.url = f"http://{HOST}:{self.port}/"

    def close(self) -> None:
        """Give the port back; harmless when it was."""
        self.socket.close()


def open_door(
    port: int | None,
    entries: Collection[NodeEntry],
    allowed_hosts: Collection[str] = (),
    request_seconds: float = 5.0,
    *,
    kept: Collection[int] = (),
    without: str = "--no-monitor",
) -> Door | None:
    """Listen on `port` (0: any free one), or where it is None on MONITOR_PORT or one of the next that are free. `kept`:
    ports that something else will need. `without`: the flag by which there is no such page; empty: there is none.

    None: all of those are taken. Raises SupervisorError where a named port cannot be had.
    """
    nodes = {int(address.rpartition(":")[2]) for entry in entries for address in (entry.url, entry.peer)}
    or_none = f", or {without}" if without else ""
    if port is not None:
        if port in nodes:
            raise SupervisorError(f"Port {port} is a node's own: choose another --monitor-port (0 takes any free one).")
        try:
            return Door(_listen(port), allowed_hosts, request_seconds)
        except OSError as error:
            why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            raise SupervisorError(
                f"Port {port} of {HOST}, where the monitor would be served, {why}: "
                f"choose another --monitor-port (0 takes any free one){or_none}."
            ) from None
    for candidate in range(MONITOR_PORT, MONITOR_PORT + PORTS_TRIED_MAX):
        if candidate in nodes or candidate in kept:
            continue
        try:
            return Door(_listen(candidate), allowed_hosts, request_seconds)
        except OSError:
            continue
    return None


def _listen(port: int) -> socket.socket:
    """Bound and listening: two sockets may be bound to one port, but only one may listen."""
    made = socket.socket()
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((HOST, port))
        made.listen(BACKLOG)
        made.setblocking(False)
    except BaseException:
        made.close()
        raise
    return made
