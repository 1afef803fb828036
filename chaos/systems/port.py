"""What the nodes are, as a port: how they are asked, what a refusal means, and what they can show.

Why it exists: the same run, the same faults and the same checks are for every system that keeps Raft's promises. A
`Target` says where nodes run, a `System` how to talk to them. It must not judge, and must not retry: a request that
may have happened is "unknown", whatever the system calls it.
"""

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Literal, Protocol

import aiohttp

from chaos.clock import Clock
from chaos.model import Event, LogLine, View
from chaos.observe.nodeapi import CommandAnswer, Reply
from chaos.observe.past import Found

Feature = Literal["events", "log", "raft-log", "last-index", "contact-ages", "revisions"]
"""What a check may need and not every system shows.

events: elections, votes and starts, each with its time. log: what each node has committed, in its order; raft-log: by
the indexes of `View.commit`. last-index: where a node's log ends, so that a later life can be held against it.
contact-ages: when a node last heard from each other one. revisions: of each write and read.
"""


class System(Protocol):
    """One for each open target. `url`: of that node, as `Target.url` gives it."""

    name: str
    """As `--system` takes it."""
    lacks: Collection[Feature]
    """What its nodes do not show. A check that needs it is not applicable."""

    async def view(
        self, session: aiohttp.ClientSession, node: str, url: str, clock: Clock, timeout_s: float = ...
    ) -> View | None:
        """What the node says of itself, with when it was asked and answered; None: no answer in time."""

    async def log(self, session: aiohttp.ClientSession, url: str) -> tuple[LogLine, ...]:
        """What the node has committed, in order: entries of its log, or what stands in for them. Raises ChaosError."""

    async def write(self, session: aiohttp.ClientSession, url: str, key: str, value: int, timeout_s: float) -> Reply:
        """Write, sent once. "fail" only where provably nothing was written."""

    async def read(self, session: aiohttp.ClientSession, url: str, key: str, timeout_s: float) -> Reply:
        """Read linearizably, sent once. "fail": it was refused, or nobody was there; "unknown": it was not answered."""

    async def versions(self, session: aiohttp.ClientSession, url: str, prefix: str) -> dict[str, int]:
        """How often each key that begins with `prefix` was written. Raises ChaosError."""

    async def past(self, session: aiohttp.ClientSession, url: str, wanted: Sequence[tuple[str, int]]) -> list[Found]:
        """For each (key, revision) what the key held then. Raises ChaosError."""

    async def reset_links(self, session: aiohttp.ClientSession, node: str, url: str, peer: str) -> CommandAnswer:
        """Have the node close its connections with `peer`, so that they are dialled anew."""

    def events(self, session: aiohttp.ClientSession, node: str, url: str) -> AsyncIterator[Event] | None:
        """What the node tells, from its beginning and for ever; None: it streams them by `/events` (observe/traces.py)
        or, where `lacks` says so, tells nothing."""
