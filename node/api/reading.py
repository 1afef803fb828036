"""Reads that may be long, as jobs. To be deleted once the store itself offers them: then call its `begin_read`.

Why it exists: the API reads in slices, and must work with a store that cannot do so yet.
"""

from collections.abc import Callable
from typing import Protocol, cast

from node.api.slices import ReadJob
from node.statemachine.commands import Range, RangeResult, ReadError, Result, Txn


class _Reads(Protocol):
    def read(self, wanted: Range) -> RangeResult | ReadError: ...
    def read_txn(self, txn: Txn) -> Result: ...


class _InOneGo:
    """A job that does all its work when it is first run."""

    def __init__(self, read: Callable[[], object]) -> None:
        self._read = read
        self.result: object = None

    def run(self, _work_max: int, /) -> bool:
        self.result = self._read()
        return True

    def close(self) -> None:
        """Nothing is held."""


def begin_read(store: _Reads, wanted: Range) -> ReadJob:
    """A job whose result is what `wanted` describes, at the revision of now."""
    begin = getattr(store, "begin_read", None)
    return _InOneGo(lambda: store.read(wanted)) if begin is None else cast(ReadJob, begin(wanted))


def begin_read_txn(store: _Reads, txn: Txn) -> ReadJob:
    """The same for a transaction that only reads."""
    begin = getattr(store, "begin_read_txn", None)
    return _InOneGo(lambda: store.read_txn(txn)) if begin is None else cast(ReadJob, begin(txn))
