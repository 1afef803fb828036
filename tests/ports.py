"""Ports for what tests start: no two processes of a suite are ever given the same one.

Why it exists: whoever asks the system for a free port, gives it back and starts a node on it may find it taken. Another
test, in the other half of the suite, asked in that moment; or the system gave it to somebody who dials. So a process
takes a slice of ports for itself as long as it lives, below those that the system gives to who dials, and takes all its
ports from there in turn: one that was just given is the last to be given again.
"""

import atexit
import functools
import socket

HOST = "127.0.0.1"
PEER_PORT_OFFSET = 1000
"""From a node's client port to its peer port, as `raft-node cluster` has it."""
FIRST, END = 20_000, 30_000
"""Below the ports of who dials (32768 on Linux), and below the node ports of Kubernetes (30000)."""
SLICE = 250
"""So many client ports has a process, and as many peer ports."""
BLOCK = 20
"""Ports are given in blocks, so that a cluster may grow beyond the nodes that were asked for."""


class NoFreePorts(Exception):
    """All slices, or all ports of this process's own, are in use."""


class _Slice:
    """The ports of this process. Its last one is bound for as long as the process lives: that says whose slice it is,
    to whoever runs tests on this machine."""

    def __init__(self, first: int = FIRST, end: int = END) -> None:
        self._holding = socket.socket()
        atexit.register(self.give_back)
        for area in range(first, end, 2 * PEER_PORT_OFFSET):
            for slice_first in range(area, area + PEER_PORT_OFFSET, SLICE):
                if _bound(self._holding, slice_first + SLICE - 1):
                    self._first, self._next = slice_first, 0
                    return
        self.give_back()
        raise NoFreePorts(f"All slices of ports from {first} to {end} are in use: too many run tests on this machine.")

    def give_back(self) -> None:
        """Others may have it from now on."""
        self._holding.close()

    def row(self, count: int, *offsets: int) -> int:
        """The first of `count` ports in a row, each free now, and free so far above by each of `offsets`."""
        blocks = -(-count // BLOCK)
        last = (SLICE - 1) // BLOCK - blocks  # the block of the bound port is given to nobody
        for _ in range(last + 1):
            block = self._next if self._next <= last else 0
            self._next = block + blocks
            first = self._first + block * BLOCK
            if all(is_free(port + offset) for port in range(first, first + count) for offset in (0, *offsets)):
                return first
        raise NoFreePorts(f"No {count} of the ports from {self._first} on are free: something left nodes behind.")


@functools.cache
def _own() -> _Slice:
    return _Slice()


def hold() -> None:
    """Take this process's slice now, rather than with the first port: a test that leaves a socket behind fails."""
    _own()


def free_base_port(nodes: int) -> int:
    """A port from which on `nodes` client ports, and their peer ports, are free now."""
    return _own().row(nodes, PEER_PORT_OFFSET)


def free_row(count: int) -> int:
    """The first of so many ports in a row, at most 240, that are free now."""
    return _own().row(count)


def free_port() -> int:
    """One that is free now, and that nobody listens at unless this process has it done."""
    return free_row(1)


def is_free(port: int) -> bool:
    """Whether a server could listen there."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # one in TIME_WAIT is free for a server
        return _bound(probe, port)


def _bound(one: socket.socket, port: int) -> bool:
    try:
        one.bind((HOST, port))
    except OSError:
        return False
    return True
