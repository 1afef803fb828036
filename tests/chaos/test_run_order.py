"""The order of a run when something goes wrong: it heals, it is written down, and its exit code does not lie."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chaos import journal
from chaos.errors import (
    INTERRUPTED,
    NOT_EFFECTIVE,
    NOT_RECOVERED,
    PASSED,
    REFUSED,
    TOOL_FAILED,
    ChaosError,
    NotEffective,
    NotRecovered,
    Refused,
)
from chaos.faults.port import Plan, Scene
from chaos.run import takeback
from chaos.run.order import BASELINE_AGE_US_MAX
from chaos.run.stop import Stopped
from chaos.switch.port import Charge, NoSwitch, Switch
from chaos.targets.port import Cut, UndoStep
from tests.chaos.runs import STEP, Act, Fault, Recording, World, world_of

CUT = Cut.between((("n1",), ("n2", "n3")))
CUTTING = Plan(title="cut", acts=(), predictions=(), cut=CUT)
ALL = ["refuse", "inject", "prove", "hold", "revert", "prove_healed"]


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[World]:
    monkeypatch.setattr(takeback, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(takeback, "INSIST_SECONDS_MAX", 0.3)
    yield world_of(monkeypatch, tmp_path / "runs")
    await asyncio.get_running_loop().shutdown_default_executor()


def raising(error: Exception, times: int = 1000) -> Act:
    left = [error] * times

    async def act(_: Scene) -> None:
        if left:
            raise left.pop()

    return act


def left_open(world: World) -> tuple[UndoStep, ...]:
    (folder,) = world.folders
    return journal.read(folder / "undo.json").open_steps


async def test_a_run_goes_its_way_and_leaves_nothing(world: World) -> None:
    first, second = Fault(), Fault()
    result = await world(first, second)
    assert (result.exit_code, result.trouble) == (PASSED, "")
    assert first.did == second.did == ALL
    assert left_open(world) == ()
    assert world.cluster.held == ""


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_at_any_moment_of_a_fault_ends_in_healing(
    world: World, number: int, name: signal.Signals
) -> None:
    """And a second one, in the midst of the healing, ends nothing."""
    at = ALL[number]

    async def struck(_: Scene) -> None:
        os.kill(os.getpid(), name)
        await asyncio.sleep(0.05)

    async def again(_: Scene) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.05)

    fault, never = Fault(**{"prove_healed": again, at: struck}), Fault()
    result = await world(fault, never)
    assert result.exit_code == INTERRUPTED
    assert never.did == []
    assert fault.did == (["refuse"] if at == "refuse" else ALL[: min(number, 3) + 1] + ALL[4:])
    assert left_open(world) == ()
    assert json.loads((result.folder / "run.json").read_bytes())["interrupted"] is True


async def test_a_signal_before_anything_was_done_leaves_nothing_and_writes_nothing(world: World) -> None:
    async def slow(_: object) -> list[str]:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)
        return []

    world.cluster.objections = slow  # type: ignore[method-assign]
    fault = Fault()
    fault.plan = lambda *_: CUTTING  # type: ignore[method-assign]
    with pytest.raises(Stopped) as ended:
        await world(fault)
    assert ended.value.code == INTERRUPTED
    assert (fault.did, world.folders, world.cluster.held) == ([], [], "")


@pytest.mark.parametrize(("at", "code"), [("refuse", REFUSED), ("inject", TOOL_FAILED), ("hold", TOOL_FAILED)])
async def test_refused_means_that_nothing_was_changed(world: World, at: str, code: int) -> None:
    """A permission that is taken away while a fault is on is no refusal of the run."""
    fault = Fault(**{at: raising(Refused("this account may not exec into pods."))})
    result = await world(fault)
    assert result.exit_code == code
    assert ("revert" in fault.did) is (at != "refuse")
    assert "may not exec" in result.trouble


async def test_a_later_fault_that_is_refused_does_not_hide_the_earlier_one(world: World) -> None:
    refused = Fault(refuse=raising(Refused("the pod is being deleted already.")))
    assert (await world(Fault(), refused)).exit_code == TOOL_FAILED


async def test_after_a_fault_that_could_not_be_healed_nothing_more_is_broken(world: World) -> None:
    fault, never = Fault(revert=raising(ChaosError("the API server does not answer."))), Fault()
    result = await world(fault, never)
    assert result.exit_code == NOT_RECOVERED
    assert never.did == []
    assert "could not be taken back: the API server does not answer. Run: raft-chaos heal --all" in result.trouble
    assert result.record.notes == (result.trouble,)
    assert left_open(world) == (STEP,)


async def test_nodes_that_acknowledge_nothing_are_not_well_and_nothing_more_is_broken(world: World) -> None:
    world.silent = ["n2", "n3"]
    fault, never = Fault(), Fault()
    result = await world(fault, never)
    assert (result.exit_code, fault.did, never.did) == (NOT_RECOVERED, ALL, [])
    assert result.trouble == (
        "The cluster was whole after break something, as its nodes say, and n2, n3 acknowledged no write in 1 s: see "
        "raft-chaos status."
    )
    assert left_open(world) == ()


async def test_lines_that_cannot_be_printed_end_no_healing(world: World) -> None:
    def unprintable(text: str) -> None:
        raise UnicodeEncodeError("ascii", text, 0, 1, "ordinal not in range(128)")

    fault = Fault(revert=raising(OSError("connection lost"), 2), hold=raising(RuntimeError("a bug")))
    result = await world(fault, say=unprintable)
    assert result.exit_code == TOOL_FAILED
    assert fault.did[-3:] == ["revert", "revert", "prove_healed"]
    assert left_open(world) == ()


async def test_a_recording_that_does_not_end_well_costs_no_folder(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(_: Recording) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Recording, "stop", breaks)
    result = await world(Fault())
    assert "Recording did not end well: RuntimeError: a bug" in result.record.notes
    assert (result.folder / "run.json").exists()


async def test_a_lock_that_cannot_be_let_go_costs_no_folder(world: World) -> None:
    async def breaks() -> None:
        raise KeyError("spec")

    world.cluster.unlock = breaks  # type: ignore[method-assign]
    assert (await world(Fault())).exit_code == PASSED


# -- Taking back ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["revert", "prove_healed"])
@pytest.mark.parametrize("error", [ChaosError("503"), OSError("connection lost"), TimeoutError()])
async def test_healing_that_fails_is_tried_again(world: World, part: str, error: Exception) -> None:
    fault = Fault(**{part: raising(error, 2)})
    assert (await world(fault)).exit_code == PASSED
    assert fault.did.count(part) == 3
    assert sum("healing is tried again" in line for line in world.said) == 1
    assert left_open(world) == ()


async def test_a_try_that_hangs_is_given_up_and_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeback, "TRY_SECONDS", 0.05)
    tries: list[int] = []

    async def hangs(_: Scene) -> None:
        tries.append(1)
        await asyncio.sleep(0 if len(tries) > 1 else 60)

    assert (await world(Fault(revert=hangs))).exit_code == PASSED
    assert len(tries) == 2


async def test_what_arrives_only_after_the_heal_is_cleared_and_the_proof_made_again(world: World) -> None:
    """A request of an act that was broken off may be done after everything was taken back."""
    fault = Fault()
    other = UndoStep("heal_link", {"node": "n3", "peer": "n1", "direction": "both"})

    async def late(_: Scene) -> None:
        world.cluster.left = [STEP, other]

    async def proof(_: Scene) -> None:
        if STEP in world.cluster.left:
            raise NotRecovered("n1 to n2 still cannot connect.")

    fault.parts = {"revert": late, "prove_healed": proof}
    assert (await world(fault)).exit_code == PASSED
    assert world.cluster.undone == [STEP]
    assert fault.did[-2:] == ["prove_healed", "prove_healed"]


async def test_what_does_not_come_back_is_2_and_stays_in_the_journal(world: World) -> None:
    fault = Fault(prove_healed=raising(NotRecovered("n1 did not come back.")))
    result = await world(fault)
    assert result.exit_code == NOT_RECOVERED
    assert fault.did.count("prove_healed") == 1
    assert left_open(world) == (STEP,)


async def test_a_last_look_that_fails_once_is_made_again(world: World) -> None:
    fault, looks = Fault(), []
    real = world.cluster.leftovers

    async def leftovers() -> object:
        if "prove_healed" in fault.did:
            looks.append(1)
            if len(looks) == 1:
                raise ChaosError("the API server does not answer.")
        return await real()

    world.cluster.leftovers = leftovers  # type: ignore[method-assign,assignment]
    assert (await world(fault)).exit_code == PASSED
    assert len(looks) == 2


async def test_a_run_whose_switch_does_not_watch_does_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def arm(_: Charge) -> Switch:
        raise Refused("No switch; nothing was changed.")

    monkeypatch.setattr(world.cluster, "arm", arm)
    fault = Fault()
    result = await world(fault)
    assert (result.exit_code, result.trouble, fault.did) == (REFUSED, "No switch; nothing was changed.", [])


@pytest.mark.parametrize("idle", [True, False])
async def test_writes_are_counted_anew_where_arming_the_switch_took_long(
    world: World, monkeypatch: pytest.MonkeyPatch, idle: bool
) -> None:
    """A pod that starts may take the machine from the clients: nothing is broken where nothing could be told."""
    armed: list[Charge] = []

    async def arm(charge: Charge) -> Switch:
        await asyncio.sleep(2 * BASELINE_AGE_US_MAX / 1e6)
        armed.append(charge)
        return NoSwitch()

    async def baseline(_: Recording, __: float) -> float:
        if armed and idle:
            raise NotEffective("Only 0.5 writes per second were acknowledged.")
        return 100.0

    monkeypatch.setattr(world.cluster, "arm", arm)
    monkeypatch.setattr(Recording, "baseline", baseline)
    fault = Fault()
    result = await world(fault)
    assert (result.exit_code, fault.did) == ((NOT_EFFECTIVE, []) if idle else (PASSED, ALL))
    assert any("writes are counted once more" in said for said in world.said)
    assert ("100 acknowledged writes per second now" in world.said) == (not idle)


@pytest.mark.parametrize("heals", [True, False])
async def test_a_switch_is_let_go_only_where_all_is_taken_back(
    world: World, monkeypatch: pytest.MonkeyPatch, heals: bool
) -> None:
    did: list[str] = []

    class Watching:
        async def disarm(self) -> None:
            did.append("disarm")

        async def leave(self) -> None:
            did.append("leave")

    async def arm(charge: Charge) -> Switch:
        did.append(f"arm for {charge.journal.name}")
        return Watching()

    async def inject(_: Scene) -> None:
        did.append("inject")

    monkeypatch.setattr(world.cluster, "arm", arm)
    parts = {} if heals else {"revert": raising(OSError("no"))}
    await world(Fault(inject=inject, **parts))
    assert did == ["arm for undo.json", "inject", "disarm" if heals else "leave"]
