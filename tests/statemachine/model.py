"""A second, naive implementation of the store: a dictionary of the whole state for every revision there ever was."""

from typing import NamedTuple

from node.statemachine.writes import Compact, Compare, DeleteRange, Nested, Put, Range, Txn

Found = dict[bytes, "Cell"]


class Cell(NamedTuple):
    value: bytes
    create: int
    mod: int
    version: int


def inside(key: bytes, start: bytes, range_end: bytes) -> bool:
    if range_end == b"":
        return key == start
    return start <= key and (range_end == b"\0" or key < range_end)


class Model:
    """`history[revision]` is everything that lived then."""

    def __init__(self) -> None:
        self.history: dict[int, Found] = {1: {}}
        self.revision = 1
        self.compacted = -1

    def find(self, start: bytes, range_end: bytes, revision: int = 0) -> list[tuple[bytes, Cell]] | str:
        if revision > self.revision:
            return "future"
        if revision and revision < self.compacted:
            return "compacted"
        state = self.history[revision or self.revision]
        return sorted((k, c) for k, c in state.items() if inside(k, start, range_end))

    def write(self, state: Found, op: Put | DeleteRange, revision: int) -> None:
        if isinstance(op, Put):
            old = state.get(op.key)
            state[op.key] = Cell(op.value, old.create if old else revision, revision, old.version + 1 if old else 1)
        else:
            for key in [k for k in state if inside(k, op.key, op.range_end)]:
                del state[key]

    def holds(self, compare: Compare) -> bool:
        state = self.history[self.revision]
        cells: list[Cell | None] = [cell for key, cell in state.items() if inside(key, compare.key, compare.range_end)]
        return all(self.cell_holds(cell, compare) for cell in cells or [None])

    def cell_holds(self, cell: Cell | None, compare: Compare) -> bool:
        name = compare.target.name
        if name == "VALUE":
            if cell is None:
                return False
            actual: object = cell.value
        else:
            field = {"VERSION": "version", "CREATE_REVISION": "create", "MOD_REVISION": "mod", "LEASE": ""}[name]
            actual = getattr(cell, field) if cell and field else 0
        return {
            "EQUAL": actual == compare.operand,
            "NOT_EQUAL": actual != compare.operand,
            "GREATER": actual > compare.operand,  # type: ignore[operator]
            "LESS": actual < compare.operand,  # type: ignore[operator]
        }[compare.relation.name]

    def clash(self, key: bytes, delete: DeleteRange) -> bool:
        """To etcd a delete of everything from a key on clashes with no put."""
        return delete.range_end != b"\0" and inside(key, delete.key, delete.range_end)

    def apply(self, write: Put | DeleteRange | Txn | Compact) -> str:
        """ "refused", or "done" (then the state is what it should be)."""
        if isinstance(write, Compact):
            if not self.compacted < write.revision <= self.revision:
                return "refused"
            self.compacted = write.revision
            return "done"
        if isinstance(write, Txn):
            for branch in (write.success, write.failure):
                puts = [op.key for op in branch if isinstance(op, Put)]
                deletes = [op for op in branch if isinstance(op, DeleteRange)]
                if len(set(puts)) < len(puts) or any(self.clash(k, d) for k in puts for d in deletes):
                    return "refused"
            operations = write.success if all(map(self.holds, write.compare)) else write.failure
            if any(isinstance(self.find(op.key, b"", op.revision), str) for op in operations if isinstance(op, Range)):
                return "refused"
        else:
            operations = (write,)
        state, changed = dict(self.history[self.revision]), False
        for op in operations:
            if not isinstance(op, (Range, Nested)):
                before = dict(state)
                self.write(state, op, self.revision + 1)
                changed = changed or state != before
        if changed:
            self.revision += 1
            self.history[self.revision] = state
        return "done"
