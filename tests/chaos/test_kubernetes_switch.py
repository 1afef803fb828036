"""The dead man's switch in Kubernetes: a Job whose pod takes back what a tool that is gone has left."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from chaos.errors import NOT_EFFECTIVE, Refused
from chaos.switch.port import Charge
from chaos.targets.kubernetes import deadman
from chaos.targets.kubernetes.deadman import DELETE_JOB
from chaos.targets.kubernetes.target import KubernetesTarget
from tests.chaos.doubles import Notes
from tests.chaos.fake_apiserver import FakeApiServer
from tests.chaos.fake_jobs import JOBS, PODS, Jobs
from tests.chaos.test_kubernetes_partition import (  # noqa: F401
    ISOLATED,
    OURS,
    PEERS,
    healed,
    selector,
    server,
    target,
    unmarked,
)

JOB = f"{JOBS}/raft-chaos-r1"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/home/leases/raft-chaos-raft"
ROLE = "/apis/rbac.authorization.k8s.io/v1/namespaces/home/roles/raft-chaos-r1"
WAIT_SECONDS = 20.0


@pytest.fixture
async def jobs(server: FakeApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Jobs]:  # noqa: F811
    monkeypatch.setattr(deadman, "SILENT_SECONDS", 1.0)
    monkeypatch.setattr(deadman, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(deadman, "READY_SECONDS_MAX", 10.0)
    made = Jobs(server, tmp_path)
    yield made
    await made.end()


class Run:
    """What the switch watches over. `told`: why the run has to end."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []

    def charge(self, cuts: bool = True) -> Charge:
        return Charge("r1", Path("undo.json"), 60.0, cuts, lambda: (), lambda *told: self.told.append(told))


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not holds():  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)


def of_the_run(server: FakeApiServer) -> list[str]:  # noqa: F811
    return [path for path in server.objects if "raft-chaos-r1" in path or path == LEASE]


@pytest.mark.parametrize(
    "user", ["system:serviceaccount:home:raft-chaos", pytest.param("kubernetes-admin", marks=pytest.mark.slowest)]
)
async def test_what_a_tool_that_is_gone_has_left_is_taken_back_to_the_last_label(
    server: FakeApiServer,  # noqa: F811
    target: KubernetesTarget,  # noqa: F811
    jobs: Jobs,
    user: str,
) -> None:
    jobs.user, before, run = user, selector(server), Run()
    await target.lock("r1", 15.0)
    await target.arm(run.charge())
    await target.network.install(ISOLATED, "r1", 30.0, Notes())
    assert OURS in server.objects
    assert selector(server) != before
    assert (ROLE in server.objects) is (user == "kubernetes-admin")
    await target.lock("r1", 15.0)  # renewed, and goes with the Job from now on
    await until(lambda: selector(server) == before)
    await until(lambda: not of_the_run(server))
    assert unmarked(server)
    await until(lambda: run.told)
    (why, code) = run.told[0]
    assert code == NOT_EFFECTIVE
    assert "the dead man's switch (Job raft-chaos-r1) has ended" in why


@pytest.mark.slowest
async def test_as_long_as_the_lease_is_renewed_it_waits_and_leaves_no_trace_when_it_is_let_go(
    server: FakeApiServer,  # noqa: F811
    target: KubernetesTarget,  # noqa: F811
    jobs: Jobs,
) -> None:
    run, notes = Run(), Notes()
    await target.lock("r1", 15.0)
    switch = await target.arm(run.charge())
    await target.network.install(ISOLATED, "r1", 30.0, notes)
    for _ in range(20):
        await asyncio.sleep(0.15)
        await target.lock("r1", 15.0)
    assert OURS in server.objects
    assert [step.do for step in await target.leftovers()] == ["restore-policy", "delete-policy"], "the switch is none"
    await target.network.remove(ISOLATED, "r1", notes)
    await switch.disarm()
    assert of_the_run(server) == [LEASE], "which is held until the run ends"
    await target.unlock()
    assert of_the_run(server) == []
    assert run.told == []


async def test_a_switch_that_does_not_get_ready_is_a_refusal_that_says_why_and_leaves_nothing(
    server: FakeApiServer,  # noqa: F811
    target: KubernetesTarget,  # noqa: F811
    jobs: Jobs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deadman, "READY_SECONDS_MAX", 1.0)
    jobs.starts = False
    with pytest.raises(
        Refused, match=r"Job raft-chaos-r1 in namespace home, was not ready within 1 s: .*without-switch"
    ):
        await target.arm(Run().charge())
    assert of_the_run(server) == []


async def test_who_may_make_no_job_is_told_and_a_kill_needs_none(
    server: FakeApiServer,  # noqa: F811
    target: KubernetesTarget,  # noqa: F811
    jobs: Jobs,
) -> None:
    server.forbidden |= {JOBS, JOB}
    with pytest.raises(
        Refused, match=r"switch of this run cannot be made: .* lacks a permission: .*; or add --without-switch"
    ):
        await target.arm(Run().charge())
    await target.arm(Run().charge(cuts=False))
    assert target.arm_plan(cuts=True).startswith(f"POST {JOBS} raft-chaos-RUN: ")
    assert target.arm_plan(cuts=False) == ""
    assert await target.leftovers() == []


async def test_heal_takes_the_switch_of_a_dead_run_away(
    server: FakeApiServer,  # noqa: F811
    target: KubernetesTarget,  # noqa: F811
    jobs: Jobs,
) -> None:
    metadata = {"name": "raft-chaos-r1", "labels": {"raft-chaos/run": "r1", "raft-chaos/switch": "r1"}}
    server.put(JOB, {"metadata": metadata, "spec": {"suspend": True}})
    assert [step.do for step in await target.leftovers()] == [DELETE_JOB]
    assert await healed(target) == ("Deleted Job raft-chaos-r1",)
    assert of_the_run(server) == []
    assert not [path for path in server.objects if path.startswith(f"{PODS}/raft-chaos")]
