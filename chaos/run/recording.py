"""All that is recorded while a run goes on: samples, events and clients, begun and ended together.

Why it exists: what was not recorded cannot be judged; recording begins before the first fault and ends after the last
recovery, and even a failed run ends with evidence. It must not judge.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence

import aiohttp
import msgspec

from chaos.checks.recovery import WRITES_PER_SECOND_MIN
from chaos.checks.verdict import Evidence
from chaos.clock import Clock
from chaos.errors import ChaosError, NotEffective
from chaos.evidence.disk import Disk
from chaos.evidence.folder import RunFolder
from chaos.evidence.live import Live
from chaos.evidence.record import RunRecord
from chaos.model import Event, FaultSpan, LogLine, Lost, Pause, View
from chaos.observe.pauses import Pauses
from chaos.observe.sampler import Sampler
from chaos.observe.traces import Traces
from chaos.situation import Situation
from chaos.targets.port import Target
from chaos.workload.history import Op
from chaos.workload.port import MakeWorkload
from chaos.workload.registers import Registers

WARM_UP_SECONDS = 1.0
BASELINE_TRIES = 8
"""Of two seconds each: a machine that is busy for a moment is given time, a cluster that is well needs one."""
FULL_POLL_SECONDS = 0.5
LOG_TRIES_MAX = 5
LOG_PAUSE_SECONDS = 1.0
"""Between tries to read a node's log for the last time."""


