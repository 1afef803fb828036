"""Prometheus metrics of one node; docs/operations.md names every one of them, so names and labels do not change.

Why it exists: almost every value is known elsewhere already (the core's status, the trace's counts), so they are
read when Prometheus asks, and the hot path pays nothing. Only what nobody else knows is counted here: outcomes of
client requests and the time of fsync. Its registry is its own, so that two nodes can live in one process.
"""

from collections.abc import Callable, Iterator
from typing import cast

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from node.observe.alarms import ALARMS
from node.observe.families.making import counter, gauge, single
from node.observe.families.of_clients import (
    access_metrics,
    clients_metrics,
    http2_metrics,
    session_metrics,
    tls_metrics,
    watch_metrics,
)
from node.observe.families.of_raft import (
    core_metrics,
    peer_metrics,
    snapshot_metrics,
    stats_metrics,
    trace_metrics,
    turn_metrics,
)
from node.observe.families.views import (
    AccessView,
    ClientsView,
    Http2View,
    NodeView,
    StoreSize,
    TlsView,
    WatchesView,
)
from node.observe.stats import Stats
from node.observe.trace import Trace
from node.observe.turns import Turns

CONTENT_TYPE = CONTENT_TYPE_LATEST

disable_created_metrics()  # type: ignore[no-untyped-call]
"""A second series for each, which says what `raft_uptime_seconds` says."""

OUTCOMES_ALWAYS_THERE = ("done", "unknown")
"""What alarms watch is 0 before it happens first: a series that begins at 1 never grew, says Prometheus."""

FSYNC_BUCKETS_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """Everything `/metrics` says. Callables are asked at each scrape, on the event loop's thread. `lines_lost`: lines
    of the log that nobody read in time."""

    def __init__(
        self,
        status: Callable[[], NodeView],
        trace: Trace,
        loop_age_us: Callable[[], int],
        store: StoreSize,
        stats: Stats | None = None,
        turns: Turns | None = None,
        lines_lost: Callable[[], int] = int,
        clients: ClientsView | None = None,
        watches: WatchesView | None = None,
        http2: Http2View | None = None,
        tls: TlsView | None = None,
        access: AccessView | None = None,
    ) -> None:
        self.proposals: dict[str, int] = {}
        """Client writes by outcome: "done", "done-untold", "unknown", or the code of a refusal."""
        self.reads: dict[str, int] = {}
        """Client reads by outcome: "linearizable", "stale", or the code of a failure."""
        self.registry = CollectorRegistry(auto_describe=False)
        self._fsync = Histogram(
            "raft_fsync_seconds",
            "Time of one fsync of the log.",
            registry=self.registry,
            buckets=FSYNC_BUCKETS_SECONDS,
        )
        self._sources = (status, trace, loop_age_us, store)
        self._stats = stats
        self._turns = turns
        self._lines_lost = lines_lost
        self._clients = clients
        self._watches = watches
        self._http2 = http2
        self._tls = tls
        self._access = access
        ProcessCollector(registry=self.registry)
        self.registry.register(self)

    def proposal(self, outcome: str) -> None:
        """Count one client write."""
        self.proposals[outcome] = self.proposals.get(outcome, 0) + 1

    def read(self, outcome: str) -> None:
        """Count one client read."""
        self.reads[outcome] = self.reads.get(outcome, 0) + 1

    def fsync(self, seconds: float) -> None:
        """Record one fsync; may be called from any thread."""
        self._fsync.observe(seconds)

    def render(self) -> bytes:
        """The text exposition format; its type is `CONTENT_TYPE`."""
        return generate_latest(self.registry)

    def families(self) -> Iterator[bytes]:
        """The same one metric after the other, so that a large cluster's can be made in several turns of the loop."""
        for family in self.registry.collect():
            yield generate_latest(cast(CollectorRegistry, _One(family)))

    def describe(self) -> list[Metric]:
        """Nothing in advance: `collect` needs a running node."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Called by the registry."""
        status, trace, loop_age_us, store = self._sources
        view = status()
        yield from core_metrics(view.core)
        yield from snapshot_metrics(view.snapshot, view.time_us)
        kept = "When the last backup was completed, in seconds since 1970; absent: no node was told of one."
        backup = GaugeMetricFamily("raft_backup_last_success_timestamp_seconds", kept)
        if view.backup_at_us:
            backup.add_metric([], view.backup_at_us / 1e6)
        yield backup
        yield gauge("raft_store_bytes", "Size of all keys, values and versions in the store.", store.size_bytes)
        if view.store is not None:
            limit = view.store.quota_bytes
            yield gauge("raft_store_limit_bytes", "Size at which puts are refused; 0: there is no limit.", limit)
        alarms = GaugeMetricFamily("raft_alarm", "1 while the alarm of that name is raised, else 0.", labels=["alarm"])
        for alarm in ALARMS:
            alarms.add_metric([alarm.name], float(alarm.rings(view)))
        yield alarms
        yield gauge("raft_leases", "Leases that were granted and have not ended.", store.lease_count)
        yield from session_metrics(store.sessions)
        yield from peer_metrics(view)
        yield from trace_metrics(trace, view.core.role)
        if self._stats is not None:
            yield from stats_metrics(self._stats)
        if self._turns is not None:
            yield from turn_metrics(self._turns)
        lost: dict[tuple[str, ...], int] = {(): self._lines_lost()}
        yield counter("raft_log_lines_lost", "Lines of the log that standard error did not take in time.", [], lost)
        if self._clients is not None:
            yield from clients_metrics(self._clients)
        if self._watches is not None:
            yield from watch_metrics(self._watches)
        if self._http2 is not None:
            yield from http2_metrics(self._http2)
        if self._tls is not None:
            yield from tls_metrics(self._tls)
        if self._access is not None:
            yield from access_metrics(self._access)
        yield gauge("raft_uptime_seconds", "Time since the process started.", view.uptime_us / 1e6)
        yield gauge("raft_loop_age_seconds", "Time since the driver's loop last ran.", loop_age_us() / 1e6)
        yield gauge("raft_kv_revision", "Revision of the key-value store.", store.revision)
        yield gauge("raft_kv_keys", "Living keys.", store.key_count)
        proposals = {**dict.fromkeys(OUTCOMES_ALWAYS_THERE, 0), **self.proposals}
        yield counter("raft_proposals", "Client writes by outcome.", ["outcome"], single(proposals))
        yield counter("raft_reads", "Client reads by outcome.", ["outcome"], single(self.reads))
        info = GaugeMetricFamily("raft_build_info", "1, with the version.", labels=["version"])
        info.add_metric([view.version], 1)
        yield info


class _One:
    """What a registry of one metric collects."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        yield self._family
