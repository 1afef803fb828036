"""A run that goes wrong on a real cluster: networks that do not cut, cuts that leak, healing that fails at first.

Whatever happens, what was done is taken back, the run is written down, and the exit code tells.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from chaos.cli import execute
from chaos.errors import INTERRUPTED, NOT_EFFECTIVE, NOT_RECOVERED, PASSED, REFUSED, TOOL_FAILED, ChaosError, Refused
from chaos.faults import partition, patience, proven_cut
from chaos.faults.partition import Partition
from chaos.faults.port import Scene
from chaos.run import lease, recording, takeback
from chaos.systems.raftnode import RaftNode
from chaos.targets.find import Choice, open_target
from chaos.targets.linkfaults import LinkFaults
from chaos.targets.local import LocalTarget
from chaos.targets.port import Cut, Journal, Pair
from tests.chaos.raft_chaos import Said, Tool
from tests.supervisor.conftest import eventually

CUT = ("partition", "--isolate", "follower", "--yes", "--seed", "1")


pytestmark = pytest.mark.slowest


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proven_cut, "PROVE_SECONDS", 2.0)


class Honest:
    """The network as it is, to be bent in one place."""

    def __init__(self, real: LinkFaults) -> None:
        self.real = real

    async def objections(self, cut: Cut) -> Sequence[str]:
        return await self.real.objections(cut)

    def plan(self, cut: Cut, run: str, seconds: float) -> Sequence[str]:
        return self.real.plan(cut, run, seconds)

    async def install(self, cut: Cut, run: str, seconds: float, journal: Journal) -> None:
        await self.real.install(cut, run, seconds, journal)

    async def dial(self, pairs: Sequence[Pair]) -> Mapping[Pair, bool]:
        return await self.real.dial(pairs)

    async def remove(self, cut: Cut, run: str, journal: Journal) -> Sequence[str]:
        return await self.real.remove(cut, run, journal)


def bend(monkeypatch: pytest.MonkeyPatch, bent: Callable[[LinkFaults], Honest]) -> None:
    """Let every target of this process have that network."""

    async def opened(choice: Choice) -> Any:
        target: Any = await open_target(choice)
        target.network = bent(target.network)
        return target

    monkeypatch.setattr(execute, "open_target", opened)


def is_written_down(tool: Tool, said: Said) -> None:
    """The run left its folder, and nothing in the cluster."""
    (folder,) = [path for path in tool.runs.iterdir() if not path.is_symlink()]
    assert {"run.json", "history.ndjson", "report.html"} <= {path.name for path in folder.iterdir()}
    assert str(folder) in said.out.replace("\n", "")
    assert tool.status()["in_force"] == []


class Ignores(Honest):
    """Takes policies and enforces none."""

    async def install(self, *_: object) -> None: ...


class KeepsOldConnections(Ignores):
    """New connections fail, as most networks do it; what was open lives on, even when it is reset."""

    async def dial(self, pairs: Sequence[Pair]) -> Mapping[Pair, bool]:
        alone = set(pairs) - {(b, a) for a, b in pairs}
        assert not alone
        return {pair: not self.cut or pair not in self.cut.blocked for pair in pairs}

    cut: Cut | None = None

    async def install(self, cut: Cut, *_: object) -> None:  # type: ignore[override]
        self.cut = cut

    async def remove(self, *_: object) -> Sequence[str]:
        self.cut = None
        return ()


class CutsTooMuch(Honest):
    """Nobody can connect to anybody once a cut is there."""

    installed = False

    async def install(self, cut: Cut, run: str, seconds: float, journal: Journal) -> None:
        self.installed = True
        await super().install(cut, run, seconds, journal)

    async def dial(self, pairs: Sequence[Pair]) -> Mapping[Pair, bool]:
        return dict.fromkeys(pairs, False) if self.installed else await super().dial(pairs)

    async def remove(self, cut: Cut, run: str, journal: Journal) -> Sequence[str]:
        self.installed = False
        return await super().remove(cut, run, journal)


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (Ignores, "is not enforced"),
        (KeepsOldConnections, "The partition leaks: "),
        (CutsTooMuch, "The partition cuts too much: "),
    ],
)
def test_a_partition_that_is_none_is_taken_back_and_proves_nothing(
    tool: Tool, monkeypatch: pytest.MonkeyPatch, network: Callable[[LinkFaults], Honest], sentence: str
) -> None:
    bend(monkeypatch, network)
    said = tool(*CUT, "--duration", "5s")
    assert said.code == NOT_EFFECTIVE, said.out
    assert sentence in said.out
    assert "the fault clock starts" not in said.out
    is_written_down(tool, said)


def test_links_are_reset_only_after_new_connections_fail(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    real = RaftNode.reset_links

    async def reset_links(node: RaftNode, *given: Any) -> Any:
        happened.append("reset_links")
        return await real(node, *given)

    class Slow(Honest):
        """Enforced some dials after it was installed."""

        dials_left = 3

        async def install(self, cut: Cut, run: str, seconds: float, journal: Journal) -> None:
            happened.append("install")
            await super().install(cut, run, seconds, journal)

        async def dial(self, pairs: Sequence[Pair]) -> Mapping[Pair, bool]:
            if "install" not in happened or "remove" in happened:
                return await super().dial(pairs)
            self.dials_left -= 1
            happened.append("dial passes" if self.dials_left > 0 else "dial fails")
            return dict.fromkeys(pairs, True) if self.dials_left > 0 else await super().dial(pairs)

        async def remove(self, cut: Cut, run: str, journal: Journal) -> Sequence[str]:
            happened.append("remove")
            return await super().remove(cut, run, journal)

    monkeypatch.setattr(RaftNode, "reset_links", reset_links)
    bend(monkeypatch, Slow)
    assert tool(*CUT, "--duration", "2s").code == PASSED
    assert happened[:4] == ["install", "dial passes", "dial passes", "dial fails"]
    assert happened[4:8] == ["reset_links"] * 4
    assert happened[-1] == "remove"


def test_a_cut_that_leaks_in_the_middle_is_proven_again_and_the_clock_starts_anew(
    tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaked: list[float] = []

    class Leaks(Honest):
        """One link heals behind the tool's back, 1 s after everything was proven."""

        installs = 0

        async def install(self, cut: Cut, run: str, seconds: float, journal: Journal) -> None:
            await super().install(cut, run, seconds, journal)
            self.installs += 1
            if self.installs == 1:
                self.task = asyncio.create_task(self._leak(cut))

        async def _leak(self, cut: Cut) -> None:
            await asyncio.sleep(2.5)
            (leader_side, alone) = cut.groups
            for peer in leader_side:
                await self.real.heal(alone[0], peer, "both")
                await self.real.heal(peer, alone[0], "both")
            leaked.append(time.monotonic())

    bend(monkeypatch, Leaks)
    said = tool(*CUT, "--duration", "4s", "-o", "json")
    assert said.code == PASSED, said.err
    assert leaked
    assert "links are reset, and the cut is proven again" in said.err
    (fault,) = said.json["faults"]
    assert fault["effective_us"] - fault["injected_us"] > 2_500_000
    assert fault["reverting_us"] - fault["effective_us"] >= 4_000_000
    assert "proven again; the fault clock starts anew" in fault["facts"]


