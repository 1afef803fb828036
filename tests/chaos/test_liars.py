"""Nodes that lie are caught under a real fault, with exit code 1 and by name; honest ones in the same setup pass.

Real processes, the real order of a run. What the cluster does after a lie (a node that finds its log contradicted dies)
may add to the verdicts, and must not hide them.
"""

import asyncio
import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from chaos.checks.judge import judge
from chaos.checks.verdict import Verdict
from chaos.evidence.loading import load_run
from chaos.faults.groups import Isolate, Split
from chaos.faults.kill_leader import KillLeader
from chaos.faults.partition import Partition
from chaos.faults.pause import PauseNode
from chaos.faults.port import Fault
from chaos.faults.shapes import OneWay, Shape
from chaos.run.order import Options, RunResult, run
from chaos.targets.local import open_local
from tests.chaos.local_cluster import local_cluster

FAULT_SECONDS = 3.0
SLOWEST, LONGEST = pytest.mark.slowest, pytest.mark.longest


def kill() -> Fault:
    return KillLeader("sigkill")


def cut(shape: Shape) -> Callable[[], Fault]:
    return lambda: Partition(shape, random.Random(1), FAULT_SECONDS)


async def played(folder: Path, lie: str, fault: Fault) -> RunResult:
    """One fault against a cluster of three whose nodes all tell this lie."""
    options = Options(
        name="liars",
        seed=1,
        out=folder / "chaos-runs",
        command_line="raft-chaos",
        heal_command="raft-chaos heal",
        duration_s=1.0,
        recovery_limit_s=8.0,
        baseline_s=1.0,
        after_s=1.0,
        allow_quorum_loss=True,
    )
    with local_cluster(folder, program=("tests.chaos.liars", lie)) as cluster:
        target = await open_local(cluster.data_dir)
        try:
            return await run(target, [fault], options, print)
        finally:
            await target.close()
            await asyncio.get_running_loop().shutdown_default_executor()


def failed(result: RunResult) -> dict[str, Verdict]:
    return {verdict.check: verdict for verdict in result.record.verdicts if verdict.outcome == "fail"}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(cut(Isolate("leader")), id="isolated-leader", marks=SLOWEST),
        pytest.param(cut(Isolate("follower")), id="isolated-follower", marks=LONGEST),
        pytest.param(kill, id="killed-leader", marks=SLOWEST),
    ],
)
async def test_honest_nodes_pass(tmp_path: Path, fault: Callable[[], Fault]) -> None:
    result = await played(tmp_path, "honest", fault())
    assert [(v.check, v.outcome, v.sentence) for v in result.record.verdicts if v.outcome != "pass"] == []
    assert (result.exit_code, result.trouble) == (0, "")
    for failover in result.record.failovers:
        steps = (
            failover.last_acknowledged,
            failover.suspicion,
            failover.won,
            failover.first_commit,
            failover.first_success,
        )
        assert None not in steps, failover
        assert failover.new_term is not None
        assert failover.new_term == failover.old_term + 1 + (failover.terms_burned or 0)
        assert failover.new_leader not in ("", failover.killed)


