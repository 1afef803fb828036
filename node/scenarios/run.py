"""One scenario from an empty folder to its verdict, whatever happens on the way.

Why it exists: a verdict is given exactly once, faults are healed and processes ended on every way out. The folder with
the nodes' logs and disks is removed when all was as predicted, and kept and named otherwise. It must not explain Raft.
"""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import msgspec

from node.scenarios import faults
from node.scenarios.catalogue import Scenario
from node.scenarios.cluster import Cluster, watching
from node.scenarios.narrator import Narrator
from node.scenarios.nodes import Nodes, Start
from node.scenarios.outcome import AS_PREDICTED, NOT_AS_PREDICTED, TOOL_FAILURE, NotAsPredicted, Timing, ToolFailure
from node.scenarios.ranks import Ranks
from node.scenarios.story import Story
from node.supervisor.layout import SupervisorError
from node.supervisor.watch import UNREACHABLE

NODES = 5
SCENARIO_SECONDS_MAX = 180.0
"""Beyond everything that a scenario waits for, at normal speed; multiplied where the speed is lower."""
HEAL_SECONDS_MAX = 3.0


class Setting(msgspec.Struct, frozen=True):
    """What scenarios need of the outside. `now_us`: the wall clock."""

    timing: Timing
    start: Start
    now_us: Callable[[], int]


async def play_all(scenarios: Sequence[Scenario], setting: Setting, narrator: Narrator) -> int:
    """Play each on a cluster of its own; the worst exit code."""
    codes: dict[str, int] = {}
    for number, scenario in enumerate(scenarios, 1):
        count = f" ({number} of {len(scenarios)})" if len(scenarios) > 1 else ""
        narrator.begin(scenario.name, scenario.title, scenario.summary, count)
        codes[scenario.name] = await _play(scenario, setting, narrator)
    if len(codes) > 1:
        wrong = [name for name, code in codes.items() if code != AS_PREDICTED]
        text = f"{len(codes) - len(wrong)} of {len(codes)} scenarios went as predicted"
        narrator.summary(f"{text}; not so: {', '.join(wrong)}." if wrong else f"{text}.", codes=codes)
    return max(codes.values(), default=AS_PREDICTED)


async def _play(scenario: Scenario, setting: Setting, narrator: Narrator) -> int:
    loop = asyncio.get_running_loop()
    began = loop.time()
    timing = setting.timing.stretched(scenario.stretch)
    seconds_max = SCENARIO_SECONDS_MAX * max(1.0, timing.election_high_ms / 1000)
    folder = Path(tempfile.mkdtemp(prefix="raft-node-scenario-"))
    held, predicted, sentence, code = 0, "", "", TOOL_FAILURE
    extra: tuple[str, ...] = (f"The nodes' logs and disks are kept in {folder}",)
    try:
        nodes = _nodes(scenario, folder, timing, setting.start)
        async with _ended(nodes), watching(nodes, timing) as cluster, _healed(cluster):
            story = Story(cluster, narrator, setting.now_us)
            try:
                async with asyncio.timeout(seconds_max):
                    await scenario.play(story)
            finally:
                held, predicted = story.held, story.predicted
        code = AS_PREDICTED
        shutil.rmtree(folder, ignore_errors=True)
    except NotAsPredicted as wrong:
        sentence, code = str(wrong), NOT_AS_PREDICTED
    except ToolFailure as failure:
        sentence, extra = str(failure), (*failure.extra, *extra)
    except SupervisorError as failure:
        sentence = str(failure)
    except TimeoutError:
        sentence = f"The scenario was not over after {seconds_max:.0f} s."
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # interrupted, or nobody reads any more
        raise
    if (me := asyncio.current_task()) is not None and me.cancelling():
        # What failed on the way out took the place of the interruption: whoever asked for the end gets it all the same.
        shutil.rmtree(folder, ignore_errors=True)
        raise asyncio.CancelledError
    seconds = loop.time() - began
    if code == AS_PREDICTED:
        narrator.verdict("as predicted", f"all {held} predictions held", scenario.lesson, seconds, held=held)
        return code
    narrator.say("not-as-predicted" if code == NOT_AS_PREDICTED else "trouble", sentence)
    for line in extra:
        narrator.say("detail", line)
    if code == NOT_AS_PREDICTED:
        what = f"the last prediction did not hold, after {held} that did" if predicted else "it did not get that far"
        narrator.verdict("not as predicted", what, "", seconds, held=held, predicted=predicted, seen=sentence)
    else:
        narrator.verdict("not played", "this says nothing about Raft", "", seconds, held=held, reason=sentence)
    return code


def _nodes(scenario: Scenario, folder: Path, timing: Timing, start: Start) -> Nodes:
    if scenario.nodes == "ranks":
        return Ranks(folder, NODES, timing, start)
    return Nodes(folder, NODES, timing, start, by_registry=scenario.nodes == "registered")


@contextlib.asynccontextmanager
async def _ended(nodes: Nodes) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await nodes.end()


@contextlib.asynccontextmanager
async def _healed(cluster: Cluster) -> AsyncIterator[None]:
    """However the scenario ends, no node is left with a fault."""
    try:
        yield
    finally:
        with contextlib.suppress(ToolFailure, NotAsPredicted, TimeoutError, *UNREACHABLE):
            async with asyncio.timeout(HEAL_SECONDS_MAX):
                await faults.recover(cluster)
