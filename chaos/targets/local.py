"""A cluster on this machine, as a `Target`: processes, their supervisor, and the link faults of nodes.

Why it exists: every fault can be tried on a laptop first. A signal goes to a process only after it was seen to be
that node; nothing is started but through the supervisor. It must not decide when or what to break.
"""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

import aiohttp

from chaos.errors import ChaosError, Refused
from chaos.model import Place
from chaos.observe import nodeapi
from chaos.switch import process
from chaos.switch.port import Charge, Switch
from chaos.systems.etcd import Etcd
from chaos.systems.port import System
from chaos.systems.raftnode import RAFT_NODE
from chaos.targets import clusterfile, localdoctor, localmarks, supervisor
from chaos.targets.clusterfile import ClusterFile
from chaos.targets.linkfaults import LinkFaults, describe, undo_cut
from chaos.targets.port import Finding, Journal, KillMode, Network, UndoStep

HERE = "this machine"
HEALER = "heal"
"""Whom the lock names while earlier runs are taken back."""
READY_TIMEOUT_SECONDS = 1.0
END_WAIT_SECONDS = 20.0
"""A killed process is given so long to be gone before it is started again: SIGTERM lets it finish what it does."""
END_POLL_SECONDS = 0.05
HTTP_OK = 200
WAKE = "wake"
"""The undo step of a pause."""
_DIGITS = re.compile(r"(\d+)")
_SIGNALS = {"delete": signal.SIGTERM, "sigkill": signal.SIGKILL}


async def open_local(data_dir: Path, system: str = RAFT_NODE.name) -> "LocalTarget":
    """The running cluster of that folder. Raises Refused where there is none, saying how one of `system` is started."""
    found = clusterfile.read(data_dir)
    if found is None:
        start = clusterfile.starter_of(system)
        raise Refused(f"There is no local cluster in {data_dir}: start one with {start}, or name --data-dir.")
    if found.state != "running" or found.control is None:
        raise Refused(f"The local cluster in {data_dir} is not running: start it with {found.starter}.")
    if found.supervisor_pid is None or clusterfile.started(found.supervisor_pid) is None:
        raise Refused(
            f"The supervisor of {data_dir} (process {found.supervisor_pid}) is gone, and its nodes with it: "
            f"start the cluster again with {found.starter}."
        )
    return LocalTarget(data_dir, found)