@pytest.mark.parametrize(
    ("lie", "fault", "check", "sentence"),
    [
        pytest.param(
            "acks_early",
            kill,
            "acknowledged-writes-survive",
            r"n\d acknowledged w\d = \d+ at [\d.]+ s as revision \d+, and .* then: the write is lost",
            id="acknowledges-on-receipt",
            marks=SLOWEST,
        ),
        pytest.param(
            "loses_writes",
            kill,
            "acknowledged-writes-survive",
            r"n\d acknowledged w\d = \d+ at [\d.]+ s as revision \d+, and .* then: the write is lost"
            r"|w\d was written \d+ times, although n\d acknowledged \d+ writes of it",
            id="loses-a-write-now-and-then",
            marks=LONGEST,
        ),
        pytest.param(
            "masks_losses",
            kill,
            "acknowledged-writes-survive",
            r"w\d was written \d+ times, although n\d acknowledged \d+ writes of it, and \d+ of unknown outcome "
            r"(was|were) read: \d+ of them",
            id="masks-a-loss-by-an-unknown-write",
            marks=LONGEST,
        ),
        pytest.param(
            "forgets_entries",
            kill,
            "commit-never-goes-back",
            r"n\d had applied entry \d+, (started again, and its log|and its log then) ended at \d+",
            id="forgets-entries-when-it-starts-again",
            marks=LONGEST,
        ),
        pytest.param(
            "stale_reads",
            cut(Isolate("follower")),
            "no-stale-read",
            r"(r\d|final) read w\d = \d+ via n\d, sent at [\d.]+ s, although \d+ had been (acknowledged|read) via n\d",
            id="reads-without-asking",
            marks=SLOWEST,
        ),
        pytest.param(
            "commits_alone",
            cut(Isolate("leader")),
            "minority-acknowledges-nothing",
            r"n\d, cut off without a majority \(n\d\), acknowledged w\d = \d+ at [\d.]+ s to w\d",
            id="acknowledges-in-a-minority",
            marks=SLOWEST,
        ),
        pytest.param(
            "stale_reads",
            cut(Isolate("leader")),
            "minority-acknowledges-nothing",
            r"n\d, cut off without a majority \(n\d\), answered a read of w\d at [\d.]+ s to r\d",
            id="reads-in-a-minority",
            marks=LONGEST,
        ),
        pytest.param(
            "commits_alone",
            cut(OneWay(("others",), ("leader",))),
            "minority-acknowledges-nothing",
            r"n\d, cut off without a majority \(n\d\), acknowledged w\d = \d+ at [\d.]+ s to w\d",
            id="acknowledges-and-hears-nobody",
            marks=LONGEST,
        ),
        pytest.param(
            "stale_reads",
            lambda: PauseNode("leader", random.Random(1), FAULT_SECONDS),
            "no-stale-read",
            r"(r\d|final) read w\d = \d+ via n\d, sent at [\d.]+ s, although \d+ had been (acknowledged|read) via n\d",
            id="reads-without-asking-when-it-wakes",
            marks=LONGEST,
        ),
        pytest.param(
            "denies_writes",
            kill,
            "no-stale-read",
            r"(r\d|final) read w\d = \d+ via n\d \(sent at [\d.]+ s\), although n\d had said that this write did not",
            id="denies-a-write",
            marks=LONGEST,
        ),
        pytest.param(
            "crowns_itself",
            cut(Split((1, 1, 1))),
            "one-leader-a-term",
            r"Term \d+ had \d leaders: n\d and n\d",
            id="elects-itself",
            marks=LONGEST,
        ),
        pytest.param(
            "rewrites_entries",
            kill,
            "logs-agree",
            r"n2 has another entry of the same term committed at index \d+ where n1 has one of term \d+",
            id="rewrites-the-log",
            marks=LONGEST,
        ),
        pytest.param(
            "repeats_revisions",
            kill,
            "revisions-in-order",
            r"w\d = \d+ has revision \d+ by n\d and revision \d+ by n\d|w\d = \d+ and w\d = \d+ were both given",
            id="gives-a-revision-twice",
            marks=LONGEST,
        ),
    ],
)
async def test_a_lie_is_caught_and_named(
    tmp_path: Path, lie: str, fault: Callable[[], Fault], check: str, sentence: str
) -> None:
    result = await played(tmp_path, lie, fault())
    verdicts = failed(result)
    assert check in verdicts, [(v.check, v.outcome, v.sentence) for v in result.record.verdicts]
    assert re.match(sentence, verdicts[check].sentence), verdicts[check].sentence
    assert verdicts[check].proof
    assert result.exit_code == result.record.exit_code == 1
    assert judge(load_run(result.folder).evidence) == result.record.verdicts


@pytest.mark.longest
async def test_nodes_that_are_well_and_acknowledge_nothing_have_not_recovered(tmp_path: Path) -> None:
    result = await played(tmp_path, "is_wedged", kill())
    verdicts = failed(result)
    assert list(verdicts) == ["writes-come-back"], verdicts
    assert re.match(
        r"kill the leader .*: n\d acknowledged none of \d+ writes in", verdicts["writes-come-back"].sentence
    )
    assert re.search(r"n\d(, n\d)* acknowledged no write in 8 s: see raft-chaos status", result.trouble), result.trouble
    assert result.exit_code == result.record.exit_code == 2
    assert judge(load_run(result.folder).evidence) == result.record.verdicts
