"""All that the driver has to do with snapshots: taken, sent, received, put in the place of the state.

Why it exists: the four know each other in a few places only, and those are here: what is restored is not walked, what
is received is not written over, and a log keeps what a follower is about to need. It must not do any of them itself.
"""

from collections.abc import Callable

from node.raft.core import Raft
from node.raft.events import Event
from node.raft.messages import Message, SnapshotPiece, SnapshotPieceReply
from node.raft.types import Base, Member
from node.runtime.deadlines import earliest
from node.runtime.ports import SnapshotView, StateMachine, TraceSink
from node.runtime.snapshot_ports import Snapshots
from node.runtime.snapshot_receiving import Restoring, SnapshotReceiving
from node.runtime.snapshot_sending import SnapshotSending
from node.runtime.snapshot_taking import Ended, SnapshotSettings, SnapshotTaking

TIDY_WORK_PER_TURN_MAX = 500
"""Units of work (see `Job`) in one turn that has nothing else to do for the state machine."""


class Snapshotting:
    """`send`: the links'."""

    def __init__(
        self,
        core: Raft,
        machine: StateMachine,
        snapshots: Snapshots,
        send: Callable[[str, Message], bool],
        trace: TraceSink,
        wake: Callable[[], None],
        settings: SnapshotSettings,
    ) -> None:
        self._core = core
        self._machine = machine
        self._snapshots = snapshots
        self._wake = wake
        self._idle = False
        """Whether the last `run` found nothing to do, and nothing was asked for since."""
        self.sending = SnapshotSending(core, snapshots, send, trace, settings.piece_bytes)
        self._taking = SnapshotTaking(
            core, machine, snapshots, trace, self._stir, settings, lambda: self.sending.needed_index
        )
        self._receiving = SnapshotReceiving(core, snapshots, send, self._stir, self._taking.abort)
        self._restoring = Restoring(machine, snapshots, self._stir)
        self._untidy = False
        """Whether there was more to let go than one slice could."""
        self._tidied_at = 0
        """What was applied when that was last looked at."""

    @property
    def has_work(self) -> bool:
        """Whether `run` has something to do at once."""
        return self._taking.has_work or self._restoring.has_work or self._untidy

    @property
    def deadline(self) -> int | None:
        """When `run` is wanted at the latest; None: no need."""
        return earliest(self.sending.deadline, self._taking.deadline)

    def arrived(self, sender: Member, message: SnapshotPiece | SnapshotPieceReply) -> None:
        """Of a member, or of a leader that this node does not know as one yet."""
        self._idle = False
        if isinstance(message, SnapshotPiece):
            self._receiving.piece(sender, message)
        else:
            self.sending.answered(sender, message)

    def restore(self, base: Base) -> None:
        """The core's effect; nothing is being applied any more."""
        self._idle = False
        self._taking.abort()
        self._restoring.begin(base)

    def run(self, now: int, *, at_rest: bool) -> list[Event]:
        """One slice of each. `at_rest`: the state machine holds all that the core calls applied, and no part of what
        comes after it. Returns what the core is to be told. Called in every turn, so most of them must cost nothing."""
        core = self._core
        if self._idle and at_rest and core.applied == self._tidied_at and not core.followers_before_base:
            return []
        events = self._run(now, at_rest)
        busy = self._taking.waits(now) or self._receiving.under_way or self._receiving.has_events
        self._idle = not (busy or self._restoring.under_way or self.sending.under_way or self._untidy)
        return events

    def _run(self, now: int, at_rest: bool) -> list[Event]:
        self.sending.run(now)
        events = self._receiving.take_events()
        self._receiving.tidy()
        if self._restoring.under_way:
            return events + self._restoring.run()
        walked = self._taking.under_way
        events += self._taking.run(now, may_begin=at_rest and not self._receiving.under_way)
        ended = walked and not self._taking.under_way  # what it still had to see may go now
        if at_rest and (self._untidy or ended or self._core.applied != self._tidied_at):
            self._tidied_at = self._core.applied
            self._untidy = not self._machine.tidy(TIDY_WORK_PER_TURN_MAX)
        return events

    def want(self, done: Ended) -> Callable[[], None]:
        """A snapshot of what is applied now, or more: see `SnapshotTaking.want`. Call what is returned once it is not
        wanted any more."""
        self._idle = False
        self._taking.want(self._core.applied, done)
        return self._taking.forget

    def _stir(self) -> None:
        """Something ended beside the loop, or a client is gone: look in the next turn."""
        self._idle = False
        self._wake()

    def view(self, now: int) -> SnapshotView:
        """What there is and what is done, for people."""
        latest = self._snapshots.latest
        ended_us, took_us = self._taking.last or (None, None)
        return SnapshotView(
            index=latest.base.index if latest is not None else 0,
            size_bytes=latest.size_bytes if latest is not None else 0,
            taking=self._taking.under_way,
            receiving=self._receiving.under_way,
            restoring=self._restoring.under_way,
            sending=self.sending.view(),
            taken_ago_us=None if ended_us is None else now - ended_us,
            took_us=took_us,
        )

    def stop(self) -> None:
        """The node ends."""
        self._taking.abort()
        self._receiving.stop()
        self._restoring.stop()
