"""The table of every metric, for docs/operations.md: asked of the collector itself, on a node that stands still.

Why it exists: who writes an alarm must find what there is without reading code. It must not explain a metric in other
words than `/metrics` does.
"""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry

from node.access.counts import AccessCounts
from node.api.bodies import Bodies
from node.api.http2.counts import Counts
from node.observe.metrics import Metrics
from node.observe.stats import Stats
from node.observe.trace import Trace
from node.observe.turns import Turns
from node.raft.types import Role
from node.runtime.latency import LatencySummary
from node.runtime.ports import Status
from node.statemachine.sessions import Sessions
from node.tls.counts import TlsCounts
from tests.observe.status import node_status


class _Clients:
    count = most = made_room = refused = over_share = 0
    given_up: Mapping[str, int] = dict.fromkeys(("headers", "body", "unread"), 0)
    bodies = Bodies()


class _Watches:
    watches = events_sent = fell_behind = refused = 0
    streams = ()


class _Hop:
    lost = untold = refused = 0


class _Store:
    revision = key_count = size_bytes = lease_count = 0
    sessions = Sessions()


def standing_still(status: Status) -> Metrics:
    """All that a node serves that says this of itself, and for which nothing has happened yet."""
    trace = Trace("n1", "boot-1", lambda: 0)
    stats = Stats(
        trace,
        {},
        lambda: LatencySummary((), None, None, 0),
        hop=_Hop(),
        frames_refused=lambda: dict.fromkeys(("damaged", "hello"), 0),
    )
    turns = Turns(lambda: 0.0, lambda: 0.0, 1.0)
    return Metrics(
        lambda: status,
        trace,
        lambda: 0,
        _Store(),
        stats,
        turns,
        clients=_Clients(),
        watches=_Watches(),
        http2=Counts(),
        tls=TlsCounts(lambda _kind, _detail: None, lambda: 0.0),
        access=AccessCounts(lambda _kind, _detail: None, lambda: 0.0),
    )


def table() -> str:
    """A row a metric, sorted by name; the process's own, which the library knows, are left out."""
    metrics = standing_still(node_status(role=Role.LEADER))
    rows = ["| Metric | Labels | What it says |", "|---|---|---|", *sorted(_rows(metrics.registry))]
    return "\n".join(rows)


def _rows(registry: CollectorRegistry) -> list[str]:
    found = []
    for family in registry.collect():
        if family.name.startswith("raft_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = ", ".join(f"`{label}`" for label in getattr(family, "_labelnames", ()))
            found.append(f"| `{name}` | {labels} | {family.documentation} |")
    return found