class LocalTarget:
    """See `Target`. Make it with `open_local`, in a running event loop."""

    kind: Literal["kubernetes", "local"] = "local"
    namespace = ""

    def __init__(self, data_dir: Path, cluster: ClusterFile) -> None:
        self.system = _system_of(cluster)
        what = "" if self.system is RAFT_NODE else f"{self.system.name} "
        self.title = f"the local {what}cluster in {_shown(data_dir)}"
        self._data_dir, self._opened = data_dir, cluster
        self._names = tuple(sorted((entry.name for entry in cluster.nodes), key=_natural))
        self._session = nodeapi.new_session()
        self.faults = LinkFaults(_Links(self), self._session)
        self.network: Network = self.faults
        self._lock: int | None = None
        self._ended: dict[str, tuple[str, Journal, UndoStep]] = {}
        """Killed and not brought back: which process it was, and what to tell the journal when it is back."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """See `Target`."""
        return self._names

    def url(self, node: str) -> str:
        """See `Target`: a node's own address; link faults cut what goes between nodes, never this."""
        return self._opened.node(node).url

    def links_url(self, node: str) -> str:
        """Where its links are cut and healed: at the node, or at whoever carries what it says."""
        entry = self._opened.node(node)
        return entry.links or entry.url

    def instance(self, node: str) -> str:
        """Process id and start time as they are now; empty: it does not run."""
        return clusterfile.instance_of(self._now().node(node))

    def runs(self, node: str) -> bool:
        """Whether its process is there."""
        return bool(self.instance(node))

    def stands_still(self, node: str) -> bool:
        """Whether its process is there and was told to stand still."""
        return clusterfile.stands_still(self._now().node(node))

    async def places(self) -> Mapping[str, Place]:
        """See `Target`. `ready`: the node itself says so (`/readyz`)."""
        now = self._now()
        instances = {name: clusterfile.instance_of(now.node(name)) for name in self._names}
        ready = await asyncio.gather(*(self._ready(name) for name in self._names))
        return {
            name: Place(
                name=name,
                where=HERE,
                instance=instances[name],
                ready=bool(instances[name]) and is_ready,
                leaving=name in self._ended and self._ended[name][0] == instances[name],
                address=now.node(name).peer,
            )
            for name, is_ready in zip(self._names, ready, strict=True)
        }

    async def policies(self) -> Sequence[str]:
        """See `Target`: processes that stand still, and the link faults that are on."""
        still = [f"{node}: its process stands still (SIGSTOP)" for node in self._names if self.stands_still(node)]
        return still + [describe(node, faults) for node, faults in (await self.faults.active()).items() if faults]

    # --- killing and bringing back ------------------------------------------------------------------------------

    async def kill(self, node: str, mode: KillMode, journal: Journal) -> str:
        """See `Target`. The process id is read in the instant before, and the process is seen to be the node."""
        step = UndoStep("start", {"node": node})
        now = self._now()
        entry = now.node(node)
        instance = clusterfile.instance_of(entry)
        if not instance:
            raise ChaosError(f"{node} does not run, so there is nothing to kill.")
        journal.will_do(step)
        localmarks.note_killed(self._data_dir, node, True)
        try:
            clusterfile.send(now, node, _SIGNALS[mode])
        except ChaosError:
            localmarks.note_killed(self._data_dir, node, False)
            journal.undone(step)
            raise
        self._ended[node] = (instance, journal, step)
        return f"sent {_SIGNALS[mode].name} to process {entry.pid} of {node}"

    def kill_plan(self, node: str, mode: KillMode) -> str:
        """See `Target`."""
        entry = self._now().node(node)
        name = _SIGNALS[mode].name
        return f"{name} to process {entry.pid} of {node}, then POST /start/{node} to the supervisor"

    async def pause(self, node: str, journal: Journal) -> str:
        """See `Target`."""
        if not sys.platform.startswith("linux"):
            raise Refused("Whether a process stands still can only be seen on Linux: nothing was done.")
        now = self._now()
        step = UndoStep(WAKE, {"node": node})
        journal.will_do(step)
        try:
            clusterfile.send(now, node, signal.SIGSTOP)
        except ChaosError:
            journal.undone(step)
            raise
        return f"sent SIGSTOP to process {now.node(node).pid} of {node}"

    def pause_plan(self, node: str) -> str:
        """See `Target`."""
        return f"SIGSTOP to process {self._now().node(node).pid} of {node}, and SIGCONT in the end"

    async def paused(self, node: str) -> bool:
        """See `Target`."""
        return self.stands_still(node)

    async def resume(self, node: str) -> str:
        """See `Target`. One that is gone has nothing to go on with."""
        if not self.runs(node):
            return f"{node} does not run, so it does not stand still"
        clusterfile.send(self._now(), node, signal.SIGCONT)
        return f"sent SIGCONT to {node}"

    async def bring_back(self, node: str) -> None:
        """See `Target`. Waits until the killed process is gone, then has the supervisor start the node; a node that
        runs (again) is left alone, and so is a process that serves on as if it had been told nothing. Raises ChaosError
        where another one does not end, or the supervisor refuses."""
        old = self._ended[node][0] if node in self._ended else None
        said = ""
        try:
            async with asyncio.timeout(END_WAIT_SECONDS):
                while True:
                    now = self.instance(node)
                    if now and now != old:
                        break
                    if not now:
                        answer = await supervisor.start(self._now(), node)
                        if answer.ok:
                            break
                        said = answer.text  # "already running" until the supervisor has seen its end
                    await asyncio.sleep(END_POLL_SECONDS)
        except TimeoutError:
            why = said or f"its process {old} did not end"
            if self.instance(node) != old or not await self._ready(node):
                raise ChaosError(f"{node} could not be started again within {END_WAIT_SECONDS:.0f} s: {why}") from None
        localmarks.note_killed(self._data_dir, node, False)
        if node in self._ended:
            _, journal, step = self._ended.pop(node)
            journal.undone(step)

    async def _until_it_stays(self, node: str) -> None:
        """One that was told to leave an instant ago still runs: it is not ready from then on. One that is not ready for
        another reason is waited for in vain."""
        loop = asyncio.get_running_loop()
        until = loop.time() + END_WAIT_SECONDS
        while self.runs(node) and loop.time() < until and not await self._ready(node):  # noqa: ASYNC110 - processes
            await asyncio.sleep(END_POLL_SECONDS)

    async def undo(self, step: UndoStep) -> str:
        """See `Target`. Knows "heal_link" (node, peer, direction), WAKE and "start" (node)."""
        node = step.arguments.get("node", "")
        if node not in self._names:
            return f"there is no node {node!r} any more, so there is nothing to undo"
        if step.do == "heal_link":
            return await self.faults.heal(node, step.arguments["peer"], step.arguments.get("direction", "both"))
        if step.do == WAKE:
            return await self.resume(node)
        if step.do == "start":
            before = self.instance(node)
            await self._until_it_stays(node)
            await self.bring_back(node)
            return f"{node} runs already" if before and before == self.instance(node) else f"had {node} started again"
        raise ChaosError(f"This raft-chaos cannot undo {step.do!r} on a local cluster: use the one that did it.")

    async def leftovers(self) -> Sequence[UndoStep]:
        """See `Target`: nodes that stand still, links with faults, and nodes that a run killed and that do not run."""
        still = [UndoStep(WAKE, {"node": node}) for node in self._names if self.stands_still(node)]
        cuts = {
            (node, fault.peer)
            for node, faults in (await self.faults.certainly_active()).items()
            for fault in faults
            if fault.kind != "failure"
        }
        killed = localmarks.killed(self._data_dir)
        dead = [UndoStep("start", {"node": node}) for node in self._names if node in killed and not self.runs(node)]
        return [*still, *(undo_cut(node, peer) for node, peer in sorted(cuts)), *dead]

    # --- one run at a time ---------------------------------------------------------------------------------------

    async def lock(self, run: str, seconds: float) -> None:  # noqa: ARG002 - the kernel lets go when we die
        """See `Target`. Needs no renewal: it is held until `unlock`, `close` or the end of this process."""
        if self._lock is not None:
            return
        self._lock = localmarks.lock(self._data_dir, run, self.title)

    async def unlock(self) -> None:
        """See `Target`."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def refuse_living(self, dead: Collection[str], say: Callable[[str], None]) -> None:  # noqa: ARG002
        """See `Target`. The lock of a run that died is free; while we hold it none can begin."""
        await self.lock(HEALER, 0)

    async def arm(self, charge: Charge) -> Switch:
        """See `Target`: a process of its own."""
        return await process.start(self._data_dir, charge)

    def arm_plan(self, cuts: bool) -> str:  # noqa: ARG002
        """See `Target`."""
        return "start the dead man's switch, a process that heals by the undo journal when this tool is gone"

    async def close(self) -> None:
        """See `Target`."""
        await self.unlock()
        await self._session.close()

    async def doctor(self, probe: bool = True) -> Sequence[Finding]:  # noqa: ARG002 - nothing is made here
        """See `Target`."""
        now = self._now()
        about_nodes = await asyncio.gather(
            *(
                localdoctor.of_node(self._session, self.links_url(name), name, self.runs(name), now)
                for name in self._names
            )
        )
        return [await localdoctor.of_supervisor(now), localdoctor.of_disk(self._data_dir), *about_nodes]

    # --- parts ---------------------------------------------------------------------------------------------------

    def _now(self) -> ClusterFile:
        """`cluster.json` as it is in this instant; the supervisor replaces it whenever a process comes or goes."""
        found = clusterfile.read(self._data_dir)
        if found is None:
            raise ChaosError(f"{self._data_dir / clusterfile.CLUSTER_FILE} is gone: was the cluster removed?")
        return found

    async def _ready(self, node: str) -> bool:
        timeout = aiohttp.ClientTimeout(total=READY_TIMEOUT_SECONDS)
        try:
            async with self._session.get(f"{self.url(node)}/readyz", timeout=timeout) as answer:
                return answer.status == HTTP_OK
        except nodeapi.UNREACHABLE:
            return False


class _Links:
    """The nodes, asked where their links are cut."""

    def __init__(self, target: LocalTarget) -> None:
        self.nodes, self.url, self.runs = target.nodes, target.links_url, target.runs
        self.stands_still = target.stands_still


def _system_of(cluster: ClusterFile) -> System:
    if cluster.system == "raft-node":
        return RAFT_NODE
    logs = {entry.name: Path(entry.log_file) for entry in cluster.nodes}
    return Etcd(logs, {entry.name: entry.links for entry in cluster.nodes})


def _natural(name: str) -> tuple[str | int, ...]:
    """n2 before n10."""
    return tuple(int(part) if part.isdigit() else part for part in _DIGITS.split(name))


def _shown(path: Path) -> str:
    """As people would type it: relative where it lies below the current folder."""
    try:
        absolute, here = path.absolute(), Path.cwd()
    except OSError:  # the current folder is gone
        return str(path)
    return f"./{absolute.relative_to(here)}" if absolute.is_relative_to(here) and absolute != here else str(absolute)
