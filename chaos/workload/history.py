"""The history: what every client asked, and what it was told, in the order it was told.

Why it exists: "nothing was lost" needs somebody who remembers what was acknowledged; an unknown outcome stays unknown
for ever, and a run of hours must fit into memory. It must not judge: see `checks`.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import compress, product
from typing import Literal, overload

import msgspec

PastRead = tuple[int, int, int]
"""(revision asked for, revision of the write that the key held then, its value); (asked, 0, 0): it held nothing."""
Kind = Literal["write", "read"]
Outcome = Literal["ok", "fail", "unknown"]


class Op(msgspec.Struct, frozen=True, gc=False):
    """One request of one client, sent once. A client has one request under way at a time.

    `via`: the node that it was sent to. A write carries `value` (1, 2, 3, ... for a key, which one client owns); a read
    saw `value`, 0 where the key did not exist. `outcome`: "ok"; "fail": provably nothing happened; "unknown": it may
    have happened, or may still happen. `done_us`: when the answer, or the failure to get one, was there. `code`: the
    HTTP status, 0 for none. `revision`: the store's, as the node named it for an acknowledged write, or for
    the write that a read saw; 0: it named none.
    """

    client: str
    number: int
    kind: Kind
    key: str
    value: int | None
    via: str
    sent_us: int
    done_us: int
    outcome: Outcome
    code: int = 0
    error: str = ""
    revision: int = 0


BYTES_PER_OP = 61
"""What a request takes in a `History`, beside texts that no other has."""
NO_VALUE = -(2**63)
"""What stands in the column of values for None."""
_WHAT: tuple[tuple[Kind, Outcome], ...] = tuple(product(("write", "read"), ("ok", "fail", "unknown")))
_KIND_OF, _OUTCOME_OF = tuple(kind for kind, _ in _WHAT), tuple(outcome for _, outcome in _WHAT)


class Ordered(msgspec.Struct, frozen=True):
    """Requests in the order in which they were done: when, and their places in the history."""

    done_us: "array[int]"
    places: "array[int]"

    def between(self, from_us: int, to_us: int) -> "array[int]":
        """The places of those that were done in that time, both ends included."""
        return self.places[bisect_left(self.done_us, from_us) : bisect_right(self.done_us, to_us)]


class History(Sequence[Op]):
    """Requests in the order in which they were done, as columns of numbers: an eighth of what the values take. Each
    that is asked for is made anew; texts that are alike are kept once."""

    def __init__(self, ops: Iterable[Op] = ()) -> None:
        self._texts: list[str] = []
        self._number_of: dict[str, int] = {}
        self._who = tuple(array("I") for _ in range(4))  # client, key, via, error
        self._what = array("B")
        self._code = array("H")
        self.number, self.value, self.sent_us, self.done_us, self.revision = (array("q") for _ in range(5))
        self._times = self.number, self.value, self.sent_us, self.done_us, self.revision
        self._ordered: dict[tuple[Kind | None, Outcome | None, str | None], Ordered] = {}
        self._last_sent_us: dict[Kind, int | None] = {}
        for op in ops:
            self.append(op)

    def append(self, op: Op) -> None:
        """One more. Raises OverflowError where a number is greater than any that a run has."""
        value = NO_VALUE if op.value is None else op.value
        numbers = (op.number, value, op.sent_us, op.done_us, op.revision)
        if not 0 <= op.code < 2**16 or not all(-(2**63) <= number < 2**63 for number in numbers):
            raise OverflowError("a number of a request is too great")
        for texts, text in zip(self._who, (op.client, op.key, op.via, op.error), strict=True):
            texts.append(self._text(text))
        for column, number in zip(self._times, numbers, strict=True):
            column.append(number)
        self._code.append(op.code)
        self._what.append(_WHAT.index((op.kind, op.outcome)))
        self._ordered.clear()
        self._last_sent_us.clear()

    def _text(self, text: str) -> int:
        number = self._number_of.setdefault(text, len(self._texts))
        if number == len(self._texts):
            self._texts.append(text)
        return number

    def __len__(self) -> int:
        return len(self._what)

    def __iter__(self) -> Iterator[Op]:
        return self._made(range(len(self)))

    @overload
    def __getitem__(self, place: int) -> Op: ...
    @overload
    def __getitem__(self, place: slice) -> list[Op]: ...
    def __getitem__(self, place: int | slice) -> Op | list[Op]:
        if isinstance(place, slice):
            return list(self._made(range(len(self))[place]))
        return next(self._made((range(len(self))[place],)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return len(self) == len(other) and all(ours == theirs for ours, theirs in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as lists have none

    def split(self, by: Literal["client", "key", "via"]) -> dict[str, "Part"]:
        """The requests of each client, key or node, in their order; whoever reads one makes them."""
        column = self._who[("client", "key", "via").index(by)]
        places = {text: array("I") for text in dict.fromkeys(column)}
        put = {text: where.append for text, where in places.items()}
        for place, text in enumerate(column):
            put[text](place)
        return {self._texts[text]: Part(self, where) for text, where in places.items()}

    def writes(self) -> "Part":
        """All writes, in their order."""
        return Part(self, array("I", self.places("write")))

    def outcome(self, place: int) -> Outcome:
        """Of the request in that place, which is not made."""
        return _OUTCOME_OF[self._what[place]]

    def key(self, place: int) -> str:
        """See `outcome`."""
        return self._texts[self._who[1][place]]

    def via(self, place: int) -> str:
        """See `outcome`."""
        return self._texts[self._who[2][place]]

    def places(
        self, kind: Kind | None = None, outcome: Outcome | None = None, of: "array[int] | None" = None
    ) -> Iterator[int]:
        """Of all requests of that kind and outcome (None: any), in the order of the history, none of them made. `of`:
        among these places alone."""
        what = self._what.tobytes() if of is None else bytes(map(self._what.__getitem__, of))
        return compress(range(len(self)) if of is None else of, what.translate(_wanted(kind, outcome)))

    def number_of(self, kind: Kind, outcome: Outcome) -> int:
        """How many there are."""
        return self._what.count(_WHAT.index((kind, outcome)))

    def ordered(self, kind: Kind | None = None, outcome: Outcome | None = None, via: str | None = None) -> Ordered:
        """Those, in the order in which they were done; `via`: of this node alone. Checks ask for it fault by fault: it
        is kept until another request comes."""
        asked = kind, outcome, via
        if asked not in self._ordered:
            places = self.places(kind, outcome)
            if via is not None:
                nodes, node = self._who[2], self._number_of.get(via, -1)
                places = (place for place in places if nodes[place] == node)
            order = array("I", sorted(places, key=self.done_us.__getitem__))
            self._ordered[asked] = Ordered(array("q", map(self.done_us.__getitem__, order)), order)
        return self._ordered[asked]

    def last_sent_us(self, kind: Kind) -> int | None:
        """When the last of that kind was begun; None: there was none. Kept, as `ordered` is."""
        if kind not in self._last_sent_us:
            sent_us = compress(self.sent_us, self._what.tobytes().translate(_wanted(kind, None)))
            self._last_sent_us[kind] = max(sent_us, default=None)
        return self._last_sent_us[kind]

    def at(self, places: Sequence[int]) -> Iterator[Op]:
        """Those in these places."""
        return self._made(places)

    def _made(self, places: Sequence[int]) -> Iterator[Op]:
        """In C, place by place: checks walk over all of it again and again."""
        columns = (*self._who, self._what, self._what, self._code, *self._times)
        client, key, via, error, kind, outcome, code, number, value, sent_us, done_us, revision = (
            column if places == range(len(self)) else map(column.__getitem__, places) for column in columns
        )
        text = self._texts.__getitem__
        return map(
            Op,
            map(text, client),
            number,
            map(_KIND_OF.__getitem__, kind),
            map(text, key),
            (None if one == NO_VALUE else one for one in value),
            map(text, via),
            sent_us,
            done_us,
            map(_OUTCOME_OF.__getitem__, outcome),
            code,
            map(text, error),
            revision,
        )


@cache
def _wanted(kind: Kind | None, outcome: Outcome | None) -> bytes:
    """Which numbers in the column of what was done are meant, for `bytes.translate`: a walk in C."""
    meant = [kind in (None, one) and outcome in (None, told) for one, told in _WHAT]
    return bytes(meant).ljust(256, b"\0")


class Part(Sequence[Op]):
    """Some requests of a history, by their places in it."""

    def __init__(self, history: History, places: "array[int]") -> None:
        self.history, self._places = history, places

    def places(self, kind: Kind | None = None, outcome: Outcome | None = None) -> Iterator[int]:
        """Those of that kind and outcome (None: any), as places in the history."""
        return self.history.places(kind, outcome, self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Op]:
        return self.history.at(self._places)

    @overload
    def __getitem__(self, place: int) -> Op: ...
    @overload
    def __getitem__(self, place: slice) -> list[Op]: ...
    def __getitem__(self, place: int | slice) -> Op | list[Op]:
        if isinstance(place, slice):
            return list(self.history.at(self._places[place]))
        return self.history[self._places[place]]


def columns_of(history: Sequence[Op]) -> History:
    """The same requests as a `History`."""
    return history if isinstance(history, History) else History(history)


def by_key(history: Sequence[Op]) -> dict[str, Part]:
    """The requests of each key, in the order of the history, none of them made."""
    return columns_of(history).split("key")