class Recording:
    """Make it in a running loop, `start` it, and `stop` it whatever happened."""

    def __init__(
        self,
        target: Target,
        session: aiohttp.ClientSession,
        clock: Clock,
        rng: random.Random,
        run: str,
        workload: MakeWorkload = Registers,
    ) -> None:
        self.pauses = Pauses(clock)
        self.traces = Traces(target, session, clock)
        self.sampler = Sampler(target, session, clock, learn=self.traces.offsets.add)
        self.workload = workload(target, session, clock, rng, run)
        self.notes: list[str] = []
        self._target, self._session, self._clock = target, session, clock
        self._logs: dict[str, tuple[LogLine, ...]] = {}
        self._final: Mapping[str, int] = {}
        self._live: Live | None = None
        self.disk = Disk()
        self.on_disk: frozenset[str] = frozenset()
        """Files of the run that hold all of theirs, known after `stop`."""

    def keep(self, folder: RunFolder, describe: Callable[[], RunRecord], say: Callable[[str], None]) -> None:
        """From now on put all of it on the disk as it comes."""
        self._live = Live(folder, self, describe, say, self.disk)
        self._live.start()

    def start(self) -> None:
        """Begin to record."""
        self.pauses.start()
        self.sampler.start()
        self.traces.start()
        self.workload.start()

    async def baseline(self, seconds: float) -> float:
        """Acknowledged writes per second before any fault; raises NotEffective where they are too few."""
        rate = 0.0
        await asyncio.sleep(WARM_UP_SECONDS)
        for _ in range(BASELINE_TRIES):
            await asyncio.sleep(seconds)
            rate = self.workload.acknowledged_per_second(seconds)
            if rate >= WRITES_PER_SECOND_MIN:
                return rate
        why = next((op.error for op in reversed(self.workload.history) if op.outcome != "ok" and op.error), "")
        raise NotEffective(
            f"Only {rate:.1f} writes per second were acknowledged before any fault, and {WRITES_PER_SECOND_MIN:.0f} "
            f"are needed to tell anything{f' (the last error: {why.rstrip(chr(46))})' if why else ''}: "
            "nothing was broken."
        )

    async def until_full(self) -> str:
        """Return only when the history is full: why, as a sentence."""
        while not self.workload.full:  # noqa: ASYNC110 - the workload has no event for it
            await asyncio.sleep(FULL_POLL_SECONDS)
        return self.workload.full

    async def finish(self, situation: Situation) -> None:
        """End the clients, then read every key and every log for the last time."""
        await self.workload.stop()
        if situation.leader:
            self._final = await self.workload.final_reads(self._target.url(situation.leader))
        else:
            self.notes.append("Nobody led in the end, so what was written could not be read again.")
        for node in self._target.nodes if "log" not in self._target.system.lacks else ():
            try:
                self._logs[node] = await self._log_of(node)
            except (ChaosError, OSError, aiohttp.ClientError) as error:
                self.notes.append(f"The log of {node} could not be read: {error}")

    async def _log_of(self, node: str) -> tuple[LogLine, ...]:
        """A connection that breaks once must not leave a verdict open."""
        for _ in range(LOG_TRIES_MAX - 1):
            try:
                return await self._target.system.log(self._session, self._target.url(node))
            except (ChaosError, OSError, aiohttp.ClientError):
                await asyncio.sleep(LOG_PAUSE_SECONDS)
        return await self._target.system.log(self._session, self._target.url(node))

    # --- what is put on the disk as it comes (evidence/live.py) ------------------------------------------------------

    @property
    def history(self) -> Sequence[Op]:
        return self.workload.history

    @property
    def views(self) -> Sequence[View]:
        return self.sampler.views

    @property
    def views_dropped(self) -> int:
        return self.sampler.dropped

    @property
    def events(self) -> Sequence[Event]:
        return self.traces.events

    @property
    def arrived_us(self) -> Sequence[int]:
        return self.traces.arrived_us

    @property
    def lost(self) -> Sequence[Lost]:
        return self.traces.gaps

    @property
    def paused(self) -> Sequence[Pause]:
        return self.pauses.found

    # -----------------------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """End everything; what was recorded stays."""
        await self.workload.stop()
        await self.traces.stop()
        await self.sampler.stop()
        await self.pauses.stop()
        if self.traces.lost:
            self.notes.append(f"{self.traces.lost} events of the nodes were lost; elections may be missing.")
        stepped = [node for node in self._target.nodes if self.traces.offsets.steps(node)]
        if stepped:
            self.notes.append(f"The clock of {', '.join(stepped)} was set: events of about then are less sure in time.")
        stood_still = sum(pause.to_us - pause.from_us for pause in self.pauses.found) / 1e6
        if stood_still:
            self.notes.append(
                f"This tool itself stood still for {stood_still:.1f} s: what that covers decides nothing."
            )
        if self.workload.full:
            self.notes.append(self.workload.full)
        if self._live is not None:
            self.on_disk = await self._live.stop()

    def evidence(
        self,
        voters: Sequence[str],
        faults: Sequence[FaultSpan],
        recovered_us: Sequence[int | None],
        recovery_limit_us: int,
        began_faults_us: int,
    ) -> Evidence:
        """All of it, for the checks. Call it after `stop`."""
        return msgspec.structs.replace(
            self.outline(voters, faults, recovered_us, recovery_limit_us, began_faults_us or self._clock.now_us()),
            history=self.workload.history,
            views=tuple(self.sampler.views),
            events=tuple(self.traces.events),
            logs=dict(self._logs),
            final=dict(self._final),
            final_versions=dict(self.workload.versions),
            past=dict(self.workload.past),
            ended_us=self._clock.now_us(),
            uncertainty_us=dict(self.traces.uncertainty_us),
            lost=tuple(self.traces.gaps),
            views_dropped=self.sampler.dropped,
            pauses=tuple(self.pauses.found),
        )

    def outline(
        self,
        voters: Sequence[str],
        faults: Sequence[FaultSpan],
        recovered_us: Sequence[int | None],
        recovery_limit_us: int,
        began_faults_us: int,
    ) -> Evidence:
        """The evidence without what is put on the disk as it comes, and without an end."""
        return Evidence(
            voters=tuple(voters),
            history=(),
            views=(),
            events=(),
            logs={},
            final={},
            faults=tuple(faults),
            recovered_us=tuple(recovered_us),
            recovery_limit_us=recovery_limit_us,
            began_faults_us=began_faults_us,
            ended_us=0,
            workload=self.workload.name,
            system=self._target.system.name,
            lacks=tuple(self._target.system.lacks),
        )
