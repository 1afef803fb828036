"""What only a leader knows, as one object: made when it is elected, dropped when it leaves the role.

Why it exists: a leader's knowledge is of its term alone (figure 2, "reinitialized after election"); in an object of
its own nothing of it can outlive the lead or be asked of a server that does not lead. It must not decide anything:
see replication.py, reads.py and election.py.
"""

from collections import deque
from collections.abc import Callable, Iterable

import msgspec

from node.raft.messages import ReadContext
from node.raft.progress import Progress, ProgressState
from node.raft.settings import RaftSettings
from node.raft.types import Member


class ReadUnit(msgspec.Struct, frozen=True):
    """Reads that share their fate: this node's own (`requests`), or a follower's (`peer`, `context`)."""

    requests: tuple[int, ...] = ()
    peer: str = ""
    context: ReadContext | None = None


class ReadRound(msgspec.Struct, frozen=True):
    """Reads that wait for a quorum to acknowledge round `number`, to be served at `index`."""

    number: int
    index: int
    units: tuple[ReadUnit, ...]


class Budget:
    """What may be sent in one step, over all followers: more would keep a server from its heartbeats."""

    def __init__(self, bytes_max: int, entries_max: int) -> None:
        self._limits = bytes_max, entries_max
        self.renew()

    def renew(self) -> None:
        """A step ends; the next may send as much again."""
        self._bytes, self._entries = self._limits

    @property
    def spent(self) -> bool:
        return self._bytes <= 0 or self._entries <= 0

    def take(self, size_bytes: int, entries: int) -> None:
        """An Append left; one without entries is work too."""
        self._bytes -= size_bytes
        self._entries -= max(1, entries)


class Leadership:
    """Begun at `now` over the followers `peers`, of which nothing is known: they are asked before `next_index` first.

    `last_time_us`: the log time at the end of the log, microseconds.
    """

    def __init__(
        self, settings: RaftSettings, peers: Iterable[Member], next_index: int, last_time_us: int, now: int
    ) -> None:
        self._settings = settings
        self.progress: dict[Member, Progress] = {}
        """By member: a new disk under an old name has acknowledged nothing."""
        self._time_us = last_time_us - now
        self.log_full_told: set[bool] = set()
        """Whether it was told that the log is full: for long writes (False), for all (True)."""
        self.heartbeat_due_us = now + settings.heartbeat_us
        """The first Append, which goes to everybody in this very step, says who leads; a heartbeat at its side would be
        answered before it, and have it sent again."""
        self.commit_due_us: int | None = None
        """When followers are told of a commit that no message of this term has told them by then."""
        self.quorum_due_us = now + settings.election_max_us
        """Followers just voted, which is contact enough for one election timeout."""
        self.reads_waiting: list[ReadUnit] = []
        """This node's own clients'."""
        self.reads_of_peers: dict[str, ReadContext] = {}
        """The last question of each follower: what answers it answers all that it asked before."""
        self.read_rounds: deque[ReadRound] = deque()
        self.budget = Budget(settings.step_bytes_max, settings.step_entries_max)
        self.unfinished = False
        """Whether a follower could be sent more than the budget of the step allowed."""
        self.snapshot_needed = False
        """Whether any follower may need what lies before the log's base."""
        self._first = 0
        """Which follower comes first in the next step, so that none waits for the others for ever."""
        self.follow(peers, next_index, now)

    def follow(self, peers: Iterable[Member], next_index: int, now: int) -> None:
        """From now on replicate to `peers` and to nobody else; a new one is asked before `next_index` first."""
        window = self._settings.inflight_messages_max, self._settings.inflight_bytes_max
        self.progress = {peer: self.progress.get(peer) or Progress(next_index, now, *window) for peer in peers}

    def before_base(self) -> tuple[Member, ...]:
        """Who needs what lies before the log's base."""
        if not self.snapshot_needed:
            return ()  # asked in every turn
        needing = tuple(peer for peer, of in self.progress.items() if of.state is ProgressState.SNAPSHOT)
        self.snapshot_needed = bool(needing)
        return needing

    def in_turn(self) -> list[tuple[Member, Progress]]:
        """All followers, beginning with the one after whom the budget of the last step was spent on."""
        followers = list(self.progress.items())
        if not self._first:
            return followers
        first = self._first % len(followers) if followers else 0
        return followers[first:] + followers[:first]

    def put_off(self, peer: Member) -> None:
        """The budget ended at `peer`: the next step begins with the one after it."""
        if not self.unfinished:
            self._first = list(self.progress).index(peer) + 1
        self.unfinished = True

    def log_time_us(self, now: int) -> int:
        """That of the last entry that it began with, plus what has passed since on its own monotonic clock.

        Never back, and never faster than that clock; no wall clock has a say, for one that leaps would leap for all.
        While nobody leads log time stands still.
        """
        return self._time_us + now

    def wants_commit(self, name: str, index: int) -> None:
        """Whoever bears that name reads once it knows that `index` is committed: this is not put off."""
        for peer, progress in self.progress.items():
            if peer.name == name and progress.sent_commit < index:
                progress.commit_wanted = True

    @property
    def has_reads(self) -> bool:
        """Whether anybody's read waits for a round, or for the one under way."""
        return bool(self.reads_waiting or self.reads_of_peers or self.read_rounds)

    def own_reads(self) -> list[ReadUnit]:
        """What waits for a quorum, of this node's own clients' reads."""
        return [*self.reads_waiting, *(unit for round_ in self.read_rounds for unit in round_.units)]

    def by_voter(self, voters: Iterable[Member], me: Member, own: int, ask: Callable[[Progress], int]) -> list[int]:
        """One value per voter: `own` of this server, if it is one, and what `ask` says of the others.

        A voter that is not followed, since it bears this server's name on another disk, has said nothing: 0.
        """
        values = []
        for voter in voters:
            progress = self.progress.get(voter)
            values.append(ask(progress) if progress is not None else own if voter == me else 0)
        return values
