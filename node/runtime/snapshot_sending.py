"""A leader's snapshots on their way to followers that need what its log does not hold any more (section 7).

Why it exists: the core says who needs one, and the file goes there in pieces over the peer links, so that a cut link
cuts it. Few pieces are on their way at a time, to few followers, so that nothing else waits for them; the receiver says
from where on it wants the file, so a broken transfer goes on where it ended, whoever leads by then. It must not decide
whether a follower has caught up: its acknowledgement to the core does.
"""

from collections.abc import Callable

import msgspec

from node.raft.core import Raft
from node.raft.messages import PIECE_BYTES_MAX, Message, SnapshotPiece, SnapshotPieceReply
from node.raft.types import Member, Role, SnapshotInfo
from node.runtime.ports import SendingView, TraceSink
from node.runtime.snapshot_ports import Snapshots

FOLLOWERS_MAX = 2
"""Followers that are sent a snapshot at the same time."""

WINDOW_BYTES_MAX = 8 * PIECE_BYTES_MAX
"""Of one file, on its way to one follower: read from the disk, sent, and not written there yet."""

PIECES_AT_ONCE = 4
"""Pieces that are read, and sent, in one go. A leader that many clients keep busy has a turn every five milliseconds:
one piece in each would be 50 MB per second at most."""

ANSWER_US_MAX = 1_000_000
"""A follower that has not answered a piece for so long is asked anew where it stands, and another one has its turn."""


class _Transfer(msgspec.Struct):
    """To one follower. `wanted`: from where on it wants the file, None while it was only asked. `sent`: up to where it
    was read and sent. `due_us`: it is asked anew then. `reading`: pieces are on their way from the disk.
    `repeated`: from there on everything was sent a second time, since the follower lacked it."""

    info: SnapshotInfo
    due_us: int
    wanted: int | None = None
    sent: int = 0
    reading: bool = False
    repeated: int | None = None


