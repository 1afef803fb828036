"""Whether the compares of a transaction hold, as of one revision, in slices.

Why it exists: a compare may be over a range, and a transaction may have 128 of them over all keys, each of which must
be looked at; so it is done in few steps per key. It must not write.
"""

import operator
from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

from node.statemachine.ranges import end_of
from node.statemachine.versions import Versions
from node.statemachine.work import BYTES_PER_UNIT, KEYS_SEEN_PER_UNIT, Meter, Slices
from node.statemachine.writes import Compare, KeyValue, Relation, Target

_ACTUAL: dict[Target, Callable[[KeyValue], Any]] = {
    Target.VERSION: operator.attrgetter("version"),
    Target.CREATE_REVISION: operator.attrgetter("create_revision"),
    Target.MOD_REVISION: operator.attrgetter("mod_revision"),
    Target.VALUE: operator.attrgetter("value"),
    Target.LEASE: operator.attrgetter("lease"),
}

_RELATES: dict[Relation, Callable[[Any, Any], bool]] = {
    Relation.EQUAL: operator.eq,
    Relation.GREATER: operator.gt,
    Relation.LESS: operator.lt,
    Relation.NOT_EQUAL: operator.ne,
}


def holding(versions: Versions, compare: Compare, revision: int, meter: Meter) -> Slices[bool]:
    """Whether `compare`, which is well-formed, holds at `revision`. In a range each key must satisfy it."""
    operand_bytes = len(compare.operand) if isinstance(compare.operand, bytes) else 0
    meter.left -= 1 + operand_bytes // BYTES_PER_UNIT
    if not compare.range_end:
        kv = versions.at(compare.key, revision)
        return _missing(compare) if kv is None else _all([kv], compare)
    empty = True
    start: bytes | None = compare.key
    while start is not None:
        found, start, seen = versions.look(start, end_of(compare), revision, meter.keys(operand_bytes))
        meter.left -= 1 + seen // KEYS_SEEN_PER_UNIT + len(found) * operand_bytes // BYTES_PER_UNIT
        if found:
            empty = False
            if not _all(found, compare):
                return False
        if meter.left <= 0:
            yield
    return _missing(compare) if empty else True


def _all(found: Sequence[KeyValue], compare: Compare) -> bool:
    operand, relates = compare.operand, _RELATES[compare.relation]
    return all(map(relates, map(_ACTUAL[compare.target], found), repeat(operand)))


def _missing(compare: Compare) -> bool:
    """A key that is not there has 0 of every number, and no value."""
    return compare.target is not Target.VALUE and _RELATES[compare.relation](0, compare.operand)
