"""What /metrics says, read back by Prometheus' own parser."""

import re
import threading
from pathlib import Path
from types import SimpleNamespace

from prometheus_client.parser import text_string_to_metric_families

from node.api.http2.counts import Counts
from node.observe.metrics import Metrics
from node.observe.stats import Stats
from node.observe.trace import Trace
from node.observe.turns import Turns
from node.raft.messages import AppendReply, Heartbeat
from node.raft.types import Role
from node.runtime.latency import LatencySummary
from node.statemachine.store import KeyValueStore
from node.tls.counts import TlsCounts
from node.watching.hub import WatchHub
from tests.observe.status import node_status

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
    assert of(scrape(other), "raft_proposals_total", outcome="done") is None


def test_every_alarm_that_operators_are_told_of_asks_for_a_metric_that_is_there() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text().partition("## Alarms")[2]
    asked = set(re.findall(r"\braft_[a-z0-9_]+", page))
    trace = Trace("n1", "b", lambda: 0)
    stats = Stats(trace, {}, lambda: LatencySummary((), None, None, 0))
    turns = Turns(lambda: 0.0, lambda: 0.0, 1.0)
    clients = SimpleNamespace(count=1, most=4, made_room=2, refused=3)
    metrics = Metrics(
        node_status,
        trace,
        lambda: 0,
        KeyValueStore(),
        stats,
        turns,
        lambda: 0,
        clients,
        WatchHub(KeyValueStore()),
        Counts(),
        TlsCounts(lambda _kind, _detail: None, lambda: 0.0),
    )
    families = {family.name: family for family in text_string_to_metric_families(metrics.render().decode())}
    counters = {f"{name}_total" for name, family in families.items() if family.type == "counter"}
    buckets = {f"{name}_bucket" for name, family in families.items() if family.type == "histogram"}
    assert len(asked) > 10
    assert not asked - families.keys() - counters - buckets


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
