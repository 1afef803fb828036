"""The alarms of the chart, tried by Prometheus' own tool: a release for each case, all of them beside each other.

What the series are called is asked of the nodes' own collector (`healthy.py`), so that an alarm of a metric that is no
more fails here. In every case all that fires is listed: what fires for another reason, or for another release, fails.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from tests.chart.healthy import STEPS, Series, healthy
from tests.chart.rendering import Object, render
from tests.generated import dashboard
from tests.generated.alarms import alarms
from tests.generated.metrics import table
from tests.promtool import promtool

RULES = {"monitoring": {"evenIfUnknown": True, "rules": {"enabled": True}}}
NOT_OF_NODES_YET = {"raft_tls_certificate_expiry_timestamp_seconds", "raft_backup_last_success_timestamp_seconds"}
RELEASE = "namedraft"
"""Stands for each case's, so that Helm renders once."""


class Change(NamedTuple):
    """Series `name` of these pods, those alone that have all of `labels`, are `values`."""

    name: str
    values: str
    pods: tuple[int, ...] = (0, 1, 2)
    labels: Mapping[str, str] = MappingProxyType({})


GONE = f"4x4 stale _x{STEPS - 5}"
GROWS = f"0+1x{STEPS}"


def still(value: float) -> str:
    return f"{value}x{STEPS}"


