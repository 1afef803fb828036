"""Prometheus metrics of one node; docs/operations.md names every one of them, so names and labels do not change.

Why it exists: almost every value is known elsewhere already (the core's status, the trace's counts), so they are
read when Prometheus asks, and the hot path pays nothing. Only what nobody else knows is counted here: outcomes of
client requests and the time of fsync. Its registry is its own, so that two nodes can live in one process.
"""

from collections.abc import Callable, Iterator, Mapping, Sized
from itertools import accumulate
from typing import Protocol, cast

from prometheus_client import CollectorRegistry, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.utils import floatToGoString

from node.observe.alarms import ALARMS, Holding
from node.observe.messages import type_name
from node.observe.stats import Stats
from node.observe.trace import Trace
from node.observe.turns import DOING, NOTHING, OTHER, TURN_BUCKETS_SECONDS, Turns
from node.raft.status import CoreStatus
from node.raft.types import Role

CONTENT_TYPE = CONTENT_TYPE_LATEST

disable_created_metrics()  # type: ignore[no-untyped-call]
"""A second series for each, which says what `raft_uptime_seconds` says."""

OUTCOMES_ALWAYS_THERE = ("done", "unknown")
STALLS_ALWAYS_THERE = (*((name, own) for name in (*DOING, OTHER) for own in (True, False)), (NOTHING, False))
"""What alarms watch is 0 before it happens first: a series that begins at 1 never grew, says Prometheus."""

