"""The dashboard for Grafana, from one list of panels.

Why it exists: a dashboard of Grafana is a thousand lines of JSON, of which a title, an expression and a unit are
somebody's decision. Those stand here, a row each; `make generated` writes the rest. In an expression PODS and CLAIMS
stand for the matchers of a release, which the chart fills in as in the alarms. It must name no metric that no node has.
"""

import json
from typing import Any, NamedTuple


class Panel(NamedTuple):
    """`queries`: what a line is called, and its expression. `unit`: Grafana's word. `most`: the axis ends there."""

    title: str
    unit: str
    queries: dict[str, str]
    says: str
    most: float | None = None


POD = "{{pod}}"
WIDTH, PER_ROW, HEIGHT = 24, 3, 8


def _quantile(metric: str, by: str = "pod") -> str:
    return f"histogram_quantile(0.99, sum by ({by}, le) (rate({metric}_bucket{{PODS}}[$__rate_interval])))"


def _rate(metric: str, by: str, matchers: str = "PODS") -> str:
    return f"sum by ({by}) (rate({metric}{{{matchers}}}[$__rate_interval]))"


ROWS: dict[str, tuple[Panel, ...]] = {
    "Cluster": (
        Panel(
            "Nodes seen and voters",
            "none",
            {"seen": "count(count by (pod) (raft_term{PODS}))", "voters": "max(raft_voters{PODS})"},
            "Fewer nodes than voters: one is away.",
        ),
        Panel(
            "Who leads",
            "none",
            {POD: 'max by (pod) (raft_role{PODS,role="leader"})'},
            "1 for the node that leads. Two lines at 1 for longer than an election timeout: one of them is cut off.",
            most=1,
        ),
        Panel(
            "Term, and elections in ten minutes",
            "none",
            {
                "term": "max(raft_term{PODS})",
                "elections": "sum(max by (pod) (increase(raft_elections_won_total{PODS}[10m])))",
            },
            "Terms that climb: leaders are silent for longer than an election timeout.",
        ),
    ),
    "Clients": (
        Panel(
            "Writes by outcome",
            "ops",
            {"{{outcome}}": _rate("raft_proposals_total", "outcome")},
            "unknown: clients were not told what became of a write.",
        ),
        Panel("Reads by outcome", "ops", {"{{outcome}}": _rate("raft_reads_total", "outcome")}, "Of all nodes."),
        Panel(
            "Commit latency",
            "s",
            {"{{quantile}}": "max by (quantile) (raft_commit_latency_seconds{PODS})"},
            "Of the leader: from a write's place in the log to its application, of the last two minutes.",
        ),
        Panel("Connections", "none", {POD: "max by (pod) (raft_clients{PODS})"}, "Of clients, by node."),
        Panel("Watches", "none", {POD: "max by (pod) (raft_watches{PODS})"}, "Of clients, by node."),
        Panel(
            "Sessions and leases",
            "none",
            {"sessions": "max(raft_sessions{PODS})", "leases": "max(raft_leases{PODS})"},
            "The same on every node that has applied as much.",
        ),
    ),
    "Log and store": (
        Panel(
            "Entries still to apply",
            "none",
            {POD: "max by (pod) (raft_commit_index{PODS} - raft_applied_index{PODS})"},
            "Reads through a node wait for these.",
        ),
        Panel(
            "Log, of its limit",
            "percentunit",
            {POD: "max by (pod) (raft_log_bytes{PODS} / raft_log_limit_bytes{PODS})"},
            "Falls with each snapshot. At its limit writes are refused.",
            most=1,
        ),
        Panel(
            "Store, of its quota",
            "percentunit",
            {POD: "max by (pod) (raft_store_bytes{PODS} / (raft_store_limit_bytes{PODS} > 0))"},
            "At its quota puts are refused.",
            most=1,
        ),
        Panel(
            "Age of the last snapshot",
            "s",
            {POD: "time() - max by (pod) (raft_snapshot_last_success_timestamp_seconds{PODS})"},
            "Of those that a node took itself; none since its start: no line.",
        ),
        Panel(
            "Time that the last snapshot took",
            "s",
            {POD: "max by (pod) (raft_snapshot_last_duration_seconds{PODS})"},
            "Beside everything else that the node does.",
        ),
        Panel("Keys", "none", {"keys": "max(raft_kv_keys{PODS})"}, "Living ones."),
    ),
    "Disk and machine": (
        Panel("fsync, 99 of 100", "s", {POD: _quantile("raft_fsync_seconds")}, "Every write waits for a majority's."),
        Panel(
            "A write that waits for the disk",
            "s",
            {POD: "max by (pod) (raft_disk_pending_seconds{PODS})"},
            "Age of the oldest; after three seconds the node is not ready.",
        ),
        Panel(
            "Volumes",
            "percentunit",
            {
                "{{persistentvolumeclaim}}": "kubelet_volume_stats_used_bytes{CLAIMS}"
                " / kubelet_volume_stats_capacity_bytes{CLAIMS}"
            },
            "Where Prometheus scrapes the kubelets.",
            most=1,
        ),
        Panel(
            "Turns of the loop, 99 of 100",
            "s",
            {"{{doing}}": _quantile("raft_loop_turn_seconds", "doing")},
            "What held a node's loop, by what it was; loop: how late a timer came.",
        ),
        Panel(
            "Stalls",
            "none",
            {"{{pod}}, own: {{own}}": "sum by (pod, own) (increase(raft_loop_stalls_total{PODS}[$__rate_interval]))"},
            "Not its own: the process was stopped, throttled, swapped out or waited for its disk.",
        ),
        Panel("Memory", "bytes", {POD: "max by (pod) (process_resident_memory_bytes{PODS})"}, "Of each process."),
    ),
    "Between nodes": (
        Panel(
            "Links that are down",
            "none",
            {"{{pod}} to {{peer}}": "max by (pod, peer) (raft_link_up{PODS}) == 0"},
            "Empty where all pairs talk.",
        ),
        Panel(
            "Bytes sent",
            "Bps",
            {"{{pod}} to {{peer}}": _rate("raft_peer_bytes_sent_total", "pod, peer")},
            "Frames handed to links.",
        ),
        Panel(
            "Frames refused",
            "none",
            {"{{pod}}: {{why}}": "sum by (pod, why) (increase(raft_frames_refused_total{PODS}[$__rate_interval])) > 0"},
            "damaged: bits flip on the way; hello: another version or another cluster.",
        ),
    ),
}