CASES: dict[str, tuple[list[Change], set[str]]] = {
    "all is well": ([], set()),
    "one pod is gone": (
        [Change("*", GONE, (2,)), Change("raft_link_up", still(0), (0, 1), {"peer": "raft-2"})],
        {"RaftVoterAway"},
    ),
    "all pods are gone": ([Change("*", GONE)], {"RaftAllGone"}),
    "a majority is gone": (
        [Change("*", GONE, (1, 2)), Change("raft_leader_known", still(0), (0,))],
        {"RaftNoLeader", "RaftVoterAway"},
    ),
    "a volume was lost": (
        [
            Change("raft_voters", still(2), (0, 1)),
            Change("raft_voters", still(0), (2,)),
            Change("raft_role", still(0), (2,), {"role": "follower"}),
            Change("raft_role", still(1), (2,), {"role": "initial"}),
        ],
        {"RaftVoteLost", "RaftNodeWithoutVote"},
    ),
    "one follower has not heard yet that another has no vote": ([Change("raft_voters", still(2), (1,))], set()),
    "two lead, of two terms": (
        [Change("raft_role", still(1), (1,), {"role": "leader"}), Change("raft_term", still(5), (1,))],
        {"RaftTwoLeaders"},
    ),
    "two lead one term": (
        [Change("raft_role", still(1), (1,), {"role": "leader"})],
        {"RaftTwoLeaders", "RaftTwoLeadersOfOneTerm"},
    ),
    "a disk is at 81 %": ([Change("kubelet_volume_stats_used_bytes", still(810), (1,))], {"RaftDiskNearlyFull"}),
    "a log is at 71 %": ([Change("raft_log_bytes", still(710), (1,))], {"RaftLogNearlyFull"}),
    "a store is at 81 %": ([Change("raft_store_bytes", still(810), (1,))], {"RaftStoreNearlyFull"}),
    "a store has no quota": ([Change("raft_store_limit_bytes", still(0))], set()),
    "a node says NOSPACE": ([Change("raft_alarm", still(1), (0,), {"alarm": "NOSPACE"})], {"RaftNodeAlarm"}),
    "five elections in ten minutes": ([Change("raft_elections_won_total", f"0+0.5x{STEPS}", (0,))], {"RaftElections"}),
    "fsyncs take a quarter of a second": (
        [Change("raft_fsync_seconds_bucket", GROWS, (2,), {"le": le}) for le in ("0.25", "0.5", "1.0", "2.5", "+Inf")],
        {"RaftSlowDisk"},
    ),
    "a disk is silent": ([Change("raft_disk_pending_seconds", still(4), (1,))], {"RaftHungDisk"}),
    "a write of unknown outcome": (
        [Change("raft_proposals_total", f"0x{STEPS - 4} 1x4", (1,), {"outcome": "unknown"})],
        {"RaftUnknownOutcomes"},
    ),
    "a backup is 28 hours old": (
        [Change("raft_backup_last_success_timestamp_seconds", still(-100_000))],
        {"RaftBackupLate"},
    ),
    "one node took the backup": (
        [Change("raft_backup_last_success_timestamp_seconds", still(-100_000), (0, 1))],
        set(),
    ),
    "backups are wanted and there was none for a day": (
        [
            Change("raft_backup_last_success_timestamp_seconds", f"_x{STEPS}"),
            Change("raft_uptime_seconds", still(100_000), (1,)),
        ],
        {"RaftBackupLate"},
    ),
    "no backups are wanted and there are none": (
        [
            Change("raft_backup_last_success_timestamp_seconds", f"_x{STEPS}"),
            Change("raft_uptime_seconds", still(100_000)),
        ],
        set(),
    ),
    "nobody knows of backups, certificates or volumes": (
        [
            Change(name, f"_x{STEPS}")
            for name in (*NOT_OF_NODES_YET, "kubelet_volume_stats_used_bytes", "kubelet_volume_stats_capacity_bytes")
        ],
        set(),
    ),
    "a certificate ends in a day": (
        [Change("raft_tls_certificate_expiry_timestamp_seconds", still(86_400), (0,))],
        {"RaftCertificateEnds"},
    ),
    "somebody is not let in": (
        [
            Change(
                "+raft_tls_handshakes_refused_total", f"_x{STEPS - 4} 1x4", (1,), {"port": "peer", "why": "certificate"}
            )
        ],
        {"RaftHandshakesRefused"},
    ),
    "who connects leaves again": (
        [Change("+raft_tls_handshakes_refused_total", GROWS, (1,), {"port": "client", "why": "left"})],
        set(),
    ),
    "sessions make room": (
        [Change("raft_sessions_ended_total", GROWS, (0,), {"why": "room"})],
        {"RaftSessionsEvicted"},
    ),
    "answers are lost": (
        [Change("raft_forward_answers_failed_total", GROWS, (0,), {"why": "lost"})],
        {"RaftAnswersLost"},
    ),
    "frames are damaged": (
        [Change("raft_frames_refused_total", GROWS, (0,), {"why": "damaged"})],
        {"RaftDamagedFrames"},
    ),
    "frames are damaged on purpose": (
        [
            Change("raft_frames_refused_total", GROWS, (0,), {"why": "damaged"}),
            Change("raft_faults_active", still(1), (0,)),
        ],
        {"RaftFaultsOnPurpose"},
    ),
    "hellos are refused": (
        [Change("raft_frames_refused_total", GROWS, (0,), {"why": "hello"})],
        {"RaftHellosRefused"},
    ),
    "one link is down": ([Change("raft_link_up", still(0), (1,), {"peer": "raft-2"})], {"RaftLinkDown"}),
    "a loop stands": ([Change("raft_loop_age_seconds", still(5), (1,))], {"RaftStalledProcess"}),
    "a node works too long": (
        [Change("raft_loop_stalls_total", GROWS, (1,), {"doing": "apply", "own": "true"})],
        {"RaftTurnsTooLong"},
    ),
    "a machine stands": (
        [Change("raft_loop_stalls_total", GROWS, (1,), {"doing": "nothing", "own": "false"})],
        {"RaftStalledMachine"},
    ),
    "a node is behind": ([Change("raft_applied_index", still(7000), (1,))], {"RaftBehind"}),
    "nobody reads the log": ([Change("raft_log_lines_lost_total", GROWS, (1,))], {"RaftLinesLost"}),
    "connections are refused": ([Change("raft_clients_refused_total", GROWS, (1,))], {"RaftConnectionsRunOut"}),
    "somebody has no token": (
        [Change("raft_access_refused_total", f"0+3x{STEPS}", (1,), {"why": "unauthenticated"})],
        {"RaftAccessRefused"},
    ),
    "somebody mistyped a token a few times": (
        [Change("raft_access_refused_total", f"0x{STEPS - 4} 5x4", (1,), {"why": "unauthenticated"})],
        set(),
    ),
    "somebody tries passwords": (
        [Change("raft_logins_failed_total", f"0+3x{STEPS}", (2,))],
        {"RaftLoginsFailed"},
    ),
    "nodes do not count refusals yet": (
        [Change("raft_access_refused_total", f"_x{STEPS}"), Change("raft_logins_failed_total", f"_x{STEPS}")],
        set(),
    ),
    "a client floods": (
        [Change("+raft_http2_faults_total", f"_x{STEPS - 4} 1x4", (1,), {"why": "ping"})],
        {"RaftClientFloods"},
    ),
}
"""What is wrong with the release `raft`; all that fires then. `*`: all series of a pod; `+`: one that was not there."""


def release_of(case: str) -> str:
    """A name of Kubernetes."""
    return re.sub("[^a-z0-9]+", "-", case.lower()).strip("-")