class SnapshotSending:
    """`send`: the links'; False where they do not take it. `piece_bytes`: of one message."""

    def __init__(
        self,
        core: Raft,
        snapshots: Snapshots,
        send: Callable[[str, Message], bool],
        trace: TraceSink,
        piece_bytes: int = PIECE_BYTES_MAX,
    ) -> None:
        self._core = core
        self._snapshots = snapshots
        self._send = send
        self._trace = trace
        self._piece_bytes = piece_bytes
        self._window_bytes = WINDOW_BYTES_MAX // PIECE_BYTES_MAX * piece_bytes
        self._transfers: dict[Member, _Transfer] = {}
        self._turns: list[Member] = []
        """Whose turn is over, the longest ago first."""
        self._now = 0

    @property
    def deadline(self) -> int | None:
        """When a follower is to be asked anew."""
        if not self._transfers:
            return None
        return min(transfer.due_us for transfer in self._transfers.values())

    @property
    def under_way(self) -> bool:
        """Whether there is a transfer, or somebody who needs one."""
        return bool(self._transfers or self._core.followers_before_base)

    @property
    def needed_index(self) -> int | None:
        """The log must not lose what comes after this while a transfer is under way: else it would be for nothing."""
        return min((transfer.info.base.index for transfer in self._transfers.values()), default=None)

    def view(self) -> tuple[SendingView, ...]:
        """How far each transfer is."""
        transfers = self._transfers.items()
        return tuple(SendingView(peer.name, one.wanted or 0, one.info.size_bytes) for peer, one in transfers)

    def run(self, now: int) -> None:
        """Begin, go on and end, as the core's followers need it."""
        self._now = now
        needing = self._core.followers_before_base
        if not needing and not self._transfers:
            return
        for peer in [peer for peer in self._transfers if peer not in needing]:
            info = self._transfers.pop(peer).info
            if self._core.role is not Role.LEADER:
                self._tell(peer, info, "given up", "this node leads no more")
            elif peer not in self._core.configuration.members:
                self._tell(peer, info, "given up", "it is no member any more")
            else:
                self._tell(peer, info, "done")
        for peer, transfer in list(self._transfers.items()):
            if now >= transfer.due_us:
                del self._transfers[peer]
                self._turns = [*(other for other in self._turns if other != peer), peer]
        waiting = [peer for peer in needing if peer not in self._transfers]
        for peer in sorted(waiting, key=self._last_turn)[: FOLLOWERS_MAX - len(self._transfers)]:
            self._begin(peer)

    def answered(self, sender: Member, reply: SnapshotPieceReply) -> None:
        """A follower says how much of the file it has."""
        transfer = self._transfers.get(sender)
        if transfer is None or not _is_about(reply, transfer.info):
            return
        if reply.problem:
            self._tell(sender, transfer.info, "given up", reason=reply.problem)
            transfer.wanted = None  # asked anew when it is due
            return
        transfer.due_us = self._now + ANSWER_US_MAX
        lacks = reply.offset == transfer.wanted != transfer.repeated and transfer.sent > reply.offset
        if transfer.wanted is None or reply.offset < transfer.wanted or lacks:
            transfer.sent = reply.offset  # its first word, or it was restarted, or a piece on the way there was lost
            transfer.repeated = reply.offset if lacks else None
        transfer.wanted = min(reply.offset, transfer.info.size_bytes)
        self._go_on(sender, transfer)

    def _begin(self, peer: Member) -> None:
        info = self._snapshots.latest
        if info is None:
            return
        if peer not in self._turns:
            self._tell(peer, info, "begun")
        self._transfers[peer] = _Transfer(info, self._now + ANSWER_US_MAX)
        self._send(peer.name, SnapshotPiece(info, 0, b"", self._core.term))

    def _go_on(self, peer: Member, transfer: _Transfer) -> None:
        wanted, size = transfer.wanted, transfer.info.size_bytes
        if wanted is None or transfer.reading or transfer.sent >= size:
            return
        pieces = min(PIECES_AT_ONCE, (self._window_bytes - (transfer.sent - wanted)) // self._piece_bytes)
        if pieces <= 0:
            return
        transfer.reading = True
        offset = transfer.sent

        def read(data: bytes) -> None:
            transfer.reading = False
            if self._transfers.get(peer) is not transfer:
                return
            if transfer.sent != offset:
                self._go_on(peer, transfer)
                return
            if not data:
                del self._transfers[peer]  # a newer one took its place; it is begun with that
                return
            self._send_pieces(peer, transfer, data)
            if transfer.sent == offset + len(data):
                self._go_on(peer, transfer)

        self._snapshots.read(transfer.info, offset, pieces * self._piece_bytes, read)

    def _send_pieces(self, peer: Member, transfer: _Transfer, data: bytes) -> None:
        """What follows, as far as the links take it."""
        for start in range(0, len(data), self._piece_bytes):
            piece = data[start : start + self._piece_bytes]
            if not self._send(peer.name, SnapshotPiece(transfer.info, transfer.sent, piece, self._core.term)):
                return
            transfer.sent += len(piece)

    def _last_turn(self, peer: Member) -> int:
        return self._turns.index(peer) if peer in self._turns else -1

    def _tell(self, peer: Member, info: SnapshotInfo, phase: str, reason: str = "") -> None:
        detail: dict[str, str | int | bool] = {"peer": peer.name, "phase": phase}
        detail |= {"index": info.base.index, "bytes": info.size_bytes}
        if reason:
            detail["reason"] = reason
        if peer not in self._transfers:
            self._turns = [other for other in self._turns if other != peer]
        self._trace.transition("snapshot-sent", self._core.term, self._core.role.value, detail)


def _is_about(reply: SnapshotPieceReply, info: SnapshotInfo) -> bool:
    return (reply.index, reply.crc) == (info.base.index, info.crc)
