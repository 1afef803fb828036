"""The order of a run, the same for every fault.

    lock, guard, record a baseline;
    for each fault: inject, prove, hold, and always revert and prove that it is gone; wait until the cluster is whole;
    read everything for the last time, judge, write the folder

Why it exists: see `chaos.run`. What breaks off the middle (a signal, an error, a lost lock) ends the work and nothing
else: healing, judging and writing follow in any case. It must not print.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence

import aiohttp

from chaos import guard
from chaos.checks.verdict import Evidence
from chaos.clock import Clock
from chaos.errors import ChaosError, NotEffective, NotRecovered, Refused
from chaos.evidence.folder import RunFolder
from chaos.evidence.record import RunRecord
from chaos.faults.inside import spans_of
from chaos.faults.port import Fault, Scene
from chaos.journal import Header, UndoJournal
from chaos.model import FaultSpan
from chaos.observe.nodeapi import new_session, not_let_in
from chaos.run.armed import armed
from chaos.run.lease import locked
from chaos.run.options import Options, RunResult
from chaos.run.outcome import record_of, write_down
from chaos.run.recording import Recording
from chaos.run.recovery import until_whole
from chaos.run.stop import Stop, Stopped, handling_signals, shielded
from chaos.run.takeback import INSIST_SECONDS_MAX, take_back
from chaos.situation import Situation, situate, unhealthy
from chaos.switch.port import Charge
from chaos.targets.port import Target

__all__ = ["Options", "RunResult", "look", "run"]

BASELINE_AGE_US_MAX = 500_000
"""Making the switch may take a minute on Kubernetes, and a machine that is busy with that may have no time for clients:
after so long it is measured anew, so that nothing is broken where the run would prove nothing."""


async def look(target: Target, session: aiohttp.ClientSession, clock: Clock) -> Situation:
    """Ask every node once. Raises ChaosError where they answer, and do not let this tool in."""
    views = await asyncio.gather(*(target.system.view(session, node, target.url(node), clock) for node in target.nodes))
    if not any(views):
        for node in target.nodes:
            if why := await not_let_in(session, target.url(node)):
                raise ChaosError(
                    f"{node} does not let this tool in: {why.rstrip('.')}; set RAFT_TOKEN_FILE or RAFT_TOKEN."
                )
    return situate(target.nodes, {node: view for node, view in zip(target.nodes, views, strict=True) if view})


async def run(target: Target, faults: Sequence[Fault], options: Options, say: Callable[[str], None]) -> RunResult:
    """Break the cluster and tell what happened. `say`: a line of progress.

    Raises ChaosError, nothing changed and nothing written, where a guard or the lock says no; all else is a result.
    """

    def tell(text: str) -> None:
        with contextlib.suppress(Exception):  # what cannot be printed must not end a healing
            say(text)

    stop = Stop(tell)
    work = _Run(target, faults, options, tell, Clock(), stop)
    with handling_signals(stop):
        return await shielded(work.all_of_it(), stop)


class _Run:
    """What one run knows while it goes on."""

    def __init__(
        self,
        target: Target,
        faults: Sequence[Fault],
        options: Options,
        say: Callable[[str], None],
        clock: Clock,
        stop: Stop,
    ) -> None:
        self.target, self.faults, self.options = target, faults, options
        self.say, self.clock, self.stop = say, clock, stop
        self.rng = random.Random(options.seed)
        self.name = f"{options.name}-{clock.began_wall_us:x}"
        self.spans: list[FaultSpan] = []
        self.recovered_us: list[int | None] = []
        self.began_faults_us = 0
        self.trouble: ChaosError | None = None
        self.unhealed = ""

    async def all_of_it(self) -> RunResult:
        async with new_session() as session, locked(self.target, self.name, self.stop):
            before = await self.stop.while_working(self._guard(session))
            folder = RunFolder(self.options.out, self.options.name, self.clock.began_wall_us)
            header = Header(
                run=self.name, target=self.target.title, kind=self.target.kind, cluster_id=before.cluster_id
            )
            journal = UndoJournal(folder.undo_path, header)
            recording = Recording(self.target, session, self.clock, self.rng, self.name)
            recording.keep(folder, lambda: self._record(recording.outline(*self._about(before))), self.say)
            try:
                scene = self._scene(session, journal, recording)
                async with armed(
                    self.target, self._charge(journal, before), self.options.switch, self.stop
                ) as until_armed:
                    after = await self._record_and_break(scene, journal, recording, before, until_armed)
                await self._finish(recording, after)
            finally:
                await self._stop(recording)
                journal.close()
        return await self._write(folder, recording, before)

    async def _guard(self, session: aiohttp.ClientSession) -> Situation:
        await guard.refuse_leftovers(self.target)
        before = await look(self.target, session, self.clock)
        guard.refuse_leaderless(before, self.target)
        plan = self.faults[0].plan(before, self.target)
        guard.refuse_harm(plan, before, self.target, self.options.allow_quorum_loss)
        await guard.refuse_objections(plan, self.target)
        return before

    def _scene(self, session: aiohttp.ClientSession, journal: UndoJournal, recording: Recording) -> Scene:
        return Scene(
            run=self.name,
            target=self.target,
            session=session,
            clock=self.clock,
            views=recording.sampler,
            journal=journal,
            rng=self.rng,
            say=self.say,
            duration_s=self.options.duration_s,
            limit_s=self.options.recovery_limit_s,
            paused_s=lambda: recording.pauses.seconds_since(0),
            spans=self.spans,
            allow_quorum_loss=self.options.allow_quorum_loss,
        )

    async def _record_and_break(
        self,
        scene: Scene,
        journal: UndoJournal,
        recording: Recording,
        before: Situation,
        until_armed: Callable[[], Awaitable[None]],
    ) -> Situation:
        """All faults, one after the other; returns how the cluster stands afterwards."""
        full = asyncio.create_task(self._stop_when_full(recording), name="watch the history")
        after = before
        try:
            recording.start()
            self.say(f"clients write and read through every node for {self.options.baseline_s:g} s before the fault")
            rate = await self.stop.while_working(recording.baseline(self.options.baseline_s))
            self.say(f"{rate:.0f} acknowledged writes per second, {before.leader} leads term {before.term}")
            measured_us = self.clock.now_us()
            await until_armed()
            if (waited_us := self.clock.now_us() - measured_us) > BASELINE_AGE_US_MAX:
                self.say(f"{waited_us / 1e6:.1f} s later the dead man's switch is armed: writes are counted once more")
                rate = await self.stop.while_working(recording.baseline(self.options.baseline_s))
                self.say(f"{rate:.0f} acknowledged writes per second now")
            self.began_faults_us = self.clock.now_us()
            for number, fault in enumerate(self.faults):
                if number:
                    await self.stop.while_working(asyncio.sleep(self.options.every_s))
                await self.stop.while_working(self._guard_again(fault, scene, recording, first=not number))
                after = await self._one(fault, scene, journal, recording)
            await self.stop.while_working(asyncio.sleep(self.options.after_s))
        except Refused as error:  # it says that nothing was changed
            done = any(span.injected_us is not None for span in self.spans)
            self.trouble = ChaosError(str(error)) if done else error
        except ChaosError as error:
            self.trouble = error
        except Exception as error:  # whatever it is, what was recorded must be judged and written
            self.trouble = ChaosError(f"The run broke off: {type(error).__name__}: {error}")
        finally:
            full.cancel()
            await asyncio.gather(full, return_exceptions=True)
        return situate(self.target.nodes, scene.fresh()) if self.trouble else after

    def _charge(self, journal: UndoJournal, before: Situation) -> Charge:
        """What the switch is to watch over. The bound is generous: proofs, recoveries and repetitions take time."""
        told, plans = self.options, [fault.plan(before, self.target) for fault in self.faults]
        beside_s = 4 * told.duration_s + told.every_s + 4 * told.recovery_limit_s + 5 * INSIST_SECONDS_MAX
        return Charge(
            run=self.name,
            journal=journal.path,
            seconds_max=told.baseline_s + sum(4 * plan.lasts_s + beside_s for plan in plans),
            cuts=any(plan.cut is not None for plan in plans),
            open_steps=lambda: journal.open_steps,
            ended=self.stop.request,
        )

    async def _until_whole(self, scene: Scene, recording: Recording) -> tuple[int | None, Situation]:
        """See `until_whole`. What this tool stood still meanwhile is given back: nobody watched then."""
        left_s = self.options.recovery_limit_s
        while True:
            began_us = self.clock.now_us()
            whole_us, now = await until_whole(scene, left_s)
            left_s = recording.pauses.seconds_since(began_us)
            if whole_us is not None or not left_s:
                return whole_us, now

    async def _guard_again(self, fault: Fault, scene: Scene, recording: Recording, first: bool) -> None:
        """A node may have fallen by itself since anybody looked: in the baseline, or in the pause between faults."""
        whole_us, now = await self._until_whole(scene, recording)
        if whole_us is not None:
            now = await look(self.target, scene.session, self.clock)  # samples may be older than a fall
        elif not first:
            raise NotRecovered(
                f"{guard.capital(self.target.title)} was whole after the last fault and is not before the next, "
                f"which was not done: {unhealthy(now) or 'a voter has not caught up'}; see raft-chaos status."
            )
        guard.refuse_leaderless(now, self.target)
        guard.refuse_harm(fault.plan(now, self.target), now, self.target, self.options.allow_quorum_loss)

    async def _one(self, fault: Fault, scene: Scene, journal: UndoJournal, recording: Recording) -> Situation:
        """Inject, prove, hold; in any case revert, prove, wait until whole. Raises what broke it off."""
        spans = spans_of(fault)
        self.spans += spans
        self.recovered_us += [None] * len(spans)
        broke_off: Exception | None = None
        try:
            await self.stop.while_working(self._break(fault, scene))
        except Exception as error:
            broke_off = error
            if fault.span.injected_us is not None and not isinstance(error, Stopped):
                self.say(f"{str(error).rstrip('.')}")
        if fault.span.injected_us is not None:
            if why := await take_back(fault, scene, journal):
                self.unhealed = f"{why}. Run: {self.options.heal_command}"
                self.say(self.unhealed)
            whole_us, after = await self._until_whole(scene, recording)
            self.recovered_us[-len(spans) :] = [whole_us] * len(spans)
            if self.recovered_us[-1] is None:
                self.say(f"not whole again after {self.options.recovery_limit_s:g} s")
            else:
                self.say(f"whole again: {after.leader} leads term {after.term}, every voter has caught up")
        if broke_off is not None:
            raise broke_off
        if self.unhealed:
            raise NotRecovered(self.unhealed)
        if self.recovered_us[-1] is None:
            raise NotRecovered(
                f"{guard.capital(self.target.title)} was not whole again {self.options.recovery_limit_s:g} s after "
                f"{fault.span.title}: see raft-chaos status."
            )
        asked = [node for node in self.target.nodes if node in after.voters]
        await self.stop.while_working(self._until_written(asked, self.recovered_us[-1], scene, recording))
        return after

    async def _until_written(self, asked: list[str], whole_us: int, scene: Scene, recording: Recording) -> None:
        """Nodes that say they are well and acknowledge nothing are not well."""
        limit_s = self.options.recovery_limit_s
        left_s, silent = limit_s, asked
        while silent and left_s:
            began_us = self.clock.now_us()
            silent = await recording.workload.until_written(silent, whole_us, left_s)
            left_s = recording.pauses.seconds_since(began_us)
        if silent and not recording.workload.full:
            whole = f"{guard.capital(self.target.title)} was whole after {self.spans[-1].title}"
            if fallen := unhealthy(await look(self.target, scene.session, self.clock)):
                raise NotRecovered(f"{whole}, and is not any more: {fallen}; see raft-chaos status.")
            raise NotRecovered(
                f"{whole}, as its nodes say, and {', '.join(silent)} acknowledged no write in {limit_s:g} s: "
                "see raft-chaos status."
            )

    async def _break(self, fault: Fault, scene: Scene) -> None:
        await fault.inject(scene)
        await fault.prove(scene)
        await fault.hold(scene)

    async def _stop_when_full(self, recording: Recording) -> None:
        self.stop.request(await recording.until_full(), NotEffective.code)

    async def _finish(self, recording: Recording, after: Situation) -> None:
        self.say("reading every key and every node's log for the last time")
        try:
            await recording.finish(after)
        except Exception as error:
            recording.notes.append(f"The last reading broke off: {type(error).__name__}: {error}")

    async def _stop(self, recording: Recording) -> None:
        try:
            await recording.stop()
        except Exception as error:  # what was recorded until then must be written
            recording.notes.append(f"Recording did not end well: {type(error).__name__}: {error}")

    async def _write(self, folder: RunFolder, recording: Recording, before: Situation) -> RunResult:
        evidence = recording.evidence(*self._about(before))
        trouble = self.trouble or self.stop.reason
        record = self._record(evidence, recording.notes)
        try:
            record, failed = await write_down(
                recording.disk, folder, record, evidence, trouble, bool(self.unhealed), recording.on_disk
            )
        finally:
            recording.disk.end()
        return RunResult(record.exit_code, record, folder.path, self.unhealed or (str(trouble) if trouble else failed))

    def _about(self, before: Situation) -> tuple[Sequence[str], Sequence[FaultSpan], Sequence[int | None], int, int]:
        """What evidence says of the run besides what was recorded."""
        limit_us = int(self.options.recovery_limit_s * 1e6)
        return before.voters, self.spans, self.recovered_us, limit_us, self.began_faults_us

    def _record(self, evidence: Evidence, notes: Sequence[str] = ()) -> RunRecord:
        told = dict.fromkeys(text for text in (str(self.trouble or self.stop.reason or ""), self.unhealed) if text)
        return record_of(
            evidence,
            self.target,
            run=self.name,
            command_line=self.options.command_line,
            seed=self.options.seed,
            began_wall_us=self.clock.began_wall_us,
            interrupted=self.stop.interrupted,
            notes=(*told, *notes),
        )
