"""Who asks the Service once, on a connection of its own, and repeats nothing, as `curl` in a loop does."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.kubernetes.doors import Proxy
from tests.kubernetes.figures import figure
from tests.kubernetes.kube import Namespace, until
from tests.kubernetes.loading import Load, load
from tests.kubernetes.oracle import Line, nothing_is_lost
from tests.kubernetes.release import Release, release

WRITES_BETWEEN = 60
ERRORS_SECONDS_MAX = 1.0
"""From the first that failed to the last, after SIGKILL of the leader."""


@pytest.fixture(scope="module")
def raft(space: Namespace, proxy: Proxy) -> Iterator[Release]:
    with release(space, proxy, name="plain") as installed:
        yield installed


def judged(raft: Release, what: str, running: Load) -> list[Line]:
    """All that did not come to what was asked for. Nothing acknowledged is lost."""
    running.more_acknowledged(WRITES_BETWEEN)
    raft.healthy()
    lines = running.stop()
    nothing_is_lost(raft, lines)
    bad = [line for line in lines if line["outcome"] != "acknowledged"]
    figure(f"{what}, one attempt each through the Service: requests", len(lines))
    figure(f"{what}: of these failed", len(bad))
    figure(f"{what}: from the first failed request to the last", span_s(bad), "s")
    return bad


def span_s(lines: Sequence[Line]) -> float:
    """Between the first of them and the last."""
    moments = [float(line["at"]) for line in lines]
    return max(moments) - min(moments) if moments else 0.0


def test_no_request_fails_in_a_rollout(raft: Release, evidence: Path) -> None:
    raft.healthy()
    with load(raft, evidence, name="in-a-rollout", plain=1) as running:
        running.more_acknowledged(WRITES_BETWEEN)
        raft.upgrade("--set", "settings.trace_messages=2048")
        bad = judged(raft, "a rollout", running)
    assert not bad, bad[:5]


def test_errors_end_within_a_second_after_sigkill_of_the_leader(raft: Release, evidence: Path) -> None:
    raft.healthy()
    with load(raft, evidence, name="after-a-kill", plain=1) as running:
        running.more_acknowledged(WRITES_BETWEEN)
        leader = raft.leader()
        restarts = raft.restarts(leader)
        raft.kill_in_place(leader)
        until(f"{leader}'s container runs again", lambda: raft.restarts(leader) == restarts + 1, 60)
        bad = judged(raft, "SIGKILL of the leader", running)
    assert span_s(bad) <= ERRORS_SECONDS_MAX, bad
