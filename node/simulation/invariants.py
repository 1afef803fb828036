"""What must hold after every step of every server, whatever happened (figure 3 of the paper).

Why it exists: the judge of a simulated world. It looks at servers from outside and remembers what they showed; it
must not share code with the rules that it judges.
"""

from typing import NoReturn

from node.raft.core import Raft
from node.raft.messages import Message, PreVote, PreVoteReply, Vote, VoteReply
from node.raft.types import Entry, Role


class Violation(AssertionError):
    """Raft was broken; the message says by whom and how."""


class Invariants:
    """Fed by the world: `sent` before each message leaves, `stepped` after each step, `rebooted` after a restart."""

    def __init__(self) -> None:
        self.leaders: dict[int, str] = {}
        self.cluster_id = ""
        self._judged: dict[str, Raft] = {}
        """Whose birth was looked at: it does not change in a process's life."""
        self.doubled: tuple[str, ...] = ()
        """Servers whose name another disk bears as well, from before birth on."""
        self.committed: list[Entry] = []
        self._entries: dict[tuple[int, int], tuple[Entry, int]] = {}
        self._appended: dict[tuple[int, int], tuple[int, int]] = {}
        """Of each entry, log time and when it was appended, by index and term."""
        self._votes: dict[tuple[str, int], str] = {}
        self._shown_term: dict[str, int] = {}
        self._terms: dict[str, list[int]] = {}
        self._commit: dict[str, int] = {}
        self._applied: dict[str, int] = {}
        self._acknowledged: list[tuple[int, int]] = []

    def sent(self, name: str, to: str, message: Message) -> None:
        """Votes are never taken back, terms never fall: not even across crashes."""
        if isinstance(message, VoteReply) and message.granted:
            self._voted(name, message.term, to)
        if isinstance(message, Vote):
            self._voted(name, message.term, name)
        if isinstance(message, PreVote) or (isinstance(message, PreVoteReply) and message.granted):
            return  # speaks of a term that only would be
        if message.term:
            self._shown_term[name] = max(message.term, self._shown_term.get(name, 0))

    def rebooted(self, name: str, core: Raft, wiped: bool) -> None:
        """A new process began from its disk. What it had applied was durable there: it has all of that or nothing."""
        self._commit.pop(name, None)
        applied, terms = self._applied.pop(name, 0), self._terms.pop(name, [])
        for index in range(core.base.index + 1, 0 if wiped else applied + 1):
            if core.term_at(index) != terms[index - 1]:
                _fail(f"{name} had applied entry {index} of term {terms[index - 1]} and came back without it")
        if wiped:
            self._shown_term.pop(name, None)
            self._votes = {key: vote for key, vote in self._votes.items() if key[0] != name}
        if core.term < self._shown_term.get(name, 0):
            _fail(f"{name} had shown term {self._shown_term[name]} and came back with {core.term}")

    def stepped(self, name: str, core: Raft, now: int) -> None:
        """All of figure 3, for the server that just took a step. Before birth it has nothing to keep."""
        if core.role is Role.INITIAL or self._is_stranded(name, core):
            return
        self._one_cluster(name, core)
        self._log_matching(name, core, now)
        self._committed(name, core)
        if core.role is Role.LEADER:
            self._leads(name, core)
        applied = core.applied
        if applied < self._applied.get(name, 0) or applied > core.commit:
            _fail(f"{name} applied {applied}, after {self._applied.get(name, 0)}, with commit index {core.commit}")
        self._applied[name] = applied
        for index, term in self._acknowledged:
            if index > len(self.committed) or self.committed[index - 1].term != term:
                _fail(f"entry {index} of term {term} was acknowledged but is not committed")
        self._acknowledged.clear()

    def acknowledged(self, index: int, term: int) -> None:
        """A client was told that its write is done: after this very step it must be among what is committed."""
        self._acknowledged.append((index, term))

    def _is_stranded(self, name: str, core: Raft) -> bool:
        """A server whose name two disks bear may be born of a set that the others have left by then (birth.py).

        It can harm nobody as long as it gets no further than its birth; once it does, it is judged like any other.
        """
        ahead = core.term_at(2) is not None or core.role is Role.LEADER
        return name in self.doubled and not ahead

    def _one_cluster(self, name: str, core: Raft) -> None:
        """Decision 6: a set of seeds gives birth once, and who takes part is in the configuration with its own disk."""
        if self._judged.get(name) is core:
            return
        self._judged[name] = core
        status = core.status(0)
        self.cluster_id = self.cluster_id or status.cluster_id
        if status.cluster_id != self.cluster_id:
            _fail(f"two clusters were born: {name} belongs to {status.cluster_id}, another to {self.cluster_id}")
        member = core.configuration.member(status.name)
        if member is None or member.incarnation != status.incarnation:
            _fail(f"{name} takes part with disk {status.incarnation}, the member's is {member}")

    def _voted(self, name: str, term: int, candidate: str) -> None:
        """Election safety rests on this: one vote a server and term, for ever."""
        before = self._votes.setdefault((name, term), candidate)
        if before != candidate:
            _fail(f"{name} voted for {before} and for {candidate} in term {term}")

    def _leads(self, name: str, core: Raft) -> None:
        """Election safety, leader completeness."""
        known = self.leaders.setdefault(core.term, name)
        if known != name:
            _fail(f"{known} and {name} both lead term {core.term}")
        terms = self._terms[name]
        for entry in self.committed:
            if entry.term >= core.term:
                break  # committed in this leader's own term, or by a newer leader that it has not heard of
            if entry.index > len(terms) or terms[entry.index - 1] != entry.term:
                _fail(f"{name} leads term {core.term} without committed entry {entry.index} of term {entry.term}")

    def _log_matching(self, name: str, core: Raft, now: int) -> None:
        """Equal index and term: equal entry and equal predecessor, hence by induction equal logs up to there."""
        seen = self._terms.setdefault(name, [])
        self._snapshot_equals_log(name, core, seen)
        same = len(seen)
        while same > core.base.index and core.term_at(same) != seen[same - 1]:
            same -= 1
        if same < self._commit.get(name, 0):
            _fail(f"{name} removed entry {same + 1}, which it knew to be committed")
        del seen[same:]
        for entry in core.entries(same + 1, 1 << 30):
            fact = (entry, seen[-1] if seen else 0)
            if (entry.index, entry.term) not in self._entries:
                self._log_time(name, entry, self._appended.get((entry.index - 1, fact[1])), now)
            if self._entries.setdefault((entry.index, entry.term), fact) != fact:
                _fail(f"{name} has another entry {entry.index} of term {entry.term} than a server before it")
            seen.append(entry.term)

    def _snapshot_equals_log(self, name: str, core: Raft, seen: list[int]) -> None:
        """What a log does not hold any more is committed, and is what everybody committed (section 7)."""
        base = core.base
        if not base.index:
            return
        if base.index > len(self.committed) or self.committed[base.index - 1].term != base.term:
            _fail(f"the log of {name} follows entry {base.index} of term {base.term}, which is not committed")
        if len(seen) < base.index or seen[base.index - 1] != base.term:
            seen[:] = [entry.term for entry in self.committed[: base.index]]

    def _log_time(self, name: str, entry: Entry, before: tuple[int, int] | None, now: int) -> None:
        """Log time never runs back, and never faster than the clocks of those who append: `now` is that of all here.

        `before`: the log time of the entry before, and when that was appended. An entry is first seen at its leader.
        """
        self._appended[entry.index, entry.term] = (entry.time_us, now)
        before_us, appended_us = before or (0, now)
        if not before_us <= entry.time_us <= before_us + now - appended_us:
            _fail(
                f"{name}: the time of entry {entry.index} is {entry.time_us - before_us} us after the one before, "
                f"but {now - appended_us} us have passed"
            )

    def _committed(self, name: str, core: Raft) -> None:
        """State machine safety: one history, the same everywhere, that only grows."""
        before = self._commit.get(name, 0)
        if core.commit < before:
            _fail(f"the commit index of {name} fell from {before} to {core.commit}")
        first = max(before, core.base.index)
        for entry in core.entries(first + 1, core.commit - first):
            if entry.index > len(self.committed):
                self.committed.append(entry)
            elif self.committed[entry.index - 1] != entry:
                other = self.committed[entry.index - 1]
                _fail(f"{name} committed {entry}, others {other}")
        self._commit[name] = core.commit


def _fail(sentence: str) -> NoReturn:
    raise Violation(sentence)
