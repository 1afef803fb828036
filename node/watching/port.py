"""What watching sees of the store.

Why it exists: the room follows revisions and must not know how they are kept. `KeyValueStore` satisfies it.
"""

from collections.abc import Sequence
from typing import Protocol

from node.statemachine.writes import KeyValue


class WatchedStore(Protocol):
    """Revisions from `compact_revision` to `revision` can be asked for."""

    @property
    def revision(self) -> int: ...
    @property
    def compact_revision(self) -> int: ...
    def changed(self, revision: int) -> Sequence[bytes]:
        """The keys that `revision` changed, in order; one that it changed twice may be there twice."""

    def version(self, key: bytes, revision: int) -> KeyValue | None:
        """The version that lived at `revision`; None: none did."""
