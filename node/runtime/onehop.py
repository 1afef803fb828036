"""What waits for another node's answer: asked once, over one hop, answered exactly once, never repeated.

Why it exists: clients' writes on their way to the leader and operators' commands on their way to another node make
the same promises, so they are kept in one place. An answer is believed only from the member that was asked, and only
by the process that asked. It must not send anything, and not know what was asked.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from node.raft.types import Member
from node.runtime.deadlines import Deadlines

T = TypeVar("T")


class HopCounts(msgspec.Struct):
    """What went wrong on the hop since this process started, in answers."""

    refused: int = 0
    """Came from a node that was not asked, or meant another process of this name; they change nothing."""
    lost: int = 0
    """Of this node, which the link to the one who asked did not take in time."""
    untold: int = 0
    """Of this node, which were too long to be sent; the one who asked is told so."""


class Asked(msgspec.Struct, Generic[T], frozen=True):
    """`to` did not answer in time. `stale`: because it was not waited for as long as it could have been."""

    to: Member
    what: T
    stale: bool = False


class _Group(msgspec.Struct):
    """All that was asked of one member; `until_us`: it is not waited for longer than that."""

    to: Member
    numbers: dict[int, None]
    until_us: int | None = None


class OneHop(Generic[T]):
    """`boot`: this process, which every answer must name."""

    def __init__(self, boot: str, counts: HopCounts) -> None:
        self._boot = boot
        self._counts = counts
        self._next_number = 1
        self._questions: dict[int, tuple[T, _Group]] = {}
        self._deadlines = Deadlines()
        self._groups: dict[Member, _Group] = {}
        self._hurried: list[_Group] = []
        """Those with an `until_us`: one more with each change of the leader, and none for longer than that."""

    def __len__(self) -> int:
        return len(self._questions)

    def ask(self, to: Member, what: T, deadline_us: int) -> int:
        """`what` is about to be sent; its number. `to` without an incarnation: whoever bears that name."""
        number = self._next_number
        self._next_number += 1
        group = self._groups.get(to)
        if group is None:
            group = self._groups[to] = _Group(to, {})
        group.numbers[number] = None
        self._questions[number] = (what, group)
        self._deadlines.add(number, deadline_us)
        return number

    def take_back(self, number: int) -> T | None:
        """It was not sent after all. None: it waits no more."""
        question = self._questions.pop(number, None)
        if question is None:
            return None
        what, group = question
        self._deadlines.discard(number)
        del group.numbers[number]
        return what

    def answered(self, sender: Member, boot: str, number: int) -> T | None:
        """`sender` answers: what it was asked, once. None: it is not believed, or it is too late."""
        if boot != self._boot:
            self._counts.refused += 1
            return None  # numbers begin anew with every process: this one is of an earlier process of our name
        question = self._questions.get(number)
        if question is None:
            return None
        asked = question[1].to
        if sender != asked and (asked.incarnation or sender.name != asked.name):
            self._counts.refused += 1
            return None
        return self.take_back(number)

    def hurry(self, spared: str, until_us: Callable[[str], int]) -> None:
        """Wait for nobody but `spared` longer than `until_us(name)`; a handful of steps, however much was asked."""
        self._hurried = [group for group in self._hurried if group.numbers]
        for member in [member for member in self._groups if member.name != spared]:
            group = self._groups.pop(member)
            if group.numbers:
                group.until_us = until_us(member.name)
                self._hurried.append(group)

    def hurry_of(self, member: Member, until_us: int) -> None:
        """Do not wait longer than that for the answers of `member`."""
        group = self._groups.pop(member, None)
        if group is not None and group.numbers:
            group.until_us = until_us
            self._hurried = [*(group for group in self._hurried if group.numbers), group]

    def expired(self, now: int, questions_max: int) -> list[Asked[T]]:
        """Take away and return what waited too long; at most so many: ask again while `deadline` has passed."""
        late: list[Asked[T]] = []
        if not self._questions:
            return late
        for number in self._deadlines.due(now, questions_max):
            what, group = self._questions.pop(number)
            del group.numbers[number]
            late.append(Asked(group.to, what))
        for group in self._hurried:
            while group.numbers and group.until_us is not None and group.until_us <= now and len(late) < questions_max:
                number = next(iter(group.numbers))
                late.append(Asked(group.to, self._questions[number][0], stale=True))
                self.take_back(number)
        return late

    @property
    def deadline(self) -> int | None:
        """When something has waited too long; None: nothing waits."""
        if not self._questions:
            return None
        due = [group.until_us for group in self._hurried if group.numbers and group.until_us is not None]
        if self._deadlines.next is not None:
            due.append(self._deadlines.next)
        return min(due, default=None)

    def drain(self) -> list[T]:
        """Take away and return everything: the node stops."""
        questions = [what for what, _ in self._questions.values()]
        self._questions.clear()
        self._deadlines.clear()
        self._groups.clear()
        self._hurried.clear()
        return questions