def rules(release: str) -> list[Object]:
    """The groups."""
    spec: Object = render(RULES, RELEASE, "ops").named("PrometheusRule", RELEASE)["spec"]
    text = json.dumps(spec["groups"]).replace(RELEASE, release)
    if release.startswith("backups-are-wanted"):  # as with backup.enabled, which test_keeping.py renders
        text = text.replace("vector(0)", "vector(1)")
    groups: list[Object] = json.loads(text)
    return groups


def series_of(case: str, wanted: set[str]) -> dict[Series, str]:
    """Of its release. Another of the same name is well, in another namespace."""
    release = release_of(case)
    found = healthy("ops", release, wanted)
    for change in CASES[case][0]:
        pods = {f"{release}-{i}" for i in change.pods}
        labels = {key: value.replace("raft-", f"{release}-") for key, value in change.labels.items()}
        meant = [
            one
            for one in found
            if change.name in ("*", one.name)
            and one.pod in pods
            and labels.items() <= dict(one.labels).items()
            and not (change.name == "*" and one.name.startswith("kubelet"))
        ]
        if change.name.startswith("+"):
            meant = [Series(change.name[1:], "ops", pod, tuple(labels.items())) for pod in pods]
        assert meant, f"no series is meant by {change}"
        found.update(dict.fromkeys(meant, change.values))
    return found | healthy("elsewhere", release, {"raft_term", "raft_role", "raft_leader_known"})


def asked_for(expressions: str) -> set[str]:
    """Names of metrics in expressions."""
    return set(re.findall(r"\b(?:raft|kubelet|process)_[a-z0-9_]+(?=\{)", expressions))


def expected(case: str) -> dict[str, Any]:
    """All that fires for its release, at the end."""
    return {
        "expr": f'max by (alertname) (ALERTS{{alertstate="firing",namespace="ops",raft="{release_of(case)}"}})',
        "eval_time": f"{STEPS}m",
        "exp_samples": [{"labels": f'{{alertname="{alarm}"}}', "value": 1} for alarm in sorted(CASES[case][1])],
    }


@pytest.mark.slowest
def test_every_alarm_fires_where_it_must_and_no_other_does(tmp_path: Path) -> None:
    groups = [group for case in CASES for group in rules(release_of(case))]
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": groups}))
    wanted = asked_for(json.dumps(groups[0]))
    series = [
        {"series": one.selector(), "values": values}
        for case in CASES
        for one, values in series_of(case, wanted).items()
    ]
    tests = [expected(case) for case in CASES]
    test = {"interval": "1m", "input_series": series, "promql_expr_test": tests}
    file = {"rule_files": ["rules.yaml"], "evaluation_interval": f"{STEPS // 4}m", "tests": [test]}
    (tmp_path / "test.yaml").write_text(json.dumps(file))
    done = promtool("test", "rules", str(tmp_path / "test.yaml"))
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def test_a_case_makes_every_alarm_fire() -> None:
    assert {alarm.name for alarm in alarms()} == set().union(*(fires for _, fires in CASES.values()))


def test_prometheus_takes_the_rules_of_any_release(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(json.dumps({"groups": rules("other-raft")}))
    done = promtool("check", "rules", str(tmp_path / "rules.yaml"))
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    assert f"{len(alarms())} rules found" in done.stdout.decode()


def test_prometheus_can_read_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    found = render({"monitoring": {"dashboard": {"enabled": True}}}, "raft", "ops").named("ConfigMap", "raft-dashboard")
    panels = json.loads(found["data"]["raft-ops-raft.json"])["panels"]
    asked = [
        target["expr"].replace("$__rate_interval", "1m") for panel in panels for target in panel.get("targets", ())
    ]
    assert len(asked) > 20
    assert all('namespace="ops"' in expression for expression in asked)
    lines = [{"record": f"panel:{i}", "expr": expression} for i, expression in enumerate(asked)]
    (tmp_path / "panels.yaml").write_text(json.dumps({"groups": [{"name": "panels", "rules": lines}]}))
    done = promtool("check", "rules", str(tmp_path / "panels.yaml"))
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


@pytest.mark.parametrize("text", [json.dumps(alarms()), dashboard.text()], ids=["alarms", "dashboard"])
def test_what_is_asked_for_is_served_by_nodes_or_known_to_be_somebody_elses(text: str) -> None:
    served = set(re.findall(r"^\| `(raft_[a-z0-9_]+)`", table(), re.MULTILINE))
    asked = {re.sub("_bucket$", "", name) for name in asked_for(text) if name.startswith("raft_")}
    assert asked - served <= NOT_OF_NODES_YET
    assert len(asked) > 20
