"""A release in Kubernetes as a `Target`: its parts put together.

Why it exists: faults see one object, whatever they break. It must hold no knowledge of its own: every method is one
call of the part that knows.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal

from chaos.errors import ChaosError, Refused
from chaos.model import Place
from chaos.switch.port import Charge, NoSwitch, Switch
from chaos.systems.port import System
from chaos.systems.raftnode import RAFT_NODE
from chaos.targets.kubernetes.account import open_account
from chaos.targets.kubernetes.api import Api, Forbidden
from chaos.targets.kubernetes.deadman import DELETE_JOB, DeadMan, delete_job, job_name, jobs_left, jobs_path
from chaos.targets.kubernetes.doctor import examine
from chaos.targets.kubernetes.forward import Forwards
from chaos.targets.kubernetes.inforce import policy_lines
from chaos.targets.kubernetes.lease import RELEASE_LEASE, Lock
from chaos.targets.kubernetes.partition import DELETE_POLICY, RESTORE_POLICY, PolicyNetwork
from chaos.targets.kubernetes.pods import (
    GO_ON_SCRIPT,
    STATE_SCRIPT,
    STOP_SCRIPT,
    delete_pod,
    kill_in_place,
    kill_request,
    places,
    script_request,
    signal_in_place,
)
from chaos.targets.kubernetes.probes import DELETE_POD, delete_probe, probes_left
from chaos.targets.kubernetes.release import Release, find_release
from chaos.targets.port import Finding, Journal, KillMode, UndoStep

WAKE = "wake"
"""The undo step of a pause, which ends by itself besides when nobody looks at it any more."""


class KubernetesTarget:
    """Made by `open_kubernetes`."""

    kind: Literal["kubernetes", "local"] = "kubernetes"
    system: System = RAFT_NODE

    def __init__(self, api: Api, release: Release) -> None:
        self.title = release.title
        self.namespace = release.namespace
        self.network = PolicyNetwork(api, release)
        self._api = api
        self._release = release
        self._forwards = Forwards(api, release)
        self._lock = Lock(api, release)

    async def open(self) -> None:
        await self._forwards.start()
        await self.network.prepare()

    @property
    def nodes(self) -> tuple[str, ...]:
        return self._release.nodes

    def url(self, node: str) -> str:
        """Raises Refused where no node can be asked, because of TLS; what is taken back needs none."""
        if self._forwards.trouble:
            raise Refused(self._forwards.trouble)
        return self._forwards.urls[node]

    async def places(self) -> Mapping[str, Place]:
        return await places(self._api, self._release)

    async def policies(self) -> Sequence[str]:
        return policy_lines(await self.network.look())

    async def kill(self, node: str, mode: KillMode, journal: Journal) -> str:  # noqa: ARG002
        """Nothing to undo: the StatefulSet makes a deleted pod again, the kubelet a dead container."""
        kill = delete_pod if mode == "delete" else kill_in_place
        return await kill(self._api, self._release, node)

    def kill_plan(self, node: str, mode: KillMode) -> str:
        return kill_request(self._release, node, mode)

    async def pause(self, node: str, journal: Journal) -> str:
        journal.will_do(UndoStep(WAKE, {"node": node}))
        await signal_in_place(self._api, self._release, node, STOP_SCRIPT)
        return f"sent SIGSTOP to the node's process in pod {node}"

    def pause_plan(self, node: str) -> str:
        return script_request(self._release, node, STOP_SCRIPT)

    async def paused(self, node: str) -> bool:
        return "T" in (await signal_in_place(self._api, self._release, node, STATE_SCRIPT)).split()

    async def resume(self, node: str) -> str:
        """A pod that is gone, or goes, has nothing to go on with."""
        try:
            await signal_in_place(self._api, self._release, node, GO_ON_SCRIPT)
        except Forbidden:  # that says nothing of the pod
            raise
        except Refused as error:
            return str(error)
        return f"sent SIGCONT to the node's process in pod {node}"

    async def bring_back(self, node: str) -> None:
        """Kubernetes does."""

    async def lock(self, run: str, seconds: float) -> None:
        await self._lock.take(run, seconds)

    async def unlock(self) -> None:
        await self._lock.release()

    async def refuse_living(self, dead: Collection[str], say: Callable[[str], None]) -> None:
        await self._lock.refuse_living(dead, say)

    async def arm(self, charge: Charge) -> Switch:
        """Only cuts would stay: a killed pod is brought back by Kubernetes."""
        if not charge.cuts:
            return NoSwitch()
        switch = DeadMan(self._api, self._release, self._lock, self.network, charge)
        await switch.arm()
        return switch

    def arm_plan(self, cuts: bool) -> str:
        job = f"POST {jobs_path(self.namespace)} {job_name('RUN')}"
        return f"{job}: the dead man's switch, whose pod heals when this tool is gone" if cuts else ""

    async def undo(self, step: UndoStep) -> str:
        if step.do in (DELETE_POLICY, RESTORE_POLICY):
            return await self.network.undo(step)
        if step.do == WAKE:
            return await self.resume(step.arguments["node"])
        if step.do == DELETE_POD:
            return await delete_probe(self._api, self.namespace, step)
        if step.do == DELETE_JOB:
            return await delete_job(self._api, self.namespace, step.arguments["name"])
        if step.do == RELEASE_LEASE:
            run = step.arguments["run"]
            held = await self._lock.clear(run)
            return f"Deleted the Lease of run {run}." if held else f"The Lease of run {run} was gone already."
        raise ChaosError(f"This version does not know how to undo {step.do!r}.")

    async def leftovers(self) -> Sequence[UndoStep]:
        """Chart policies first, then ours, then the switch, then the Lease: nobody else may begin before all is undone.
        A switch that watches over this very process is none."""
        found = await self.network.leftovers()
        found += await probes_left(self._api, self.namespace)
        switches = await jobs_left(self._api, self.namespace)
        found += [step for step in switches if not self._lock.is_ours(step.arguments["run"])]
        holder = await self._lock.holder()
        if holder and not self._lock.is_ours(holder):
            found.append(UndoStep(RELEASE_LEASE, {"name": self._lock.name, "run": holder}))
        return found

    async def doctor(self, probe: bool = True) -> Sequence[Finding]:
        return await examine(self._api, self._release, self.network, probe)

    async def close(self) -> None:
        await self._forwards.close()
        await self._api.close()


async def open_kubernetes(context: str | None, namespace: str | None, release: str | None) -> KubernetesTarget:
    """The release that these name; what is None is found by itself (see `find_release`)."""
    api = Api(await open_account(context))
    try:
        target = KubernetesTarget(api, await find_release(api, namespace, release))
    except BaseException:
        await api.close()
        raise
    try:
        await target.open()
    except BaseException:
        await target.close()
        raise
    return target
