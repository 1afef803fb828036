"""The dead man's switch in Kubernetes: a Job whose pod takes back what a tool that is gone has left."""

import asyncio
import contextlib
import http.client
import time
import urllib.error
from collections.abc import AsyncIterator, Callable
from email.message import Message
from pathlib import Path
from typing import Any, cast

import pytest

from chaos.errors import NOT_EFFECTIVE, TOOL_FAILED, Refused
from chaos.switch.port import Charge
from chaos.targets.kubernetes import deadman, deadman_pod
from chaos.targets.kubernetes import target as target_module
from chaos.targets.kubernetes.api import Forbidden
from chaos.targets.kubernetes.deadman import DELETE_JOB
from chaos.targets.kubernetes.target import KubernetesTarget
from tests.chaos.doubles import Notes
from tests.chaos.fake_apiserver import FakeApiServer
from tests.chaos.fake_jobs import JOBS, PODS, Jobs
from tests.chaos.test_kubernetes_partition import (  # noqa: F401
    HELM,
    ISOLATED,
    NEWER,
    OURS,
    PEERS,
    POLICIES,
    healed,
    selector,
    server,
    target,
    unmarked,
    upgraded,
)

LATER = {"manager": "helm", "time": "2"}
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


@pytest.mark.slowest
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
    switch = await target.arm(run.charge())
    await target.network.install(ISOLATED, "r1", 30.0, Notes())
    assert OURS in server.objects
    assert selector(server) != before
    assert (ROLE in server.objects) is (user == "kubernetes-admin")
    await switch.leave()  # before the Lease was renewed in its time
    await until(lambda: selector(server) == before)
    await until(lambda: not of_the_run(server))
    assert unmarked(server)
    assert run.told == []


@pytest.mark.slowest
async def test_a_tool_that_lives_is_told_that_its_switch_healed_and_keeps_its_lock_until_it_has_ended(
    server: FakeApiServer,  # noqa: F811
    target: KubernetesTarget,  # noqa: F811
    jobs: Jobs,
) -> None:
    before, run = selector(server), Run()
    await target.lock("r1", 15.0)
    switch = await target.arm(run.charge())
    await target.network.install(ISOLATED, "r1", 30.0, Notes())
    await target.lock("r1", 15.0)
    await until(lambda: run.told)
    ((why, code),) = run.told
    assert (code, selector(server)) == (NOT_EFFECTIVE, before)
    assert "saw no sign of life of this tool, and took back what it had done" in why
    await until(lambda: of_the_run(server) == [LEASE])
    assert "ownerReferences" not in server.objects[LEASE]["metadata"]
    await switch.disarm()
    await target.unlock()
    assert of_the_run(server) == []