@pytest.mark.longest
def test_a_node_that_is_started_again_in_mid_partition_is_cut_off_again(tool: Tool) -> None:
    with tool.process(*CUT, "--duration", "120s") as run:
        run.until_says("the fault clock starts")
        (alone,) = [line.split()[0].rstrip(":") for line in tool.status()["in_force"] if line.count("cut of") == 2]
        pid = tool.cluster.pid(alone)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: tool.cluster.pid(alone) is None, "the end of the node")
        tool.start(alone)
        run.until_says(f"{alone} is another process than before")
        run.until_says("proven again; the fault clock starts anew")
        assert len(tool.status()["in_force"]) == 3
        run.popen.send_signal(signal.SIGTERM)
        assert run.ends() == INTERRUPTED, run.output


def test_healing_is_tried_again_until_it_works(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeback, "PAUSE_SECONDS", 0.05)
    tries: list[str] = []

    class Stubborn(Honest):
        async def remove(self, cut: Cut, run: str, journal: Journal) -> Sequence[str]:
            tries.append(run)
            if len(tries) < 3:
                raise ChaosError("the API server does not answer")
            return await super().remove(cut, run, journal)

    bend(monkeypatch, Stubborn)
    said = tool(*CUT, "--duration", "500ms")
    assert said.code == PASSED, said.out
    assert len(tries) == 3
    assert "healing is tried again, for 300 s at most: the API server does not answer" in said.out
    is_written_down(tool, said)


def test_what_cannot_be_healed_is_2_with_the_command_to_heal_it(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeback, "INSIST_SECONDS_MAX", 1.5)

    class Gone(Honest):
        async def remove(self, *_: object) -> Sequence[str]:
            raise OSError("connection lost")

    bend(monkeypatch, Gone)
    said = tool(*CUT, "--duration", "500ms", "--within", "1s", "--without-switch")
    assert said.code == NOT_RECOVERED
    heal = f"raft-chaos heal --all --data-dir {tool.cluster.data_dir} --out {tool.runs}"
    assert heal in said.out.replace("\n", "")
    assert len(tool.status()["in_force"]) == 3
    monkeypatch.setattr(execute, "open_target", open_target)
    assert tool(*heal.split()[1:3]).code == PASSED
    assert tool.status()["in_force"] == []


