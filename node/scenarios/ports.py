"""Ports for the nodes of one scenario.

Why it exists: a node that was killed starts again on its port. One that the system gives to whoever dials may be taken
by then: by a connection of anybody's, or by the dial of another node to that very port, which then connects to itself.
So these ports lie below those (32768 on Linux). Each process begins to look somewhere else, for two may play scenarios
at once.
"""

import contextlib
import itertools
import os
import socket

from node.scenarios.outcome import ToolFailure
from node.supervisor.layout import HOST

FIRST, END = 10_000, 20_000
ROW = 50
STEP = 67
"""So many rows further each time; the next one is where the next process began."""

_given = itertools.count()


def free_row(count: int) -> int:
    """The first of `count` ports in a row, 50 at most, that are free now; others than it gave before.

    Raises ToolFailure where there are none."""
    rows = (END - FIRST) // ROW
    for tried in itertools.islice(_given, rows):
        first = FIRST + (os.getpid() + tried * STEP) % rows * ROW
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for port in range(first, first + count):
                held.enter_context(socket.socket()).bind((HOST, port))
            return first
    raise ToolFailure(f"There are no {count} free ports in a row from {FIRST} to {END} on {HOST}.")