@pytest.mark.slowest
@pytest.mark.parametrize("status", [None, {"failed": 1, "conditions": [{"type": "Failed", "status": "True"}]}])
async def test_a_switch_that_is_gone_ends_the_run_and_one_whose_pod_failed_does_not(
    server: FakeApiServer,  # noqa: F811
    target: KubernetesTarget,  # noqa: F811
    jobs: Jobs,
    status: dict[str, Any] | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run()
    await target.lock("r1", 15.0)
    switch = await target.arm(run.charge())
    monkeypatch.setattr(deadman, "SILENT_SECONDS", 60.0)
    server.put(JOB, {**server.objects[JOB], "status": {"failed": 1}})
    await asyncio.sleep(4 * deadman.WATCH_SECONDS)  # it is looked at, and nothing comes of that
    assert run.told == []
    if status is None:
        del server.objects[JOB]
    else:
        server.put(JOB, {**server.objects[JOB], "status": status})
    await until(lambda: run.told)
    ((why, code),) = run.told
    assert (why, code) == ("the dead man's switch (Job raft-chaos-r1) is gone, so the run ends", TOOL_FAILED)
    await switch.disarm()
    await target.unlock()


@pytest.mark.slowest
async def test_a_switch_that_healed_and_was_deleted_while_the_tool_stood_still_is_told_so(
    server: FakeApiServer,  # noqa: F811
    target: KubernetesTarget,  # noqa: F811
    jobs: Jobs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run()
    await target.lock("r1", 15.0)
    switch = await target.arm(run.charge())
    monkeypatch.setattr(deadman, "SILENT_SECONDS", 0.3)
    await asyncio.sleep(2 * deadman.WATCH_SECONDS)  # it is looked at
    del server.objects[JOB]
    time.sleep(0.3)  # noqa: ASYNC251 - this tool stands still
    await until(lambda: run.told)
    ((why, code),) = run.told
    assert code == NOT_EFFECTIVE
    assert "saw no sign of life of this tool, and took back what it had done" in why
    await switch.disarm()
    await target.unlock()


class Looks:
    """An API server that loses every fourth answer, and whose Lease nobody renews."""

    def __init__(self) -> None:
        self.asked = 0

    def ask(self, *_: object) -> dict[str, Any]:
        self.asked += 1
        assert self.asked < 100, "it begins anew with every answer that is lost"
        if self.asked % 4 == 0:
            raise http.client.IncompleteRead(b"")
        return {"spec": {"holderIdentity": "r1"}}


class Passing:
    """A clock that moves while somebody sleeps, and not else."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


def test_an_answer_that_is_lost_now_and_then_does_not_make_the_pod_begin_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clock = Passing()
    monkeypatch.setattr(deadman_pod, "time", clock)
    looks = Looks()
    deadman_pod.watch(cast(Any, looks), "/lease", "r1", 8 * deadman_pod.LOOK_SECONDS, tmp_path / "ready")
    assert looks.asked == 15, "what happened while nothing was seen does not count"


class OfAPod:
    """The API server as the pod of the switch reaches it, which is ended after so many changes."""

    def __init__(self, server: FakeApiServer, changes: int) -> None:  # noqa: F811
        self.server, self.left = server, changes

    def ask(self, verb: str, path: str, body: Any = None) -> dict[str, Any]:
        path = path.partition("?")[0]
        if verb == "GET":
            found = [
                one for one in self.server.objects.values() if "raft-chaos/run" in one["metadata"].get("labels", {})
            ]
            return {"items": found}
        if not self.left:
            raise SystemExit("the pod is ended")
        self.left -= 1
        self.server.apply(verb, path, body, "raft-chaos")
        return self.server.objects.get(path, {})


@pytest.mark.parametrize("changed", [False, True], ids=["as it was narrowed", "changed by an upgrade"])
@pytest.mark.parametrize("changes", range(4))
async def test_a_pod_that_is_ended_between_two_of_its_requests_leaves_what_heal_finds_and_does(
    server: FakeApiServer,  # noqa: F811
    target: KubernetesTarget,  # noqa: F811
    changes: int,
    changed: bool,
) -> None:
    server.objects[PEERS]["metadata"]["managedFields"] = [HELM]
    before = selector(server)
    await target.network.install(ISOLATED, "r1", 30.0, Notes())
    if changed:
        before = {**before, "matchLabels": NEWER}
        upgraded(server, {"matchLabels": NEWER})
        server.objects[PEERS]["metadata"]["managedFields"] = [LATER, {"manager": "raft-chaos"}]
    with contextlib.suppress(SystemExit):
        deadman_pod.take_back(cast(Any, OfAPod(server, changes)), POLICIES, "r1")
    assert (OURS in server.objects) == (changes < 3)
    await healed(target)
    assert selector(server) == before
    assert unmarked(server)
    upgrades = {**LATER, "lost": "its selector"} if changes == 1 else LATER
    assert server.objects[PEERS]["metadata"]["managedFields"] == [upgrades if changed else HELM]


async def test_a_policy_that_may_not_be_changed_keeps_the_pod_from_none_of_the_others(
    server: FakeApiServer,  # noqa: F811
    target: KubernetesTarget,  # noqa: F811
) -> None:
    await target.network.install(ISOLATED, "r1", 30.0, Notes())
    pod = OfAPod(server, 10)

    class Refusing:
        def ask(self, verb: str, path: str, body: Any = None) -> dict[str, Any]:
            if verb == "PATCH":
                raise urllib.error.HTTPError(path, 400, "a webhook says no", Message(), None)
            return pod.ask(verb, path, body)

    with pytest.raises(urllib.error.HTTPError, match="a webhook says no"):
        deadman_pod.take_back(cast(Any, Refusing()), POLICIES, "r1")
    assert OURS not in server.objects


@pytest.mark.parametrize("gone", [True, False])
async def test_a_pod_that_is_gone_has_nothing_to_go_on_with_and_a_missing_right_says_nothing_of_it(
    target: KubernetesTarget,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    gone: bool,
) -> None:
    async def refused(*_: object) -> str:
        raise Refused("pod raft-1 is gone") if gone else Forbidden("Unauthorized", 401)

    monkeypatch.setattr(target_module, "signal_in_place", refused)
    if gone:
        assert await target.resume("raft-1") == "pod raft-1 is gone"
    else:
        with pytest.raises(Forbidden):
            await target.resume("raft-1")


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
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(deadman, "SILENT_SECONDS", 60.0)  # it has not noticed yet
    switch = await target.arm(Run().charge())
    await switch.leave()
    assert f"{PODS}/raft-chaos-r1-x" in server.objects
    assert [step.do for step in await target.leftovers()] == [DELETE_JOB]
    assert await healed(target) == ("Deleted Job raft-chaos-r1",)
    assert of_the_run(server) == []
