"""What /metrics says, read back by Prometheus' own parser."""

import threading

from prometheus_client.parser import text_string_to_metric_families

from node.observe.metrics import Metrics
from node.observe.stats import Stats
from node.observe.trace import Trace
from node.raft.messages import AppendReply, Heartbeat
from node.raft.types import Role
from node.runtime.latency import LatencySummary
from node.runtime.ports import SnapshotView
from node.statemachine.store import KeyValueStore
from tests.generated.metrics import standing_still
from tests.observe.status import node_status
from tests.promtool import promtool

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(metrics: Metrics) -> Samples:
    families = text_string_to_metric_families(metrics.render().decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def of(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def make(role: Role = Role.LEADER) -> tuple[Metrics, Trace]:
    trace = Trace("n1", "b", lambda: 0)
    return Metrics(lambda: node_status(role=role), trace, lambda: 2000, KeyValueStore()), trace


def test_the_documented_gauges_come_from_the_status() -> None:
    samples = scrape(make()[0])
    assert of(samples, "raft_term") == 4
    assert of(samples, "raft_role", role="leader") == 1
    assert of(samples, "raft_role", role="follower") == 0
    for name in ("commit", "applied", "durable", "last"):
        assert of(samples, f"raft_{name}_index") == 9
    assert of(samples, "raft_log_bytes") == 900
    assert of(samples, "raft_peer_contact_age_seconds", peer="n2") == 0.0015
    assert of(samples, "raft_peer_contact_age_seconds", peer="n3") is None
    assert of(samples, "raft_link_up", peer="n3") == 0
    assert of(samples, "raft_peer_match_index", peer="n2") == 9
    assert of(samples, "raft_loop_age_seconds") == 0.002
    assert of(samples, "raft_kv_revision") == 1
    assert of(samples, "raft_build_info", version="0.1.0") == 1
    assert of(samples, "process_open_fds") is not None


def test_elections_are_counted_as_started_won_and_lost() -> None:
    metrics, trace = make(Role.CANDIDATE)
    for term in (1, 2, 3):
        trace.transition("election", term, "candidate", {"phase": "vote", "campaign": term})
    trace.transition("election", 4, "pre-candidate", {"phase": "pre-vote", "campaign": 4})
    trace.transition("won", 2, "leader", {"votes": 3})
    trace.transition("vote", 3, "follower", {"candidate": "n2", "granted": True, "phase": "vote", "reason": ""})
    trace.transition("role", 3, "follower", {"from": "leader", "to": "follower", "reason": ""})
    samples = scrape(metrics)
    assert of(samples, "raft_elections_started_total", phase="vote") == 3
    assert of(samples, "raft_elections_started_total", phase="pre-vote") == 1
    assert of(samples, "raft_elections_won_total") == 1
    assert of(samples, "raft_elections_lost_total") == 1
    assert of(samples, "raft_votes_total", phase="vote", granted="true") == 1
    assert of(samples, "raft_role_transitions_total", **{"from": "leader", "to": "follower"}) == 1
    assert of(samples, "raft_trace_events_total", kind="election") == 4


def test_messages_proposals_reads_and_fsyncs_are_counted() -> None:
    metrics, trace = make()
    for _ in range(3):
        trace.message(True, "n2", Heartbeat(1, 1))
    trace.message(False, "n2", AppendReply(1, True, 1))
    metrics.proposal("done")
    metrics.proposal("no-leader")
    metrics.read("stale")
    thread = threading.Thread(target=metrics.fsync, args=(0.002,))
    thread.start()
    thread.join()
    samples = scrape(metrics)
    assert of(samples, "raft_messages_sent_total", peer="n2", type="heartbeat") == 3
    assert of(samples, "raft_messages_sent_total", peer="n2", type="append-reply") is None
    assert of(samples, "raft_messages_received_total", peer="n2", type="heartbeat") is None
    assert of(samples, "raft_messages_received_total", peer="n2", type="append-reply") == 1
    assert of(samples, "raft_proposals_total", outcome="done") == 1
    assert of(samples, "raft_proposals_total", outcome="no-leader") == 1
    assert of(samples, "raft_reads_total", outcome="stale") == 1
    assert of(samples, "raft_fsync_seconds_count") == 1
    assert of(samples, "raft_fsync_seconds_bucket", le="0.001") == 0
    assert of(samples, "raft_fsync_seconds_bucket", le="0.0025") == 1


def test_two_nodes_in_one_process_do_not_share_metrics() -> None:
    (one, _), (other, _) = make(), make()
    one.proposal("done")
    assert of(scrape(other), "raft_proposals_total", outcome="done") == 0


def test_prometheus_own_tool_finds_nothing_to_mend() -> None:
    """Names, units, suffixes and help, of a node for which all that is counted has happened at least once."""
    metrics, trace = make()
    for kind in ("election", "won", "vote", "role", "link"):
        trace.transition(kind, 4, "leader", {})
    metrics.proposal("done")
    metrics.read("stale")
    metrics.fsync(0.002)
    snapshot = SnapshotView(9, 900, taken_ago_us=2_000_000, took_us=30_000)
    whole = standing_still(node_status(role=Role.LEADER, snapshot=snapshot, time_us=1_000_000_000_000_000))
    for served in (metrics.render(), whole.render()):
        done = promtool("check", "metrics", given=served)
        assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_no_series_says_when_another_was_made() -> None:
    assert b"_created" not in standing_still(node_status()).render()


def test_a_snapshot_says_when_it_was_done_and_how_long_it_took_once_there_is_one() -> None:
    none = scrape(standing_still(node_status()))
    assert [name for name, _ in none if name.startswith("raft_snapshot_last")] == []
    view = SnapshotView(9, 900, taken_ago_us=2_500_000, took_us=30_000)
    samples = scrape(standing_still(node_status(snapshot=view, time_us=1_000_000_000)))
    assert of(samples, "raft_snapshot_last_success_timestamp_seconds") == 997.5
    assert of(samples, "raft_snapshot_last_duration_seconds") == 0.03


def test_what_alarms_watch_is_there_before_it_happens() -> None:
    samples = scrape(standing_still(node_status()))
    assert of(samples, "raft_proposals_total", outcome="unknown") == 0
    assert of(samples, "raft_loop_stalls_total", doing="wal", own="false") == 0


class Hop:
    """What went wrong on it."""

    refused, lost, untold = 1, 2, 3


def test_what_was_not_sent_not_taken_and_not_told_is_counted() -> None:
    trace = Trace("n1", "b", lambda: 0)
    latency = LatencySummary((), None, None, 0)
    stats = Stats(trace, {}, lambda: latency, hop=Hop(), unsent={AppendReply: 4}, dropped={Heartbeat: 5})
    samples = scrape(Metrics(node_status, trace, lambda: 0, KeyValueStore(), stats))
    assert of(samples, "raft_messages_unsent_total", type="append-reply") == 4
    assert of(samples, "raft_messages_dropped_total", type="heartbeat") == 5
    for why, count in (("not-asked-for", 1), ("lost", 2), ("too-long", 3)):
        assert of(samples, "raft_forward_answers_failed_total", why=why) == count
