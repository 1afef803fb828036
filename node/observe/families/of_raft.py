"""Metrics of the algorithm and of what drives it: state, log, peers, elections, messages, turns of the loop."""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from node.observe.families.making import by_type, counter, gauge, single
from node.observe.families.views import NodeView, SnapshotView
from node.observe.messages import type_name
from node.observe.stats import Stats
from node.observe.trace import Trace
from node.observe.turns import DOING, NOTHING, OTHER, TURN_BUCKETS_SECONDS, Turns
from node.raft.status import CoreStatus
from node.raft.types import Role

STALLS_ALWAYS_THERE = (*((name, own) for name in (*DOING, OTHER) for own in (True, False)), (NOTHING, False))
"""What alarms watch is 0 before it happens first: a series that begins at 1 never grew, says Prometheus."""


def core_metrics(core: CoreStatus) -> Iterator[Metric]:
    yield gauge("raft_term", "Current term.", core.term)
    role = GaugeMetricFamily("raft_role", "1 for the role that the node has, 0 for the others.", labels=["role"])
    for one in Role:
        role.add_metric([one.value], float(core.role is one))
    yield role
    yield gauge("raft_leader_known", "1 when this node knows who leads.", float(bool(core.leader)))
    yield gauge("raft_commit_index", "Highest entry known to be committed.", core.commit)
    yield gauge("raft_applied_index", "Highest entry that the store holds.", core.applied)
    yield gauge("raft_durable_index", "Highest entry that is on this node's disk.", core.durable)
    yield gauge("raft_first_index", "Oldest entry in the log.", core.first_index)
    yield gauge("raft_last_index", "Newest entry in the log.", core.last_index)
    yield gauge("raft_log_bytes", "Size of the log, as counted against its limit.", core.log_bytes)
    yield gauge("raft_log_limit_bytes", "Size at which writes are refused.", core.log_limit_bytes)
    silent_s = (core.disk_silent_us or 0) / 1e6
    yield gauge("raft_disk_pending_seconds", "Age of the oldest write that waits for the disk; 0: none.", silent_s)
    yield gauge("raft_voters", "Voters in the configuration in force.", len(core.voters))


def snapshot_metrics(snapshot: SnapshotView, time_us: int) -> Iterator[Metric]:
    yield gauge("raft_snapshot_index", "Entry up to which the latest snapshot goes; 0: none.", snapshot.index)
    yield gauge("raft_snapshot_bytes", "Size of the latest snapshot.", snapshot.size_bytes)
    ended = "When this process last completed one of its own, in seconds since 1970; absent: not yet."
    at = GaugeMetricFamily("raft_snapshot_last_success_timestamp_seconds", ended)
    took = GaugeMetricFamily("raft_snapshot_last_duration_seconds", "How long that one took; absent: none yet.")
    if snapshot.taken_ago_us is not None and snapshot.took_us is not None:
        at.add_metric([], (time_us - snapshot.taken_ago_us) / 1e6)
        took.add_metric([], snapshot.took_us / 1e6)
    yield from (at, took)


def peer_metrics(view: NodeView) -> Iterator[Metric]:
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


def stats_metrics(stats: Stats) -> Iterator[Metric]:
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
    yield gauge("raft_faults_active", "Faults that are injected now.", len(stats.faults()))
    injections = single(dict(stats.injections))
    yield counter("raft_fault_injections", "Faults injected so far.", ["kind"], injections)
    yield counter("raft_messages_unsent", "Messages that no link took.", ["type"], by_type(stats.unsent))
    dropped = by_type(stats.dropped)
    yield counter("raft_messages_dropped", "Messages that came in while too much waited.", ["type"], dropped)
    hop = stats.hop
    fates = {} if hop is None else {"lost": hop.lost, "too-long": hop.untold, "not-asked-for": hop.refused}
    yield counter(
        "raft_forward_answers_failed",
        "Answers between nodes, to forwarded writes and relayed commands, that did not serve who asked.",
        ["why"],
        single(fates),
    )
    refused = single(dict(stats.frames_refused()))
    yield counter("raft_frames_refused", "Frames between nodes not taken or not sent, by why.", ["why"], refused)


def trace_metrics(trace: Trace, role: Role) -> Iterator[Metric]:
    counts = trace.transition_counts
    by_kind: dict[tuple[str, ...], int] = {}
    for key, count in counts.items():
        by_kind[key[:1]] = by_kind.get(key[:1], 0) + count
    yield counter("raft_trace_events", "Transitions in the trace by kind.", ["kind"], by_kind)

    def of(kind: str) -> dict[tuple[str, ...], int]:
        return {key[1:]: count for key, count in counts.items() if key[0] == kind}

    elections = of("election")
    won = by_kind.get(("won",), 0)
    pending = int(role is Role.CANDIDATE)
    lost = max(0, elections.get(("vote",), 0) - won - pending)
    yield counter("raft_elections_started", "Campaigns by phase: pre-vote or vote.", ["phase"], elections)
    yield counter("raft_elections_won", "Elections that this node won.", [], {(): won})
    yield counter("raft_elections_lost", "Campaigns of phase vote that ended otherwise.", [], {(): lost})
    yield counter("raft_role_transitions", "Changes of role.", ["from", "to"], of("role"))
    yield counter("raft_votes", "Answers given to vote requests.", ["phase", "granted"], of("vote"))
    yield counter("raft_link_changes", "Peer links that went up or down.", ["peer", "direction", "up"], of("link"))
    sent: dict[tuple[str, ...], int] = {(p, type_name(k)): n for (out, p, k), n in trace.message_counts.items() if out}
    received: dict[tuple[str, ...], int] = {
        (p, type_name(k)): n for (out, p, k), n in trace.message_counts.items() if not out
    }
    yield counter("raft_messages_sent", "Messages handed to links.", ["peer", "type"], sent)
    yield counter("raft_messages_received", "Messages taken from links.", ["peer", "type"], received)


def turn_metrics(turns: Turns) -> Iterator[Metric]:
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
    yield counter("raft_loop_stalls", "Turns or pieces of work that stood for too long.", ["doing", "own"], stalls)
