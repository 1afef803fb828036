"""A dictionary of keys in many parts, none of which takes long to grow.

Why it exists: a dictionary that is full copies itself into a larger one, in one go: 40 to 70 ms with 700,000 keys, and
a store that grows or is restored passes through all these moments. It must not be iterated for a result: which key is
in which part differs from process to process.
"""

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

PARTS = 64
"""With a million keys, the largest growth of a part copies 11,000."""

_MASK = PARTS - 1

_SHIFT = 40
"""A dictionary places its keys by the lowest bits of their hashes: those must differ within a part."""


class ByKey(Generic[T]):
    """`part(key)` is the dictionary that holds `key`, if any does."""

    __slots__ = ("parts",)

    def __init__(self) -> None:
        self.parts: tuple[dict[bytes, T], ...] = tuple({} for _ in range(PARTS))

    def part(self, key: bytes) -> dict[bytes, T]:
        """For this key alone."""
        return self.parts[hash(key) >> _SHIFT & _MASK]

    def of(self, keys: Iterable[bytes]) -> list[T]:
        """What stands at each of these keys, all of which are in here."""
        parts, shift, mask = self.parts, _SHIFT, _MASK
        return [parts[hash(key) >> shift & mask][key] for key in keys]

    def some_of(self, keys: Iterable[bytes]) -> list[T | None]:
        """The same where they need not be; None where one is not."""
        parts, shift, mask = self.parts, _SHIFT, _MASK
        return [parts[hash(key) >> shift & mask].get(key) for key in keys]

    def keep(self, keys: Iterable[bytes], values: Iterable[T]) -> None:
        """Each of these values at its key; of several at one key, the last."""
        parts, shift, mask = self.parts, _SHIFT, _MASK
        for key, value in zip(keys, values, strict=True):
            parts[hash(key) >> shift & mask][key] = value

    def clearing(self) -> Iterator[None]:
        """Let the tables of all parts go, a part at a time: an empty dictionary keeps what it had grown to."""
        for part in self.parts:
            part.clear()
            yield

    def __len__(self) -> int:
        return sum(map(len, self.parts))
