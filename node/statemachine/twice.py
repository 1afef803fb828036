"""Whether a transaction would write a key twice.

Why it exists: etcd refuses that, and its rules are peculiar: a delete of "every key from here on" never counts as
writing a key that is also put, of two nested transactions only the later one's puts are held against the earlier
one's deletes, and the two branches of a nested one may write the same key, for only one of them is done.

They come to this. Walk through each branch in this order: its deletes, its nested transactions, its puts. A put is
refused when one of the same key, or a delete of it, was passed before it, unless the two stand in different branches
of one nested transaction. The walk keeps a frame for each branch and each nested transaction that it is inside of,
each with the number at which it was entered: the innermost frame that was entered before some earlier operation is
the innermost that holds both, and says whether both can be done.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from sortedcontainers import SortedDict

from node.statemachine.work import Meter, Slices
from node.statemachine.writes import Branches, DeleteRange, Nested, Operation, Put, Txn

FRAMES_PER_UNIT = 4
"""Branches round a put whose deletes are looked at for one unit."""


class _Intervals:
    """A union of half-open intervals of keys."""

    def __init__(self) -> None:
        self._ends: SortedDict[bytes, bytes] = SortedDict()

    def __len__(self) -> int:
        return len(self._ends)

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Begin and end of each, in order."""
        return iter(self._ends.items())

    def add(self, begin: bytes, end: bytes) -> None:
        """Join [begin, end); nothing where it is empty."""
        if begin >= end:
            return
        at = self._ends.bisect_right(begin) - 1
        if at >= 0 and self._ends.peekitem(at)[1] >= begin:
            begin, previous = self._ends.popitem(at)
            end = max(end, previous)
        at = self._ends.bisect_left(begin)
        while at < len(self._ends) and self._ends.peekitem(at)[0] <= end:
            end = max(end, self._ends.popitem(at)[1])
        self._ends[begin] = end

    def __contains__(self, key: bytes) -> bool:
        at = self._ends.bisect_right(key) - 1
        return at >= 0 and key < self._ends.peekitem(at)[1]


class _Frame:
    """A branch, or (`branch` False) a whole nested transaction, that the walk is inside of. `entered`: the number at
    which it was. `inside`: what of it is still to be entered. `deletes`: what was deleted in it so far."""

    __slots__ = ("branch", "deletes", "entered", "inside", "puts")

    def __init__(self, entered: int, tree: Txn | Branches | None, branch: Sequence[Operation] = ()) -> None:
        self.entered = entered
        self.branch = tree is None
        self.deletes: _Intervals | None = None
        self.puts = [operation.key for operation in branch if isinstance(operation, Put)]
        nested = [operation.index for operation in branch if isinstance(operation, Nested)]
        self.inside: Iterator[Sequence[Operation] | int] = iter(
            nested if tree is None else (tree.success, tree.failure)
        )
        for operation in branch:
            if isinstance(operation, DeleteRange):
                if self.deletes is None:
                    self.deletes = _Intervals()
                self.deletes.add(operation.key, operation.range_end or operation.key + b"\0")


def writes_twice(txn: Txn, meter: Meter) -> Slices[bool]:
    """Whether `txn`, which is a tree, does. A put costs a step for each branch round it, at most."""
    frames = [_Frame(0, txn)]
    number = 0
    last_put: dict[bytes, int] = {}
    while frames:
        frame = frames[-1]
        following = next(frame.inside, None)
        if following is not None:
            number += 1
            if isinstance(following, int):
                frames.append(_Frame(number, txn.nested[following]))
            else:
                frames.append(_Frame(number, None, following))
                meter.left -= len(following)
        else:
            for key in frame.puts:
                if _clashes(key, last_put.get(key), frames):
                    return True
                number += 1
                last_put[key] = number
                meter.left -= 1 + len(frames) // FRAMES_PER_UNIT
                if meter.left <= 0:
                    yield
            frames.pop()
            if frames:
                yield from _join(frame, frames[-1], meter)
        meter.left -= 1
        if meter.left <= 0:
            yield
    return False


def _clashes(key: bytes, previous: int | None, frames: list[_Frame]) -> bool:
    """Whether a put of `key`, last put at the number `previous`, cannot be done with what `frames` hold before it."""
    if previous is not None:
        both = bisect_right(frames, previous, key=_entered) - 1
        if frames[both].branch:
            return True
    return any(frame.branch and frame.deletes is not None and key in frame.deletes for frame in frames)


def _join(done: _Frame, outer: _Frame, meter: Meter) -> Slices[None]:
    """What was deleted in `done` was deleted in `outer`. The smaller union joins the larger."""
    if done.deletes is None or outer.deletes is None:
        outer.deletes = done.deletes if outer.deletes is None else outer.deletes
        return
    smaller, larger = sorted((done.deletes, outer.deletes), key=len)
    for begin, end in smaller.items():
        larger.add(begin, end)
        meter.left -= 1
        if meter.left <= 0:
            yield
    outer.deletes = larger


def _entered(frame: _Frame) -> int:
    return frame.entered
