"""A whole run with everything real but the cluster, the clients and the fault, which do what a test says."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from chaos.checks.verdict import Evidence
from chaos.evidence.disk import Disk
from chaos.faults.port import Plan, Scene
from chaos.model import FaultSpan
from chaos.run import Options, RunResult, order, run
from chaos.situation import Situation
from chaos.switch.port import Charge, NoSwitch, Switch
from chaos.systems.raftnode import RAFT_NODE
from chaos.targets.port import Target, UndoStep
from tests.chaos.evidence import good
from tests.chaos.situations import healthy

Act = Callable[[Scene], Awaitable[None]]


class Cluster:
    """Three nodes that are well. `left`: what it shows as left behind; `held`: the lock, by whom."""

    kind, namespace, title = "local", "", "the cluster"
    nodes = ("n1", "n2", "n3")
    system = RAFT_NODE

    def __init__(self) -> None:
        self.left: list[UndoStep] = []
        self.undone: list[UndoStep] = []
        self.held = ""
        self.network = self

    def url(self, node: str) -> str:
        return f"http://127.0.0.1:1/{node}"

    async def leftovers(self) -> Sequence[UndoStep]:
        return list(self.left)

    async def undo(self, step: UndoStep) -> str:
        self.undone.append(step)
        self.left = [one for one in self.left if one != step]
        return f"undid {step.do}."

    async def objections(self, _: object) -> Sequence[str]:
        return ()

    async def lock(self, run: str, seconds: float) -> None:
        self.held = run

    async def unlock(self) -> None:
        self.held = ""

    async def refuse_living(self, dead: Collection[str], say: Callable[[str], None]) -> None: ...

    async def arm(self, charge: Charge) -> Switch:
        return NoSwitch()


async def _nothing(_: Scene) -> None: ...


class Fault:
    """Its act is written down as `STEP`; any part may be replaced."""

    def __init__(self, **parts: Act) -> None:
        self.span = FaultSpan(kind="kill-leader", title="break something", nodes=("n1",))
        self.parts = parts
        self.did: list[str] = []

    def plan(self, situation: Situation, target: Target) -> Plan:
        return Plan(title="break something", acts=(), predictions=())

    async def _do(self, name: str, scene: Scene) -> None:
        self.did.append(name)
        await self.parts.get(name, _nothing)(scene)

    async def inject(self, scene: Scene) -> None:
        await self._do("refuse", scene)
        self.span.injected_us = scene.clock.now_us()
        scene.journal.will_do(STEP)
        await self._do("inject", scene)

    async def prove(self, scene: Scene) -> None:
        await self._do("prove", scene)
        self.span.effective_us = scene.clock.now_us()

    async def hold(self, scene: Scene) -> None:
        await self._do("hold", scene)

    async def revert(self, scene: Scene) -> None:
        await self._do("revert", scene)
        self.span.reverted_us = scene.clock.now_us()

    async def prove_healed(self, scene: Scene) -> None:
        await self._do("prove_healed", scene)
        self.span.healed_us = scene.clock.now_us()


STEP = UndoStep("heal_link", {"node": "n1", "peer": "n2", "direction": "both"})


class Recording:
    """In place of the real one: nothing is asked, and the evidence is a good run's."""

    def __init__(self, silent: list[str]) -> None:
        self.silent = silent
        self.notes: list[str] = []
        self.sampler = self.workload = self.pauses = self
        self.full = ""
        self.on_disk: frozenset[str] = frozenset()
        self.disk = Disk()

    def seconds_since(self, _: int) -> float:
        return 0.0

    async def until_written(self, nodes: Collection[str], since_us: int, limit_s: float) -> list[str]:
        return [node for node in nodes if node in self.silent]

    def latest(self) -> Mapping[str, Any]:
        return {}

    def start(self) -> None: ...

    async def baseline(self, _: float) -> float:
        return 100.0

    async def until_full(self) -> str:
        await asyncio.Event().wait()
        return ""

    async def finish(self, _: Situation) -> None: ...

    async def stop(self) -> None: ...

    def keep(self, *_: object) -> None: ...

    def evidence(self, *_: object) -> Evidence:
        return good()


class World:
    """`whole`: whether the cluster gets whole again; `silent`: who acknowledges no write then; `said`: every line."""

    def __init__(self, runs: Path) -> None:
        self.cluster, self.runs = Cluster(), runs
        self.said: list[str] = []
        self.whole = True
        self.silent: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    async def __call__(self, *faults: Fault, say: Callable[[str], None] | None = None) -> RunResult:
        options = Options(
            name="test", seed=1, out=self.runs, command_line="raft-chaos test", heal_command="raft-chaos heal --all",
            duration_s=0.0, recovery_limit_s=1.0, baseline_s=0.0, after_s=0.0,
        )  # fmt: skip
        return await run(cast(Target, self.cluster), cast(Any, faults), options, say or self.say)

    @property
    def folders(self) -> list[Path]:
        return [path for path in self.runs.iterdir() if not path.is_symlink()] if self.runs.exists() else []


def world_of(monkeypatch: pytest.MonkeyPatch, runs: Path) -> World:
    world = World(runs)

    async def look(*_: object) -> Situation:
        return healthy(3)

    async def until_whole(scene: Scene, _: float) -> tuple[int | None, Situation]:
        return (scene.clock.now_us() if world.whole else None), healthy(3)

    monkeypatch.setattr(order, "look", look)
    monkeypatch.setattr(order, "until_whole", until_whole)
    monkeypatch.setattr(order, "Recording", lambda *_: Recording(world.silent))
    return world
