"""The history: what every client asked, and what it was told, in the order it was told.

Why it exists: "nothing was lost" needs somebody who remembers what was acknowledged; an unknown outcome stays unknown
for ever, and a run of hours must fit into memory. It must not judge: see `checks`.
"""

from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import compress, product
from typing import Literal, overload

import msgspec

PastRead = tuple[int, int, int]
"""(revision asked for, revision of the write that the key held then, its value); (asked, 0, 0): it held nothing."""


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
    kind: Literal["write", "read"]
    key: str
    value: int | None
    via: str
    sent_us: int
    done_us: int
    outcome: Literal["ok", "fail", "unknown"]
    code: int = 0
    error: str = ""
    revision: int = 0


BYTES_PER_OP = 61
"""What a request takes in a `History`, beside texts that no other has."""
_WHAT: tuple[tuple[Literal["write", "read"], Literal["ok", "fail", "unknown"]], ...] = tuple(
    product(("write", "read"), ("ok", "fail", "unknown"))
)
_KIND_OF, _OUTCOME_OF = tuple(kind for kind, _ in _WHAT), tuple(outcome for _, outcome in _WHAT)
_NO_VALUE = -(2**63)
_WHEN: tuple[Literal["sent_us", "done_us"], ...] = ("sent_us", "done_us")


class History(Sequence[Op]):
    """Requests in the order in which they were done, as columns of numbers: an eighth of what the values take. Each
    that is asked for is made anew; texts that are alike are kept once."""

    def __init__(self, ops: Iterable[Op] = ()) -> None:
        self._texts: list[str] = []
        self._number_of: dict[str, int] = {}
        self._who = tuple(array("I") for _ in range(4))  # client, key, via, error
        self._what = array("B")
        self._code = array("H")
        self._times = tuple(array("q") for _ in range(5))  # number, value, sent_us, done_us, revision
        for op in ops:
            self.append(op)

    def append(self, op: Op) -> None:
        """One more. Raises OverflowError where a number is greater than any that a run has."""
        value = _NO_VALUE if op.value is None else op.value
        numbers = (op.number, value, op.sent_us, op.done_us, op.revision)
        if not 0 <= op.code < 2**16 or not all(-(2**63) <= number < 2**63 for number in numbers):
            raise OverflowError("a number of a request is too great")
        for texts, text in zip(self._who, (op.client, op.key, op.via, op.error), strict=True):
            texts.append(self._text(text))
        for column, number in zip(self._times, numbers, strict=True):
            column.append(number)
        self._code.append(op.code)
        self._what.append(_WHAT.index((op.kind, op.outcome)))

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
        places: dict[int, array[int]] = {}
        for place, text in enumerate(self._who[("client", "key", "via").index(by)]):
            if text not in places:
                places[text] = array("I")
            places[text].append(place)
        return {self._texts[text]: Part(self, where) for text, where in places.items()}

    def writes(self) -> "Part":
        """All writes, in their order."""
        return Part(self, array("I", self.places("write")))

    def places(
        self, kind: Literal["write", "read"], outcome: Literal["ok", "fail", "unknown"] | None = None
    ) -> Iterator[int]:
        """Of all requests of that kind, and of that outcome where one is named: none of them is made."""
        wanted = [number for number, (one, told) in enumerate(_WHAT) if one == kind and outcome in (None, told)]
        return compress(range(len(self)), map(set(wanted).__contains__, self._what))

    def moments(
        self,
        when: Literal["sent_us", "done_us"],
        kind: Literal["write", "read"],
        outcome: Literal["ok", "fail", "unknown"] | None = None,
        via: Collection[str] | None = None,
    ) -> list[int]:
        """When those were sent, or done, in the order of the history; `via`: of these nodes alone."""
        column, places = self._times[2 if when == "sent_us" else 3], self.places(kind, outcome)
        if via is None:
            return [column[place] for place in places]
        nodes, known = self._who[2], {self._number_of[node] for node in via if node in self._number_of}
        return [column[place] for place in places if nodes[place] in known]

    def spans(
        self,
        kind: Literal["write", "read"],
        outcome: Literal["ok", "fail", "unknown"] | None = None,
        via: Collection[str] | None = None,
    ) -> Iterator[tuple[int, int]]:
        """When each of those was sent and done."""
        return zip(*(self.moments(when, kind, outcome, via) for when in _WHEN), strict=True)

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
            (None if one == _NO_VALUE else one for one in value),
            map(text, via),
            sent_us,
            done_us,
            map(_OUTCOME_OF.__getitem__, outcome),
            code,
            map(text, error),
            revision,
        )


class Part(Sequence[Op]):
    """Some requests of a history, by their places in it."""

    def __init__(self, history: History, places: "array[int]") -> None:
        self._history, self._places = history, places

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Op]:
        return self._history.at(self._places)

    @overload
    def __getitem__(self, place: int) -> Op: ...
    @overload
    def __getitem__(self, place: slice) -> list[Op]: ...
    def __getitem__(self, place: int | slice) -> Op | list[Op]:
        if isinstance(place, slice):
            return list(self._history.at(self._places[place]))
        return self._history[self._places[place]]


def columns_of(history: Sequence[Op]) -> History:
    """The same requests as a `History`."""
    return history if isinstance(history, History) else History(history)


def by_key(history: Sequence[Op]) -> Iterator[tuple[str, list[Op]]]:
    """The requests of each key, in the order of the history; of a long run not all are made at a time."""
    return ((key, list(part)) for key, part in columns_of(history).split("key").items())
