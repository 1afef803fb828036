"""A leader's snapshot on its way to this node's disk, and from there into the state machine (section 7).

Why it exists: the pieces are written one after the other, the whole is verified and made durable, then the core says
whether it is needed, and if so the state machine takes it over in slices. It must not judge: what is committed here,
and whether the log is replaced, the core decides.
"""

from collections import deque
from collections.abc import Callable
from functools import partial

from node.raft.core import Raft
from node.raft.errors import InvariantViolation
from node.raft.events import Applied, Event, SnapshotHeld
from node.raft.messages import PIECE_BYTES_MAX, PROBLEM_CHARS_MAX, Message, SnapshotPiece, SnapshotPieceReply
from node.raft.types import Base, Member, SnapshotInfo
from node.runtime.ports import StateMachine
from node.runtime.snapshot_ports import RestoreJob, SnapshotReceiver, Snapshots, UnreadableSnapshot

RESTORE_WORK_PER_TURN_MAX = 2_000
"""Units of work (see `Job`) in one turn of the loop: nothing is applied meanwhile."""

AHEAD_BYTES_MAX = 8 * PIECE_BYTES_MAX
"""Of a snapshot that is received: what is being written, and what waits for that (the sender's window)."""

RESTORE_BYTES_AHEAD = 1024 * 1024
"""Chunks that are read from the disk at a time, while those of the time before are loaded."""


class SnapshotReceiving:
    """One file at a time, from one member. `begins` is called before anything of one is written."""

    def __init__(
        self,
        core: Raft,
        snapshots: Snapshots,
        send: Callable[[str, Message], bool],
        wake: Callable[[], None],
        begins: Callable[[], None],
    ) -> None:
        self._core = core
        self._snapshots = snapshots
        self._send = send
        self._wake = wake
        self._begins = begins
        self._receiver: SnapshotReceiver | None = None
        self._info: SnapshotInfo | None = None
        self._writing = False
        self._ahead: deque[tuple[Member, SnapshotPiece]] = deque()
        """Pieces that follow, in order, and came while one before them was being written."""
        self._ahead_to = 0
        """From where on the next piece is wanted: after what is written and what waits."""
        self._ending = False
        self._held: list[Event] = []

    @property
    def under_way(self) -> bool:
        """Whether a file of another node is being written or verified."""
        return self._receiver is not None

    @property
    def has_events(self) -> bool:
        """Whether `take_events` has any."""
        return bool(self._held)

    def take_events(self) -> list[Event]:
        """What the core is to be told."""
        events, self._held = self._held, []
        return events

    def piece(self, sender: Member, message: SnapshotPiece) -> None:
        """It came in from `sender`, who leads, or did."""
        info = message.info
        if info.base.index <= self._core.commit:
            self._held.append(SnapshotHeld(sender, info.base))  # nothing of it is needed
            self._wake()
            return
        if info != self._info:
            if self._writing or self._ending or self._held:
                return  # of the one before, or of one that is whole already; the sender asks again
            self._begins()
            self._info, self._receiver = info, self._snapshots.receive(info)
            self._ahead.clear()
        receiver = self._receiver
        if receiver is None or self._ending:
            return
        if self._writing:
            self._keep(sender, message, receiver)
        elif message.data and message.offset == receiver.offset:
            self._write(sender, message, receiver)
        else:
            self._say(sender, info, receiver.offset)
            self._finish_if_whole(sender, info, receiver)

    def _keep(self, sender: Member, message: SnapshotPiece, receiver: SnapshotReceiver) -> None:
        """The sender has a window of pieces under way, and a disk may take its time: what follows waits its turn."""
        end = message.offset + len(message.data)
        if message.data and message.offset == self._ahead_to and end - receiver.offset <= AHEAD_BYTES_MAX:
            self._ahead.append((sender, message))
            self._ahead_to = end

    def _write(self, sender: Member, message: SnapshotPiece, receiver: SnapshotReceiver) -> None:
        self._writing = True
        self._ahead_to = max(self._ahead_to if self._ahead else 0, message.offset + len(message.data))
        receiver.write(message.offset, message.data, partial(self._written, sender, message.info, receiver))

    def tidy(self) -> None:
        """Let go of one that broke off, and whose entries came over the log since: as long as one is under way, this
        node takes no snapshot of its own."""
        needed = self._info is None or self._info.base.index > self._core.commit
        if not (needed or self._writing or self._ending):
            self.stop()

    def stop(self) -> None:
        """The node ends, or nobody needs the rest."""
        self._receiver = self._info = None
        self._ahead.clear()

    def _written(
        self, sender: Member, info: SnapshotInfo, receiver: SnapshotReceiver, offset: int, problem: str
    ) -> None:
        if self._receiver is not receiver:
            return
        self._writing = False
        self._say(sender, info, offset, problem)
        if problem:
            self._receiver = self._info = None
            self._ahead.clear()
        elif self._ahead:
            self._write(*self._ahead.popleft(), receiver)
        else:
            self._finish_if_whole(sender, info, receiver)

    def _finish_if_whole(self, sender: Member, info: SnapshotInfo, receiver: SnapshotReceiver) -> None:
        if receiver.offset == info.size_bytes:
            self._ending = True
            receiver.finish(partial(self._ended, sender, info, receiver))

    def _ended(
        self, sender: Member, info: SnapshotInfo, receiver: SnapshotReceiver, whole: SnapshotInfo | None, problem: str
    ) -> None:
        if self._receiver is not receiver:
            return
        self._ending = False
        self._receiver = self._info = None
        if whole is None:
            self._say(sender, info, 0, problem)
        else:
            self._held.append(SnapshotHeld(sender, whole.base))
            self._wake()

    def _say(self, to: Member, info: SnapshotInfo, offset: int, problem: str = "") -> None:
        problem = problem[:PROBLEM_CHARS_MAX]
        self._send(to.name, SnapshotPieceReply(info.base.index, info.crc, offset, problem, self._core.durable_term))


