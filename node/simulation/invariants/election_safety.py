"""At most one leader can be elected in a given term (section 5.2).

It rests on votes that are never taken back and terms that never fall, not even across crashes.
"""

from node.raft.core import Raft
from node.raft.messages import Message, PreVote, PreVoteReply, Vote, VoteReply
from node.simulation.invariants.history import History
from node.simulation.invariants.violation import fail


class ElectionSafety:
    def __init__(self, history: History) -> None:
        self._history = history
        self._votes: dict[tuple[str, int], str] = {}
        self._shown_term: dict[str, int] = {}

    def sent(self, name: str, to: str, message: Message, initial: bool) -> None:
        """Before the message leaves. `initial`: from a server that is not born, and has no vote: whoever invited it
        gets its own term back, which is no promise."""
        if initial and isinstance(message, (Vote, VoteReply, PreVote, PreVoteReply)):
            fail(f"{name} is not born and takes part in an election: {message}")
        if initial:
            return
        if isinstance(message, VoteReply) and message.granted:
            self._voted(name, message.term, to)
        if isinstance(message, Vote):
            self._voted(name, message.term, name)
        if isinstance(message, PreVote) or (isinstance(message, PreVoteReply) and message.granted):
            return  # speaks of a term that only would be
        if message.term:
            self._shown_term[name] = max(message.term, self._shown_term.get(name, 0))

    def rebooted(self, name: str, core: Raft, wiped: bool) -> None:
        """A wiped disk is another member: it has promised nothing."""
        if wiped:
            self._shown_term.pop(name, None)
            self._votes = {key: vote for key, vote in self._votes.items() if key[0] != name}
        if core.term < self._shown_term.get(name, 0):
            fail(f"{name} had shown term {self._shown_term[name]} and came back with {core.term}")

    def leads(self, name: str, core: Raft) -> None:
        """After a step of a leader."""
        known = self._history.leaders.setdefault(core.term, name)
        if known != name:
            fail(f"{known} and {name} both lead term {core.term}")

    def _voted(self, name: str, term: int, candidate: str) -> None:
        before = self._votes.setdefault((name, term), candidate)
        if before != candidate:
            fail(f"{name} voted for {before} and for {candidate} in term {term}")