def test_an_error_in_mid_fault_heals_and_is_70(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def breaks(_: Partition, scene: Scene) -> None:
        raise RuntimeError(f"a bug, {scene.run}")

    monkeypatch.setattr(Partition, "hold", breaks)
    said = tool(*CUT)
    assert said.code == TOOL_FAILED
    assert "The run broke off: RuntimeError: a bug" in said.out
    is_written_down(tool, said)


def test_requests_that_fail_now_and_then_do_not_end_a_partition(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(patience, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(partition, "PROVE_AGAIN_SECONDS", 0.5)

    class Loses(Honest):
        """Every second dial is lost on its way."""

        async def dial(self, pairs: Sequence[Pair]) -> Mapping[Pair, bool]:
            asked.append("dial")
            if len(asked) % 2:
                raise ChaosError("the API server does not answer.")
            return await super().dial(pairs)

    bend(monkeypatch, Loses)
    said = tool(*CUT, "--duration", "2s")
    assert said.code == PASSED, said.out + said.err
    assert len(asked) >= 10  # before, in force, at least twice while it holds, and healed
    is_written_down(tool, said)


def test_requests_that_go_on_failing_end_a_partition_and_heal_it(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PAUSE_SECONDS", 0.05)

    class Lost(CutsTooMuch):
        async def dial(self, pairs: Sequence[Pair]) -> Mapping[Pair, bool]:
            if self.installed:
                raise ChaosError("the API server does not answer.")
            return await self.real.dial(pairs)

    bend(monkeypatch, Lost)
    said = tool(*CUT, "--duration", "60s")
    assert said.code == TOOL_FAILED
    assert "the API server does not answer" in said.out
    is_written_down(tool, said)


def test_a_look_that_fails_once_does_not_end_a_kill(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    real = LocalTarget.places

    async def places(self: LocalTarget) -> Any:
        looks.append("look")
        if len(looks) in (1, 3):
            raise ChaosError("the API server does not answer.")
        return await real(self)

    monkeypatch.setattr(patience, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(LocalTarget, "places", places)
    said = tool("kill-leader", "--mode", "sigkill", "--yes")
    assert said.code == PASSED, said.out + said.err
    assert len(looks) >= 4


def test_a_kill_that_could_not_be_done_is_not_waited_for(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    async def kill(*_: object) -> str:
        raise ChaosError("this account may not exec into pods.")

    monkeypatch.setattr(LocalTarget, "kill", kill)
    began = time.monotonic()
    said = tool("kill-leader", "--mode", "sigkill", "--yes")
    assert said.code == TOOL_FAILED
    assert "may not exec into pods" in said.out
    assert time.monotonic() - began < 15
    is_written_down(tool, said)


def test_a_lock_that_is_lost_ends_the_run_and_heals(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "RENEW_SECONDS", 2.5)
    locks: list[str] = []

    async def lock(_: LocalTarget, run: str, seconds: float) -> None:
        locks.append(run)
        if len(locks) > 1:
            raise Refused("partition-2 of somebody else holds it.")

    monkeypatch.setattr(LocalTarget, "lock", lock)
    said = tool(*CUT, "--duration", "60s")
    assert said.code == TOOL_FAILED
    assert "The lock of this run was lost, so it ends: partition-2" in said.out
    is_written_down(tool, said)


def test_too_few_writes_before_the_fault_prove_nothing_and_nothing_is_broken(
    tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "WRITES_PER_SECOND_MIN", 1e6)
    monkeypatch.setattr(recording, "BASELINE_TRIES", 1)
    said = tool(*CUT)
    assert said.code == NOT_EFFECTIVE
    assert "nothing was broken" in said.out
    assert "cut n" not in said.out.partition("Raft predicts")[2].partition("Verdicts")[0]
    is_written_down(tool, said)


def test_what_the_network_objects_to_is_refused_and_named(tool: Tool, monkeypatch: pytest.MonkeyPatch) -> None:
    class Foreign(Honest):
        async def objections(self, cut: Cut) -> Sequence[str]:
            return [f"the policy allow-all admits {cut.blocked[0][0]} to {cut.blocked[0][1]}."]

    bend(monkeypatch, Foreign)
    said = tool(*CUT)
    assert said.code == REFUSED
    assert "would not work: the policy allow-all admits n" in said.err
    assert not tool.runs.exists()
    assert "It would be refused now: " in tool(*CUT, "--dry-run").out