def text() -> str:
    """The file, for `deploy/helm/files/dashboard.json`."""
    return json.dumps(_dashboard(), indent=2, ensure_ascii=False) + "\n"


def _dashboard() -> dict[str, Any]:
    panels: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": title,
                "collapsed": False,
                "panels": [],
                "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1},
            }
        )
        top += 1
        for place, panel in enumerate(row):
            x, y = place % PER_ROW * (WIDTH // PER_ROW), top + place // PER_ROW * HEIGHT
            panels.append(_panel(len(panels) + 1, panel, {"x": x, "y": y, "w": WIDTH // PER_ROW, "h": HEIGHT}))
        top += (len(row) + PER_ROW - 1) // PER_ROW * HEIGHT
    return {
        "uid": "RELEASE_UID",
        "title": "Raft: RELEASE",
        "tags": ["raft"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "time": {"from": "now-1h", "to": "now"},
        "refresh": "30s",
        "templating": {
            "list": [{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "annotations": {"list": []},
        "panels": panels,
    }


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${datasource}"}
    limits = {} if panel.most is None else {"max": panel.most}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.says,
        "datasource": source,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, **limits}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + i), "datasource": source, "expr": expression, "legendFormat": name}
            for i, (name, expression) in enumerate(panel.queries.items())
        ],
    }
