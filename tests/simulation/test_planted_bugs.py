"""A simulator that never fails proves nothing: each bug planted here must be found within a few worlds."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from node import survivors
from node.raft import changes, election, following, reads, receiving, replication
from node.raft.core import Raft
from node.raft.errors import InvariantViolation
from node.raft.events import Applied
from node.raft.leadership import Leadership
from node.raft.log import RaftLog
from node.raft.messages import AppendReply, PreVoteReply, RaftMessage, ReadIndexReply, Vote, VoteReply
from node.raft.quorum import agreed
from node.raft.state import State
from node.raft.types import Base, Configuration, Member, MemberAddress
from node.runtime.driver import Driver
from node.runtime.snapshotting import Snapshotting
from node.simulation.disk import SimulatedFile
from node.simulation.invariants import Violation
from node.simulation.machines import Machines
from node.simulation.members import Members
from node.simulation.returning import Returning
from node.simulation.server import EPOCH_US
from node.simulation.survivors import Survivors
from node.simulation.world import World
from node.storage import founding
from node.storage.recovery import Recovered
from node.storage.spool import Spool
from node.survivors import Survivor
from node.transport import codec

Plant = Callable[[pytest.MonkeyPatch], None]

WORLDS_MAX = 150


def skip_the_sync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SimulatedFile, "sync", lambda self: None)


def vote_and_acknowledge_before_the_disk(patch: pytest.MonkeyPatch) -> None:
    def send_when_durable(self: State, to: str, message: Any) -> None:
        self.send(to, message)

    patch.setattr(State, "send_when_durable", send_when_durable)


def forget_the_vote(patch: pytest.MonkeyPatch) -> None:
    def on_vote(state: State, sender: Any, message: Vote, now: int) -> None:
        granted = message.term >= state.term and state.log.up_to_date(message.last_index, message.last_term)
        state.send_when_durable(sender.name, VoteReply(state.term, granted))

    patch.setattr(election, "on_vote", on_vote)


def vote_for_a_log_that_is_behind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RaftLog, "up_to_date", lambda self, last_index, last_term: True)


def truncate_on_every_append(patch: pytest.MonkeyPatch) -> None:
    def first_conflict(self: RaftLog, entries: Any) -> int | None:
        return entries[0].index if entries else None

    patch.setattr(RaftLog, "first_conflict", first_conflict)


def append_without_comparing(patch: pytest.MonkeyPatch) -> None:
    real = RaftLog.term_at

    def on_append(state: State, sender: Any, message: Any, now: int) -> None:
        if message.prev_index <= state.log.last_index and real(state.log, message.prev_index) is not None:
            message = type(message)(
                message.term,
                message.prev_index,
                real(state.log, message.prev_index) or 0,
                message.commit,
                message.entries,
            )
        original(state, sender, message, now)

    original = following.on_append
    patch.setattr(following, "on_append", on_append)


def count_itself_before_the_disk(patch: pytest.MonkeyPatch) -> None:
    def advance_commit(state: State, lead: Leadership) -> None:
        held = [state.log.last_index, *(progress.match for progress in lead.progress.values())]
        index = sorted(held, reverse=True)[len(held) // 2]
        index = max(index, sorted(held, reverse=True)[len(held) // 2 - 1])  # one fewer than a majority
        if index > state.commit and state.log.term_at(index) == state.term:
            state.commit = index

    patch.setattr(replication, "advance_commit", advance_commit)


def read_without_a_quorum(patch: pytest.MonkeyPatch) -> None:
    def confirm_rounds(state: State, lead: Leadership) -> None:
        while lead.read_rounds:
            done = lead.read_rounds.popleft()
            for unit in done.units:
                if unit.context is not None:
                    state.send(unit.peer, ReadIndexReply(state.term, unit.context, done.index))
                else:
                    state.reads.confirmed.append((done.index, unit.requests))

    patch.setattr(reads, "confirm_rounds", confirm_rounds)


def follow_the_commit_index_too_far(patch: pytest.MonkeyPatch) -> None:
    original = following.on_append

    def on_append(state: State, sender: Any, message: Any, now: int) -> None:
        original(state, sender, message, now)
        state.commit = max(state.commit, min(message.commit, state.log.last_index))

    patch.setattr(following, "on_append", on_append)


def take_late_acknowledgements_of_overwritten_entries(patch: pytest.MonkeyPatch) -> None:
    def on_append_reply(state: State, lead: Leadership, peer: Member, message: AppendReply, now: int) -> None:
        progress = lead.progress[peer]
        progress.match = max(progress.match, state.log.last_index if message.success else 0)
        original(state, lead, peer, message, now)

    original = replication.on_append_reply
    patch.setattr(replication, "on_append_reply", on_append_reply)


def win_with_fewer_than_a_majority(patch: pytest.MonkeyPatch) -> None:
    from node.raft import quorum

    patch.setattr(quorum, "majority", lambda voters: max(1, voters // 2))


def lead_on_with_a_silent_disk(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(State, "disk_is_silent", lambda self, now: False)
    patch.setattr(State, "_disk_silence_due_us", lambda self: None)


def take_log_time_from_wall_clocks(patch: pytest.MonkeyPatch) -> None:
    """As it was: the wall clock of the leader, never back. One clock that leaps poisons it for ever."""
    wall_us = 0
    handle, measured = Driver.handle, Leadership.log_time_us

    def handled(self: Driver, inputs: Any, now: int, now_wall_us: int) -> None:
        nonlocal wall_us
        wall_us = now_wall_us - EPOCH_US
        handle(self, inputs, now, now_wall_us)

    patch.setattr(Driver, "handle", handled)
    patch.setattr(Leadership, "log_time_us", lambda self, now: max(measured(self, now), wall_us))


def keep_reads_that_ran_out_of_time(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reads, "on_forget_reads", lambda state, requests: None)


def believe_frames_whatever_their_checksum_says(patch: pytest.MonkeyPatch) -> None:
    class Agreeable(int):
        """Equal to every checksum."""

        __hash__ = int.__hash__

        def __eq__(self, other: object) -> bool:
            return True

    patch.setattr(codec, "zlib", SimpleNamespace(crc32=lambda _data: Agreeable(0)))


def take_a_snapshot_of_one_entry_more_than_it_says(patch: pytest.MonkeyPatch) -> None:
    base_at = Raft.base_at
    patch.setattr(Raft, "base_at", lambda self, index: base_at(self, max(self.base.index, index - 1)))


def take_over_a_log_without_its_state(patch: pytest.MonkeyPatch) -> None:
    def restore(self: Snapshotting, base: Base) -> None:
        self._taking.abort()
        self._receiving._held.append(Applied(base.index))

    patch.setattr(Snapshotting, "restore", restore)


def say_that_a_snapshot_is_durable_before_it_is(patch: pytest.MonkeyPatch) -> None:
    def seal(self: Spool) -> None:
        self._file = self._file or self._open()
        self.close()

    patch.setattr(Spool, "seal", seal)


def count_learners(patch: pytest.MonkeyPatch) -> None:
    def advance_commit(state: State, lead: Leadership) -> None:
        everybody = state.configuration.members
        held = lead.by_voter(everybody, state.me, state.disk.durable, lambda progress: progress.match)
        index = sorted(held, reverse=True)[len(state.configuration.voters) // 2]
        if index > state.commit and state.log.term_at(index) == state.term:
            state.commit = index

    patch.setattr(replication, "advance_commit", advance_commit)


def forget_the_configuration_before_when_a_change_is_truncated(patch: pytest.MonkeyPatch) -> None:
    truncate_from = RaftLog.truncate_from

    def truncated(self: RaftLog, index: int) -> int:
        known = list(self._configurations)
        count = truncate_from(self, index)
        self._configurations = known
        return count

    patch.setattr(RaftLog, "truncate_from", truncated)


def begin_a_change_before_the_one_before_is_committed(patch: pytest.MonkeyPatch) -> None:
    def require_time_for_it(state: State) -> None:
        if state.log.term_at(state.commit) != state.term:
            raise changes._Refused(changes.Reason.NOT_NOW, "this leader has committed nothing yet")

    patch.setattr(changes, "_require_time_for_it", require_time_for_it)


def change_members_before_an_entry_of_this_term_is_committed(patch: pytest.MonkeyPatch) -> None:
    def require_time_for_it(state: State) -> None:
        if state.log.configuration_index > state.commit:
            raise changes._Refused(changes.Reason.NOT_NOW, "a change of members is under way")

    patch.setattr(changes, "_require_time_for_it", require_time_for_it)


def let_a_new_disk_vote_as_the_old_one_did(patch: pytest.MonkeyPatch) -> None:
    """Replaced at once as a voter: in one step, one voter leaves and another one comes."""

    def with_learner(self: Configuration, member: Member, address: MemberAddress | None) -> Configuration:
        return msgspec.structs.replace(self, voters=tuple(sorted((*self.voters, member))))

    patch.setattr(Configuration, "with_learner", with_learner)
    patch.setattr(changes, "_require_living_quorum", lambda *_: None)


def believe_for_ever_that_it_was_removed(patch: pytest.MonkeyPatch) -> None:
    """Whatever its log says since."""
    patch.setattr(State, "left_out", property(lambda self: bool(self.told_out[1])))


def take_the_fate_of_an_earlier_disk(patch: pytest.MonkeyPatch) -> None:
    """Whatever is said to its name is said to it."""
    receive = receiving.receive

    def believe(state: State, sender: Member, message: RaftMessage, now: int) -> None:
        if isinstance(message, PreVoteReply):
            message = msgspec.structs.replace(message, asker=state.identity.incarnation)
        receive(state, sender, message, now)

    patch.setattr(receiving, "receive", believe)


def let_any_survivor_go_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(survivors, "going_on", lambda found, positions: [found.member.name])


def go_on_without_what_is_not_known_to_be_committed(patch: pytest.MonkeyPatch) -> None:
    """Others may have been told that it is done."""
    state = survivors._state

    def known(files: Any, recovered: Recovered) -> Any:
        count = max(0, recovered.hard_state.commit - recovered.base.index)
        return state(files, msgspec.structs.replace(recovered, entries=recovered.entries[:count]))

    patch.setattr(survivors, "_state", known)


def go_on_under_the_old_clusters_id(patch: pytest.MonkeyPatch) -> None:
    """Old disks that come back would belong to it."""
    ids: list[str] = []
    read, new_base = survivors.read_survivor, founding.new_base

    def read_survivor(files: Any) -> Survivor:
        found = read(files)
        ids.append(found.recovered.cluster_id)
        return found

    patch.setattr(survivors, "read_survivor", read_survivor)
    patch.setattr(survivors, "new_base", lambda *given: msgspec.structs.replace(new_base(*given), cluster_id=ids[-1]))


PLANTS: list[Plant] = [
    skip_the_sync,
    vote_and_acknowledge_before_the_disk,
    forget_the_vote,
    vote_for_a_log_that_is_behind,
    truncate_on_every_append,
    append_without_comparing,
    count_itself_before_the_disk,
    read_without_a_quorum,
    follow_the_commit_index_too_far,
    take_late_acknowledgements_of_overwritten_entries,
    win_with_fewer_than_a_majority,
    lead_on_with_a_silent_disk,
    take_log_time_from_wall_clocks,
    keep_reads_that_ran_out_of_time,
    believe_frames_whatever_their_checksum_says,
    take_a_snapshot_of_one_entry_more_than_it_says,
    take_over_a_log_without_its_state,
    say_that_a_snapshot_is_durable_before_it_is,
]
OF_MEMBERS: list[Plant] = [
    count_learners,
    forget_the_configuration_before_when_a_change_is_truncated,
    begin_a_change_before_the_one_before_is_committed,
    change_members_before_an_entry_of_this_term_is_committed,
    let_a_new_disk_vote_as_the_old_one_did,
]
OF_RETURNING: list[Plant] = [
    believe_for_ever_that_it_was_removed,
]
OF_MACHINES: list[Plant] = [
    take_the_fate_of_an_earlier_disk,
]
OF_SURVIVORS: list[Plant] = [
    let_any_survivor_go_on,
    go_on_without_what_is_not_known_to_be_committed,
    go_on_under_the_old_clusters_id,
]
NOTICED_BY: dict[Plant, int] = {
    truncate_on_every_append: 10,
    vote_and_acknowledge_before_the_disk: 6,
    follow_the_commit_index_too_far: 27,
    append_without_comparing: 20,
    read_without_a_quorum: 1016,
    vote_for_a_log_that_is_behind: 1,
    believe_frames_whatever_their_checksum_says: 7,
    lead_on_with_a_silent_disk: 6,
    keep_reads_that_ran_out_of_time: 5,
    count_learners: 16,
    forget_the_configuration_before_when_a_change_is_truncated: 3,
    let_any_survivor_go_on: 16,
    take_the_fate_of_an_earlier_disk: 67,
}
"""Seeds of worlds that noticed a bug which few notice: tried first, to save time. Any other world will do as well."""
OFTEN_ENOUGH = (truncate_on_every_append, vote_and_acknowledge_before_the_disk)
"""Of those, who are found soon by any seeds. After a change of what worlds do, the others may take a minute each to be
found anew: they are in `make test-slow`, and so are those of survivors."""


SECONDS = (
    take_over_a_log_without_its_state,
    begin_a_change_before_the_one_before_is_committed,
    believe_for_ever_that_it_was_removed,
    say_that_a_snapshot_is_durable_before_it_is,
    take_a_snapshot_of_one_entry_more_than_it_says,
)
"""Found soon by any seeds, but several seconds all the same: of `make test-slow` as well."""
LONGEST = (count_learners, append_without_comparing)
"""A minute, and more: of `make test-long`."""


def _marks(plant: Plant, seldom: list[Plant]) -> tuple[pytest.MarkDecorator, ...]:
    return tuple(
        mark
        for mark, holds in ((pytest.mark.slowest, plant in seldom), (pytest.mark.longest, plant in LONGEST))
        if holds
    )


def _each() -> list[Any]:
    """Every plant, and those which few worlds notice for `make test-slow`."""
    seldom = [*OF_SURVIVORS, *SECONDS, *(plant for plant in NOTICED_BY if plant not in OFTEN_ENOUGH)]
    return [
        pytest.param(plant, marks=_marks(plant, seldom), id=plant.__name__)
        for plant in (*PLANTS, *OF_MEMBERS, *OF_RETURNING, *OF_MACHINES, *OF_SURVIVORS)
    ]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("plant", _each())
def test_a_planted_bug_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    assert agreed([1, 2, 3]) == 2
    plant(monkeypatch)
    kinds = ((OF_MEMBERS, Members), (OF_RETURNING, Returning), (OF_MACHINES, Machines), (OF_SURVIVORS, Survivors))
    kind = next((kind for plants, kind in kinds if plant in plants), World)
    for seed in (NOTICED_BY.get(plant, 1), *range(1, WORLDS_MAX + 1)):
        try:
            kind(seed).run()
        except (Violation, InvariantViolation):
            return
    pytest.fail(f"{WORLDS_MAX} worlds did not notice: {plant.__name__}")