FSYNC_BUCKETS_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class SnapshotView(Protocol):
    """What metrics read of `node.runtime.ports.SnapshotView`."""

    @property
    def index(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def taken_ago_us(self) -> int | None: ...
    @property
    def took_us(self) -> int | None: ...


class NodeView(Protocol):
    """What metrics read of `node.runtime.ports.Status`."""

    @property
    def core(self) -> CoreStatus: ...
    @property
    def version(self) -> str: ...
    @property
    def uptime_us(self) -> int: ...
    @property
    def links_up(self) -> tuple[str, ...]: ...
    @property
    def snapshot(self) -> SnapshotView: ...
    @property
    def time_us(self) -> int: ...
    @property
    def backup_at_us(self) -> int: ...
    @property
    def store(self) -> Holding | None: ...


class StoreSize(Protocol):
    """What metrics read of the key-value store."""

    @property
    def revision(self) -> int: ...
    @property
    def key_count(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def lease_count(self) -> int: ...
    @property
    def sessions(self) -> "SessionsView": ...


class SessionsView(Protocol):
    """What metrics read of the clients' sessions; see `node.statemachine.sessions`."""

    @property
    def size_bytes(self) -> int: ...
    @property
    def repeats(self) -> int: ...
    @property
    def expired(self) -> int: ...
    @property
    def evicted(self) -> int: ...
    def __len__(self) -> int: ...


class BodiesView(Protocol):
    """What metrics read of the long bodies of requests; see `node.api.bodies`."""

    @property
    def held_bytes(self) -> int: ...
    @property
    def waited(self) -> int: ...
    @property
    def refused(self) -> int: ...


class ClientsView(Protocol):
    """What metrics read of the connections of clients; see `node.api.clients`."""

    @property
    def count(self) -> int: ...
    @property
    def most(self) -> int: ...
    @property
    def made_room(self) -> int: ...
    @property
    def refused(self) -> int: ...
    @property
    def over_share(self) -> int: ...
    @property
    def given_up(self) -> Mapping[str, int]: ...
    @property
    def bodies(self) -> BodiesView: ...


class WatchesView(Protocol):
    """What metrics read of those who watch; see `node.watching.hub`."""

    @property
    def watches(self) -> int: ...
    @property
    def streams(self) -> Sized: ...
    @property
    def events_sent(self) -> int: ...
    @property
    def fell_behind(self) -> int: ...
    @property
    def refused(self) -> int: ...


class Http2View(Protocol):
    """What metrics read of the connections that speak HTTP/2; see `node.api.http2.counts`."""

    @property
    def connections(self) -> int: ...
    @property
    def streams(self) -> int: ...
    @property
    def held_bytes(self) -> int: ...
    @property
    def requests(self) -> int: ...
    @property
    def refused(self) -> int: ...
    @property
    def over_share(self) -> int: ...
    @property
    def waited(self) -> int: ...
    @property
    def faults(self) -> Mapping[str, int]: ...


class CertificateView(Protocol):
    """What metrics read of a certificate in force."""

    @property
    def not_after_s(self) -> int: ...


class TlsView(Protocol):
    """What metrics read of handshakes and certificates; see `node.tls.counts`."""

    @property
    def handshakes(self) -> Mapping[str, int]: ...
    @property
    def plain(self) -> Mapping[str, int]: ...
    @property
    def refused(self) -> Mapping[tuple[str, str], int]: ...
    @property
    def reloads(self) -> Mapping[tuple[str, str], int]: ...
    @property
    def certificates(self) -> Mapping[str, CertificateView]: ...


class AccessView(Protocol):
    """What metrics read of tokens; see `node.access.counts`."""

    @property
    def refusals(self) -> Mapping[str, int]: ...
    @property
    def logins_failed(self) -> int: ...
    @property
    def reloads(self) -> Mapping[str, int]: ...
    @property
    def tokens(self) -> int: ...
    @property
    def audited(self) -> Mapping[tuple[str, str], int]: ...


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
        yield from _core_metrics(view.core)
        yield from _snapshot_metrics(view.snapshot, view.time_us)
        kept = "When the last backup was completed, in seconds since 1970; absent: no node was told of one."
        backup = GaugeMetricFamily("raft_backup_last_success_timestamp_seconds", kept)
        if view.backup_at_us:
            backup.add_metric([], view.backup_at_us / 1e6)
        yield backup
        yield _gauge("raft_store_bytes", "Size of all keys, values and versions in the store.", store.size_bytes)
        if view.store is not None:
            limit = view.store.quota_bytes
            yield _gauge("raft_store_limit_bytes", "Size at which puts are refused; 0: there is no limit.", limit)
        alarms = GaugeMetricFamily("raft_alarm", "1 while the alarm of that name is raised, else 0.", labels=["alarm"])
        for alarm in ALARMS:
            alarms.add_metric([alarm.name], float(alarm.rings(view)))
        yield alarms
        yield _gauge("raft_leases", "Leases that were granted and have not ended.", store.lease_count)
        yield from _session_metrics(store.sessions)
        yield from _peer_metrics(view)
        yield from _trace_metrics(trace, view.core.role)
        if self._stats is not None:
            yield from _stats_metrics(self._stats)
        if self._turns is not None:
            yield from _turn_metrics(self._turns)
        lost: dict[tuple[str, ...], int] = {(): self._lines_lost()}
        yield _counter("raft_log_lines_lost", "Lines of the log that standard error did not take in time.", [], lost)
        clients = self._clients
        if clients is not None:
            yield _gauge("raft_clients", "Connections of clients.", clients.count)
            yield _gauge("raft_clients_limit", "Connections of clients that there may be.", clients.most)
            idle: dict[tuple[str, ...], int] = {(): clients.made_room}
            refused: dict[tuple[str, ...], int] = {(): clients.refused}
            yield _counter("raft_clients_closed_for_others", "Idle connections closed for new ones.", [], idle)
            yield _counter("raft_clients_refused", "Connections refused: none was idle.", [], refused)
            over: dict[tuple[str, ...], int] = {(): clients.over_share}
            yield _counter("raft_clients_over_share", "Of those, whose client had three quarters of all.", [], over)
            slow: dict[tuple[str, ...], int] = {(why,): count for why, count in clients.given_up.items()}
            yield _counter(
                "raft_clients_given_up", "Connections ended: too slow with what they sent or took.", ["why"], slow
            )
            yield from _bodies_metrics(clients.bodies)
        watches = self._watches
        if watches is not None:
            yield from _watch_metrics(watches)
        if self._http2 is not None:
            yield from _http2_metrics(self._http2)
        if self._tls is not None:
            yield from _tls_metrics(self._tls)
        if self._access is not None:
            yield from _access_metrics(self._access)
        yield _gauge("raft_uptime_seconds", "Time since the process started.", view.uptime_us / 1e6)
        yield _gauge("raft_loop_age_seconds", "Time since the driver's loop last ran.", loop_age_us() / 1e6)
        yield _gauge("raft_kv_revision", "Revision of the key-value store.", store.revision)
        yield _gauge("raft_kv_keys", "Living keys.", store.key_count)
        proposals = {**dict.fromkeys(OUTCOMES_ALWAYS_THERE, 0), **self.proposals}
        yield _counter("raft_proposals", "Client writes by outcome.", ["outcome"], _single(proposals))
        yield _counter("raft_reads", "Client reads by outcome.", ["outcome"], _single(self.reads))
        info = GaugeMetricFamily("raft_build_info", "1, with the version.", labels=["version"])
        info.add_metric([view.version], 1)
        yield info


class _One:
    """What a registry of one metric collects."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        yield self._family


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(name, documentation, value=value)


def _counter(name: str, documentation: str, labels: list[str], counts: dict[tuple[str, ...], int]) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family


def _single(counts: dict[str, int]) -> dict[tuple[str, ...], int]:
    return {(name,): count for name, count in counts.items()}


def _by_type(counts: Mapping[type, int]) -> dict[tuple[str, ...], int]:
    return {(type_name(kind),): count for kind, count in counts.items()}


def _core_metrics(core: CoreStatus) -> Iterator[Metric]:
    yield _gauge("raft_term", "Current term.", core.term)
    role = GaugeMetricFamily("raft_role", "1 for the role that the node has, 0 for the others.", labels=["role"])
    for one in Role:
        role.add_metric([one.value], float(core.role is one))
    yield role
    yield _gauge("raft_leader_known", "1 when this node knows who leads.", float(bool(core.leader)))
    yield _gauge("raft_commit_index", "Highest entry known to be committed.", core.commit)
    yield _gauge("raft_applied_index", "Highest entry that the store holds.", core.applied)
    yield _gauge("raft_durable_index", "Highest entry that is on this node's disk.", core.durable)
    yield _gauge("raft_first_index", "Oldest entry in the log.", core.first_index)
    yield _gauge("raft_last_index", "Newest entry in the log.", core.last_index)
    yield _gauge("raft_log_bytes", "Size of the log, as counted against its limit.", core.log_bytes)
    yield _gauge("raft_log_limit_bytes", "Size at which writes are refused.", core.log_limit_bytes)
    silent_s = (core.disk_silent_us or 0) / 1e6
    yield _gauge("raft_disk_pending_seconds", "Age of the oldest write that waits for the disk; 0: none.", silent_s)
    yield _gauge("raft_voters", "Voters in the configuration in force.", len(core.voters))


def _snapshot_metrics(snapshot: SnapshotView, time_us: int) -> Iterator[Metric]:
    yield _gauge("raft_snapshot_index", "Entry up to which the latest snapshot goes; 0: none.", snapshot.index)
    yield _gauge("raft_snapshot_bytes", "Size of the latest snapshot.", snapshot.size_bytes)
    ended = "When this process last completed one of its own, in seconds since 1970; absent: not yet."
    at = GaugeMetricFamily("raft_snapshot_last_success_timestamp_seconds", ended)
    took = GaugeMetricFamily("raft_snapshot_last_duration_seconds", "How long that one took; absent: none yet.")
    if snapshot.taken_ago_us is not None and snapshot.took_us is not None:
        at.add_metric([], (time_us - snapshot.taken_ago_us) / 1e6)
        took.add_metric([], snapshot.took_us / 1e6)
    yield from (at, took)


def _session_metrics(sessions: SessionsView) -> Iterator[Metric]:
    yield _gauge("raft_sessions", "Sessions of clients.", len(sessions))
    yield _gauge("raft_sessions_bytes", "Size of all sessions, with the answers that they keep.", sessions.size_bytes)
    ended: dict[tuple[str, ...], int] = {("idle",): sessions.expired, ("room",): sessions.evicted}
    yield _counter("raft_sessions_ended", "Sessions forgotten: idle for too long, or to make room.", ["why"], ended)
    repeats: dict[tuple[str, ...], int] = {(): sessions.repeats}
    yield _counter("raft_writes_repeated", "Writes in a session that came again, and were not done again.", [], repeats)


def _watch_metrics(watches: WatchesView) -> Iterator[Metric]:
    yield _gauge("raft_watches", "Watches of clients.", watches.watches)
    yield _gauge("raft_watch_streams", "Streams of clients that watch.", len(watches.streams))
    sent: dict[tuple[str, ...], int] = {(): watches.events_sent}
    yield _counter("raft_watch_events_sent", "Events told to watches.", [], sent)
    behind: dict[tuple[str, ...], int] = {(): watches.fell_behind}
    yield _counter("raft_watches_fell_behind", "Watches that were too slow, and had to read the history.", [], behind)
    refused: dict[tuple[str, ...], int] = {(): watches.refused}
    told = (
        "Watches that were refused: their client, or all, have as many as there may be, or too many different ranges."
    )
    yield _counter("raft_watches_refused", told, [], refused)


def _peer_metrics(view: NodeView) -> Iterator[Metric]:
    age = GaugeMetricFamily(
        "raft_peer_contact_age_seconds", "Time since anything of the peer arrived; absent: never.", labels=["peer"]
    )
    link = GaugeMetricFamily("raft_link_up", "1 when the link to the peer is up.", labels=["peer"])
    match = GaugeMetricFamily("raft_peer_match_index", "Leader only: what the peer is known to hold.", labels=["peer"])
    for peer in view.core.peers:
        link.add_metric([peer.name], float(peer.name in view.links_up))
        if peer.contact_age_us is not None:
            age.add_metric([peer.name], peer.contact_age_us / 1e6)
        if view.core.role is Role.LEADER:
            match.add_metric([peer.name], peer.match_index)
    yield from (age, link, match)


def _stats_metrics(stats: Stats) -> Iterator[Metric]:
    sent = CounterMetricFamily("raft_peer_bytes_sent", "Bytes of frames handed to links.", labels=["peer"])
    received = CounterMetricFamily("raft_peer_bytes_received", "Bytes of frames taken from links.", labels=["peer"])
    for peer, traffic in stats.traffic.items():
        sent.add_metric([peer], traffic.bytes_sent)
        received.add_metric([peer], traffic.bytes_received)
    latency, summary = (
        GaugeMetricFamily(
            "raft_commit_latency_seconds",
            "Leader only: from a write's place in the log to its application, of the last two minutes.",
            labels=["quantile"],
        ),
        stats.latency(),
    )
    for quantile, value in (("0.5", summary.p50), ("0.99", summary.p99)):
        if value is not None:
            latency.add_metric([quantile], value / 1000)
    yield from (sent, received, latency)
    yield _gauge("raft_faults_active", "Faults that are injected now.", len(stats.faults()))
    injections = _single(dict(stats.injections))
    yield _counter("raft_fault_injections", "Faults injected so far.", ["kind"], injections)
    yield _counter("raft_messages_unsent", "Messages that no link took.", ["type"], _by_type(stats.unsent))
    dropped = _by_type(stats.dropped)
    yield _counter("raft_messages_dropped", "Messages that came in while too much waited.", ["type"], dropped)
    hop = stats.hop
    fates = {} if hop is None else {"lost": hop.lost, "too-long": hop.untold, "not-asked-for": hop.refused}
    yield _counter(
        "raft_forward_answers_failed",
        "Answers between nodes, to forwarded writes and relayed commands, that did not serve who asked.",
        ["why"],
        _single(fates),
    )
    refused = _single(dict(stats.frames_refused()))
    yield _counter("raft_frames_refused", "Frames between nodes not taken or not sent, by why.", ["why"], refused)


def _bodies_metrics(bodies: BodiesView) -> Iterator[Metric]:
    yield _gauge("raft_bodies_held_bytes", "Long bodies of requests that are held, or on their way.", bodies.held_bytes)
    waited: dict[tuple[str, ...], int] = {(): bodies.waited}
    yield _counter("raft_bodies_waited", "Long bodies that waited for room, before they were read.", [], waited)
    refused: dict[tuple[str, ...], int] = {(): bodies.refused}
    yield _counter("raft_bodies_refused", "Of those, for which there was no room in time: 503.", [], refused)


def _http2_metrics(http2: Http2View) -> Iterator[Metric]:
    yield _gauge("raft_http2_connections", "Connections of clients that speak HTTP/2.", http2.connections)
    yield _gauge("raft_http2_streams", "Requests and streams of gRPC that are open.", http2.streams)
    held = "Bytes held for clients of HTTP/2: requests that are not whole, answers that they do not take."
    yield _gauge("raft_http2_held_bytes", held, http2.held_bytes)
    begun: dict[tuple[str, ...], int] = {(): http2.requests}
    refused: dict[tuple[str, ...], int] = {(): http2.refused}
    yield _counter("raft_http2_requests", "Requests that began over HTTP/2.", [], begun)
    yield _counter("raft_http2_refused", "Requests over HTTP/2 that were not begun: too much at once.", [], refused)
    over: dict[tuple[str, ...], int] = {(): http2.over_share}
    waited: dict[tuple[str, ...], int] = {(): http2.waited}
    unread = "Connections of HTTP/2 left unread until other calls of their client were done."
    yield _counter("raft_http2_waited", unread, [], waited)
    yield _counter("raft_http2_over_share", "Of those, whose client had its share: code 8.", [], over)
    yield _counter(
        "raft_http2_faults",
        "Streams and connections of HTTP/2 that were ended for what their client did.",
        ["why"],
        _single(dict(http2.faults)),
    )


def _tls_metrics(tls: TlsView) -> Iterator[Metric]:
    expiry = GaugeMetricFamily(
        "raft_tls_certificate_expiry_timestamp_seconds",
        "When the certificate in force ends, seconds since the epoch.",
        labels=["for"],
    )
    for purpose, certificate in tls.certificates.items():
        expiry.add_metric([purpose], certificate.not_after_s)
    yield expiry
    yield _counter("raft_tls_handshakes", "Connections that came with TLS.", ["port"], _single(dict(tls.handshakes)))
    plain = "Connections that came without TLS where both are accepted."
    yield _counter("raft_tls_plain_connections", plain, ["port"], _single(dict(tls.plain)))
    refused: dict[tuple[str, ...], int] = {(port, reason): count for (port, reason), count in tls.refused.items()}
    why = "Connections not let in: their handshake failed, or their certificate does not prove their name."
    yield _counter("raft_tls_handshakes_refused", why, ["port", "why"], refused)
    reloads: dict[tuple[str, ...], int] = {(of, result): count for (of, result), count in tls.reloads.items()}
    what = "New files of certificates: taken, or refused while the old ones stay in force."
    yield _counter("raft_tls_reloads", what, ["for", "result"], reloads)


def _access_metrics(access: AccessView) -> Iterator[Metric]:
    yield _gauge("raft_tokens", "Tokens in force; 0: none is asked for.", access.tokens)
    why = "Requests refused: nobody had their token (unauthenticated), or its holder lacks the role (denied)."
    yield _counter("raft_access_refused", why, ["why"], _single(dict(access.refusals)))
    failed: dict[tuple[str, ...], int] = {(): access.logins_failed}
    yield _counter("raft_logins_failed", "Names and passwords of users that did not fit, at any door.", [], failed)
    audited: dict[tuple[str, ...], int] = {
        (needs, outcome): count for (needs, outcome), count in access.audited.items()
    }
    done = "What operators did, and writes where they are audited, by the role that was needed and outcome."
    yield _counter("raft_audited", done, ["needs", "outcome"], audited)
    what = "New files of tokens: taken, or refused while the old one stays in force."
    yield _counter("raft_tokens_reloads", what, ["result"], _single(dict(access.reloads)))


def _turn_metrics(turns: Turns) -> Iterator[Metric]:
    """Counted by `Turns` itself: a call of the library's histogram costs more than all the rest of a measurement."""
    family = HistogramMetricFamily(
        "raft_loop_turn_seconds",
        "Time that work held the loop, by what it was; loop: lateness of a timer.",
        labels=["doing"],
    )
    for kind in turns.kinds.values():
        so_far = accumulate(kind.counts)
        bounds = (*map(floatToGoString, TURN_BUCKETS_SECONDS), "+Inf")
        family.add_metric([kind.name], list(zip(bounds, so_far, strict=True)), kind.seconds)
    yield family
    counted = {**dict.fromkeys(STALLS_ALWAYS_THERE, 0), **turns.stalls}
    stalls: dict[tuple[str, ...], int] = {(name, str(own).lower()): n for (name, own), n in counted.items()}
    yield _counter("raft_loop_stalls", "Turns or pieces of work that stood for too long.", ["doing", "own"], stalls)


def _trace_metrics(trace: Trace, role: Role) -> Iterator[Metric]:
    counts = trace.transition_counts
    by_kind: dict[tuple[str, ...], int] = {}
    for key, count in counts.items():
        by_kind[key[:1]] = by_kind.get(key[:1], 0) + count
    yield _counter("raft_trace_events", "Transitions in the trace by kind.", ["kind"], by_kind)

    def of(kind: str) -> dict[tuple[str, ...], int]:
        return {key[1:]: count for key, count in counts.items() if key[0] == kind}

    elections = of("election")
    won = by_kind.get(("won",), 0)
    pending = int(role is Role.CANDIDATE)
    lost = max(0, elections.get(("vote",), 0) - won - pending)
    yield _counter("raft_elections_started", "Campaigns by phase: pre-vote or vote.", ["phase"], elections)
    yield _counter("raft_elections_won", "Elections that this node won.", [], {(): won})
    yield _counter("raft_elections_lost", "Campaigns of phase vote that ended otherwise.", [], {(): lost})
    yield _counter("raft_role_transitions", "Changes of role.", ["from", "to"], of("role"))
    yield _counter("raft_votes", "Answers given to vote requests.", ["phase", "granted"], of("vote"))
    yield _counter("raft_link_changes", "Peer links that went up or down.", ["peer", "direction", "up"], of("link"))
    sent: dict[tuple[str, ...], int] = {(p, type_name(k)): n for (out, p, k), n in trace.message_counts.items() if out}
    received: dict[tuple[str, ...], int] = {
        (p, type_name(k)): n for (out, p, k), n in trace.message_counts.items() if not out
    }
    yield _counter("raft_messages_sent", "Messages handed to links.", ["peer", "type"], sent)
    yield _counter("raft_messages_received", "Messages taken from links.", ["peer", "type"], received)
