"""One world from its seed to its end, and what it came to, as a value.

Why it exists: commands, tests and batches on many processors all want the same: play, and be told in values what
happened. It must not print, and must not know which worlds a batch needs (coverage.py).
"""

from collections.abc import Callable, Collection

import msgspec

from node.raft.errors import InvariantViolation
from node.simulation.births import Births
from node.simulation.invariants import Violation
from node.simulation.leasing import Leasing
from node.simulation.locking import Locking
from node.simulation.machines import Machines
from node.simulation.members import Members
from node.simulation.repeating import Repeating
from node.simulation.returning import Returning
from node.simulation.survivors import Survivors
from node.simulation.watching import Watching
from node.simulation.world import World

KINDS: dict[str, type[World]] = {
    "world": World,
    "births": Births,
    "members": Members,
    "returning": Returning,
    "machines": Machines,
    "sessions": Repeating,
    "leases": Leasing,
    "locks": Locking,
    "watches": Watching,
    "survivors": Survivors,
}
"""What a seed can be played as."""


class Played(msgspec.Struct, frozen=True):
    """What became of a world. `violation`: which invariant did not hold, and how; empty: all did. `at_us`: virtual
    microseconds from its begin to its end. `digest`: of every byte of its trace. `story`:
    each fault and order that did anything, with its number."""

    kind: str
    seed: int
    violation: str
    at_us: int
    servers: int
    committed: int
    terms: int
    lines: int
    digest: str
    story: tuple[str, ...]
    faults: dict[str, int]
    outcomes: dict[str, int]


def play(kind: str, seed: int, keep: Callable[[bytes], None] | None = None, without: Collection[str] = ()) -> Played:
    """Play it, without some of its faults and orders. `keep` gets each line of its trace."""
    world = KINDS[kind](seed, keep, without)
    violation = ""
    try:
        world.run()
    except (Violation, InvariantViolation) as error:
        violation = f"{type(error).__name__}: {error}"
    return Played(
        kind=kind,
        seed=seed,
        violation=violation,
        at_us=world.scheduler.now(),
        servers=len(world.servers),
        committed=world.entries_committed,
        terms=max(world.invariants.leaders, default=0),
        lines=world.lines,
        digest=world.digest,
        story=(*world.faults.acts.story, *world.operators.acts.story),
        faults=dict(sorted((world.faults.acts.done | world.operators.acts.done).items())),
        outcomes=_outcomes(world),
    )


def _outcomes(world: World) -> dict[str, int]:
    """What came of it, by words that people and tables of coverage use."""
    tallies, orders = world.tallies, world.operators.orders
    world.happenings.end()
    configurations = world.invariants.configurations
    return {
        "writes done": tallies.writes_done,
        "writes of unknown outcome": tallies.writes_unknown,
        "writes refused": tallies.writes_refused,
        "reads done": tallies.reads_done,
        "reads failed": tallies.reads_failed,
        "orders obeyed": orders.get("ok", 0),
        "orders refused": orders.get("refused", 0),
        "damaged logs refused": world.faults.refused_damage,
        "frames with a flipped bit": world.network.flipped_frames,
        "changes of members committed": configurations.done,
        "changes of members rolled back": configurations.rolled_back,
        **dict(sorted(world.happenings.counts.items())),
    }
