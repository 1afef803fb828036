"""A load that goes on while a test takes something away, and what must be true of it afterwards.

Why it exists: files that run beside others and files that must run alone ask the same of what they break.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.kubernetes.figures import figure
from tests.kubernetes.loading import Load, every_pod, load
from tests.kubernetes.oracle import Line, longest_stall_s, nothing_is_lost
from tests.kubernetes.release import Release
from tests.kubernetes.watching import journals

WRITES_BETWEEN = 40
STALL_SECONDS_MAX = 15.0


@contextmanager
def under_load(raft: Release, folder: Path, what: str, stall_seconds_max: float = STALL_SECONDS_MAX) -> Iterator[Load]:
    """A load through every pod by name; at the end all is healthy, nothing is lost, and the figures are kept."""
    raft.healthy()
    with journals(raft, folder) as journal, load(raft, folder, every_pod(raft), period_ms=50) as running:
        running.more_acknowledged(WRITES_BETWEEN)
        yield running
        journal.follow()
        running.more_acknowledged(WRITES_BETWEEN)
        raft.healthy()
        running.more_acknowledged(WRITES_BETWEEN)
        lines = running.stop()
        journal.one_leader_a_term()
    nothing_is_lost(raft, lines)
    note(what, lines)
    assert longest_stall_s(lines) < stall_seconds_max


def note(what: str, lines: Sequence[Line]) -> None:
    outcomes = [line["outcome"] for line in lines if line["op"] == "put"]
    counts = ", ".join(f"{outcomes.count(one)} {one}" for one in ("acknowledged", "unknown", "failed"))
    figure(f"{what}: writes", counts)
    figure(f"{what}: longest stall", longest_stall_s(lines), "s")


def unscheduled(raft: Release, node: str, old_uid: str) -> str | None:
    """Why the scheduler finds no place for the pod's successor."""
    pod = raft.pods().get(node)
    if pod is None or pod["metadata"]["uid"] == old_uid or pod["status"]["phase"] != "Pending":
        return None
    reasons = [one for one in pod["status"].get("conditions", []) if one["type"] == "PodScheduled"]
    return next((str(one["message"]) for one in reasons if one["status"] == "False"), None)
