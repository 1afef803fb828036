"""The first look at a cluster that starts: until one node leads and the others follow, or for so long and no longer.

Why it exists: people see a table of their nodes once it can say who leads; what is missing is said instead where that
takes too long. It must not print anything, and not know why a process ended.
"""

import asyncio
from collections.abc import Callable, Mapping

import aiohttp
import msgspec

from node.supervisor.layout import NodeEntry
from node.supervisor.roll_call import agreed_leader, what_is_missing
from node.supervisor.watch import NodeStatus, fetch_status

LEADER_WAIT_SECONDS = 20.0
"""How long the table waits for a leader before it says what is missing; the cluster goes on either way."""
COMPLETE_WAIT_SECONDS = 2.0
"""How long the table waits, with a leader, for the last nodes to know of it."""
STATUS_POLL_SECONDS = 0.1

Views = Mapping[str, NodeStatus | None]


class NodeRow(msgspec.Struct, frozen=True):
    """A line of the first table. `role` is "unknown" where the node did not answer."""

    name: str
    url: str
    pid: int | None
    role: str
    term: int | None


class Seen(msgspec.Struct, frozen=True):
    """What the look ended with. `leader`: whom all agree on, empty where there was none in time; `missing`: what keeps
    the cluster from being whole, empty where nothing does."""

    leader: str
    rows: tuple[NodeRow, ...]
    missing: str


class Introduction:
    """`pids`: the process of each node, None where it ended. `all_failed`: whether all ended, and each by itself.
    `is_told`: whether people heard who leads in a term."""

    def __init__(
        self,
        entries: tuple[NodeEntry, ...],
        pids: Callable[[], Mapping[str, int | None]],
        all_failed: Callable[[], bool],
        is_told: Callable[[int], bool],
    ) -> None:
        self._entries, self._pids, self._all_failed, self._is_told = entries, pids, all_failed, is_told

    async def look(self, session: aiohttp.ClientSession) -> Seen | None:
        """None where no node survived its start: each ended by itself before one answered. Nodes that somebody killed
        did not fail: who studies failures may kill all of them at once, and starts them again."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        answered = False
        led_since: float | None = None
        while True:
            answers = await asyncio.gather(*(fetch_status(session, entry.url) for entry in self._entries))
            views = {entry.name: answer for entry, answer in zip(self._entries, answers, strict=True)}
            now = loop.time()
            answered = answered or any(answers)
            if not answered and (self._all_failed() or (self._none_runs() and now - begin > LEADER_WAIT_SECONDS)):
                return None
            leader = agreed_leader(views)
            led_since = (led_since or now) if leader else None
            is_whole = leader and (self._is_complete(leader, views) or now - (led_since or now) > COMPLETE_WAIT_SECONDS)
            if is_whole or (not leader and now - begin > LEADER_WAIT_SECONDS):
                rows = tuple(self._row(entry, views[entry.name]) for entry in self._entries)
                return Seen(leader, rows, what_is_missing(views, self._pids()))
            await asyncio.sleep(STATUS_POLL_SECONDS)

    def _none_runs(self) -> bool:
        return not any(self._pids().values())

    def _is_complete(self, leader: str, views: Views) -> bool:
        """Every node that runs follows the leader, and its election was told: then the table comes after it."""
        lead, pids = views[leader], self._pids()
        follow = all(view and view.leader == leader for name, view in views.items() if pids[name])
        return lead is not None and follow and self._is_told(lead.term)

    def _row(self, entry: NodeEntry, view: NodeStatus | None) -> NodeRow:
        pid = self._pids()[entry.name]
        if view is None:
            return NodeRow(entry.name, entry.url, pid, "unknown" if pid else "not running", None)
        return NodeRow(entry.name, entry.url, pid, view.role, view.term)
