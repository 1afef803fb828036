"""Replay a world: `python -m tests.simulation SEED [--trace FILE]`. Prints what happened and the trace's digest."""

import argparse
import sys
from pathlib import Path

from node.raft.errors import InvariantViolation
from node.simulation.births import Births
from node.simulation.invariants import Violation
from node.simulation.world import World


def main() -> int:
    """Exit code 0: all held; 1: a violation, printed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seed", type=int)
    parser.add_argument("--count", type=int, default=1, help="run this many seeds, from SEED on")
    parser.add_argument("--births", action="store_true", help="worlds that are about birth alone")
    parser.add_argument("--trace", type=Path, help="write the trace there, one line an event")
    arguments = parser.parse_args()
    for seed in range(arguments.seed, arguments.seed + arguments.count):
        lines: list[bytes] = []
        world = (Births if arguments.births else World)(seed, lines.append if arguments.trace else None)
        failed = ""
        try:
            world.run()
        except (Violation, InvariantViolation) as error:
            failed = f"{type(error).__name__}: {error}"
        if arguments.trace:
            arguments.trace.write_bytes(b"\n".join(lines) + b"\n")
        tallies = world.tallies
        print(
            f"seed {seed}: {len(world.servers)} servers, {len(world.invariants.committed)} committed, "
            f"{max(world.invariants.leaders, default=0)} terms, writes {tallies.writes_done} done "
            f"{tallies.writes_unknown} unknown {tallies.writes_refused} refused, reads {tallies.reads_done} done "
            f"{tallies.reads_failed} failed, {world.lines} lines, trace {world.digest[:16]}"
        )
        if failed:
            print(f"seed {seed}: at {world.scheduler.now()} us: {failed}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
