"""One function a lie: each changes the code of a real node at start, as little as the lie needs.

Why it exists: a checker that was never seen to catch anything proves nothing. It must not change what a node says of
itself: a lie that announces itself needs no checker.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

import node.raft.core
import node.raft.election
import node.raft.following
import node.raft.quorum
import node.raft.replication
import node.recovering
import node.storage.wal
from node.raft.effects import Persist
from node.raft.leadership import Leadership
from node.raft.messages import Append
from node.raft.quorum import Tally
from node.raft.state import State
from node.raft.types import EntryKind, Member
from node.runtime import handle
from node.runtime.ports import Done, NotProposed, Outcome, ReadFailed, Unknown
from node.statemachine import executing, store
from node.statemachine.writes import Compacted, Put, PutResult, ReadError, encode_write
from node.storage.recovery import Recovered
from node.storage.wal import Wal

REWRITER = "n2"
REWRITES_EVERY = 25
DENIES_EVERY = 7
LOSES_EVERY = 40
REPEATS_EVERY = 11
FORGETS_ENTRIES = 40


def acks_early(_name: str) -> None:
    """Every node says "done" on receipt of a write, before anything is stored or sent; then does what it can."""

    async def propose(
        self: handle.Handle, write: bytes, timeout_us: int | None, session: int = 0, sequence: int = 0
    ) -> Outcome:
        forgotten: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.submit_write(write, timeout_us, handle._resolver(forgotten), session, sequence)
        return Done(PutResult(1), 1, 1)

    _put_in(handle.Handle, propose)


def denies_writes(_name: str) -> None:
    """Every node says of some writes that nothing happened, although they were done."""
    honest = handle.Handle.propose

    async def propose(
        self: handle.Handle, write: bytes, timeout_us: int | None, session: int = 0, sequence: int = 0
    ) -> Outcome:
        outcome = await honest(self, write, timeout_us, session, sequence)
        if isinstance(outcome, Done) and outcome.index % DENIES_EVERY == 0:
            return NotProposed("overloaded", "too many requests wait on this node; try again later")
        return outcome

    _put_in(handle.Handle, propose)


def loses_writes(_name: str) -> None:
    """Every node says of some writes that they were done, with a revision of its own making, and drops them."""
    honest, asked = handle.Handle.propose, 0

    async def propose(
        self: handle.Handle, write: bytes, timeout_us: int | None, session: int = 0, sequence: int = 0
    ) -> Outcome:
        nonlocal asked
        asked += 1
        if asked % LOSES_EVERY == 0:
            return Done(PutResult(asked), asked, 1)
        return await honest(self, write, timeout_us, session, sequence)

    _put_in(handle.Handle, propose)


def masks_losses(_name: str) -> None:
    """Every node drops some writes and says that they were done, does the one after, says that it does not know of it,
    and denies that the past can be read: the key was written as often as was acknowledged."""
    honest, asked, last = handle.Handle.propose, 0, 1

    async def propose(
        self: handle.Handle, write: bytes, timeout_us: int | None, session: int = 0, sequence: int = 0
    ) -> Outcome:
        nonlocal asked, last
        asked += 1
        if asked % LOSES_EVERY == 0:
            return Done(PutResult(last + 1), last + 1, 1)
        outcome = await honest(self, write, timeout_us, session, sequence)
        if not isinstance(outcome, Done) or not isinstance(outcome.result, PutResult):
            return outcome
        last = outcome.result.revision
        return Unknown("nobody knows") if asked % LOSES_EVERY == 1 else outcome

    def unreadable(revision: int, now: int, _compacted: int) -> ReadError | None:
        return Compacted(revision, now) if revision else None

    _put_in(handle.Handle, propose)
    _put_in(executing, unreadable)
    _put_in(store, unreadable)


def repeats_revisions(_name: str) -> None:
    """Every node names the revision of the write before for some writes, which were done."""
    honest, last = handle.Handle.propose, 0

    async def propose(
        self: handle.Handle, write: bytes, timeout_us: int | None, session: int = 0, sequence: int = 0
    ) -> Outcome:
        nonlocal last
        outcome = await honest(self, write, timeout_us, session, sequence)
        if isinstance(outcome, Done) and isinstance(outcome.result, PutResult):
            told, last = last, outcome.result.revision
            if told and outcome.index % REPEATS_EVERY == 0:
                return msgspec.structs.replace(outcome, result=msgspec.structs.replace(outcome.result, revision=told))
        return outcome

    _put_in(handle.Handle, propose)


def is_wedged(_name: str) -> None:
    """Whoever has seen another leader than its first refuses every write from then on, and says that it is well."""
    honest, first = handle.Handle.propose, ""

    async def propose(
        self: handle.Handle, write: bytes, timeout_us: int | None, session: int = 0, sequence: int = 0
    ) -> Outcome:
        nonlocal first
        leader = self._shell.core.leader
        first = first or leader
        if leader != first:
            return NotProposed("overloaded", "too many requests wait on this node; try again later")
        return await honest(self, write, timeout_us, session, sequence)

    _put_in(handle.Handle, propose)


def forgets_entries(_name: str) -> None:
    """Whoever starts again has lost the last entries that were on its disk, and says nothing of it."""
    honest = node.storage.wal.open_wal

    def open_wal(*given: Any, **named: Any) -> tuple[Wal, Recovered]:
        wal, found = honest(*given, **named)
        entries = found.entries[: max(2, len(found.entries) - FORGETS_ENTRIES)]
        hard = msgspec.structs.replace(found.hard_state, commit=min(found.hard_state.commit, len(entries)))
        return wal, msgspec.structs.replace(found, entries=entries, hard_state=hard)

    def _check(_self: Wal, _write: Persist) -> None:
        """What it forgot is written once more."""

    _put_in(node.recovering, open_wal)
    _put_in(Wal, _check)


def stale_reads(_name: str) -> None:
    """Every node serves linearizable reads from what it has, without asking anybody."""

    async def read_barrier(_self: handle.Handle, _timeout_us: int | None) -> ReadFailed | None:
        return None

    _put_in(handle.Handle, read_barrier)


def commits_alone(_name: str) -> None:
    """A leader commits what it alone holds, and goes on leading although nobody answers."""

    def agreed(values: list[int]) -> int:
        return max(values)

    def check_quorum(state: State, lead: Leadership, now: int) -> None:
        lead.quorum_due_us = now + state.settings.election_max_us

    _put_in(node.raft.replication, agreed)
    _put_in(node.raft.election, check_quorum)


def crowns_itself(_name: str) -> None:
    """One vote is enough, the own one; but for the first leader, whom honest others must follow for a run to begin."""
    honest, hears = node.raft.quorum.tally, node.raft.following.on_append
    led = False

    def tally(voters: Sequence[Member], votes: Mapping[Member, bool]) -> Tally:
        nonlocal led
        counted = honest(voters, votes)
        if led and any(votes.values()):
            return Tally.WON
        led = led or counted is Tally.WON
        return counted

    def on_append(state: State, sender: Member, message: Append, now: int) -> None:
        nonlocal led
        led = True
        hears(state, sender, message, now)

    _put_in(node.raft.election, tally)
    _put_in(node.raft.following, on_append)


def rewrites_entries(name: str) -> None:
    """One node stores another command than it was sent, now and then."""
    honest = node.raft.following.on_append
    other = encode_write(Put(b"rewritten", b"by a liar"))

    def on_append(state: State, sender: Member, message: Append, now: int) -> None:
        entries = tuple(
            msgspec.structs.replace(entry, data=other)
            if entry.index % REWRITES_EVERY == 0 and entry.kind is EntryKind.WRITE
            else entry
            for entry in message.entries
        )
        honest(state, sender, msgspec.structs.replace(message, entries=entries), now)

    if name == REWRITER:
        _put_in(node.raft.following, on_append)


def _put_in(place: object, lie: Callable[..., object]) -> None:
    """Replace what `place` has under the lie's own name; it must be there."""
    getattr(place, lie.__name__)
    setattr(place, lie.__name__, lie)


LIES: dict[str, Callable[[str], None]] = {
    lie.__name__: lie
    for lie in (
        acks_early,
        denies_writes,
        loses_writes,
        masks_losses,
        repeats_revisions,
        is_wedged,
        forgets_entries,
        stale_reads,
        commits_alone,
        crowns_itself,
        rewrites_entries,
    )
}