class Restoring:
    """The state machine takes over a snapshot that is durable here. Raises `UnreadableSnapshot` where it cannot."""

    def __init__(self, machine: StateMachine, snapshots: Snapshots, wake: Callable[[], None]) -> None:
        self._machine = machine
        self._snapshots = snapshots
        self._wake = wake
        self._job: RestoreJob | None = None
        self._info: SnapshotInfo | None = None
        self._position: int | None = 0
        self._reading = False
        self._read: list[bytes] = []
        """Chunks that come next."""
        self._loading = False

    @property
    def under_way(self) -> bool:
        """Whether the state machine is between two states."""
        return self._job is not None

    @property
    def has_work(self) -> bool:
        """Whether `run` has something to do at once."""
        return self._job is not None and (self._loading or not self._reading)

    def begin(self, base: Base) -> None:
        """Take the place of a restore that is not done."""
        info = self._snapshots.latest
        if info is None or info.base != base:
            raise InvariantViolation(f"a snapshot of {base.index} is to be restored, and the latest is {info}")
        self.stop()
        self._info, self._job, self._position = info, self._machine.begin_restore(), 0
        self._read_on(self._job, info)

    def run(self) -> list[Event]:
        """One slice; returns what the core is to be told."""
        job, info = self._job, self._info
        if job is None or info is None:
            return []
        try:
            if self._loading:
                self._loading = not job.run(RESTORE_WORK_PER_TURN_MAX)
            if self._loading or self._reading:
                return []
            if self._read:
                for chunk in self._read:
                    job.feed(chunk)
                self._read, self._loading = [], True
                self._read_on(job, info)
                return []
            job.finish()
        except ValueError as error:
            raise _unreadable(info, str(error)) from error
        self.stop()
        return [Applied(info.base.index)]

    def stop(self) -> None:
        """No more of it: it is done, another takes its place, or the node ends."""
        if self._job is not None:
            self._job.close()
        self._job = self._info = None
        self._read = []
        self._reading = self._loading = False

    def _read_on(self, job: RestoreJob, info: SnapshotInfo) -> None:
        if self._position is not None:
            self._reading = True
            self._snapshots.read_chunks(info, self._position, RESTORE_BYTES_AHEAD, partial(self._was_read, job, info))

    def _was_read(
        self, job: RestoreJob, info: SnapshotInfo, chunks: list[bytes], position: int | None, problem: str
    ) -> None:
        if self._job is not job:
            return
        self._reading = False
        if problem:
            raise _unreadable(info, problem)
        self._read, self._position = chunks, position
        self._wake()


def _unreadable(info: SnapshotInfo, problem: str) -> UnreadableSnapshot:
    return UnreadableSnapshot(f"the snapshot of entry {info.base.index} cannot take the place of the state: {problem}")
