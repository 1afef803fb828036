"""Many fresh worlds, on all processors: what a night is for.

    python -m tests.simulation --seeds 10000

Exit code 0: every invariant held; 1: one did not, and its one command is printed, or something that such worlds
should see never happened (node/simulation/coverage.py). One world alone: `raft-node simulate --seed N --trace FILE`.
"""

import argparse
import sys
import time
from collections import Counter
from random import SystemRandom

from node.simulation.coverage import WORLDS_MIN, not_covered
from node.simulation.playing import KINDS, Played
from tests.simulation.batch import play_worlds, replay, short_story

PROGRESS_S = 2.0
MIXED = (
    *("world", "members", "sessions", "members", "watches", "members", "survivors", "members"),
    *("world", "members", "locks", "members", "leases", "members"),
)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1_000, help="how many worlds")
    parser.add_argument("--first", type=int, default=None, help="the first seed; by default one that nobody has seen")
    parser.add_argument("--kind", choices=KINDS, default=None, help="by default members change in every other world")
    arguments = parser.parse_args()
    first = SystemRandom().randrange(1 << 48) if arguments.first is None else arguments.first
    worlds = [(arguments.kind or MIXED[seed % len(MIXED)], seed) for seed in range(first, first + arguments.seeds)]
    print(f"{len(worlds)} worlds, seeds from {first} on", flush=True)
    violated, outcomes = 0, Counter[str]()
    first_failed: Played | None = None
    began = said = time.monotonic()
    for done, played in enumerate(play_worlds(worlds), 1):
        outcomes.update({"worlds": 1, **played.outcomes, **played.faults})
        if played.violation:
            violated += 1
            first_failed = first_failed or played
            print(f"seed {played.seed}: {played.violation}\n  replay: {replay(played)}", flush=True)
        if time.monotonic() - said >= PROGRESS_S:
            said = time.monotonic()
            left_s = (said - began) / done * (arguments.seeds - done)
            print(f"{done} of {arguments.seeds} worlds, {violated} violated; {left_s:.0f} s left", file=sys.stderr)
    for name, count in sorted(outcomes.items()):
        print(f"{count:>12,}  {name}")
    if first_failed is not None:
        print(f"seed {first_failed.seed}, with as few faults as it takes:\n{short_story(first_failed)}")
    missing = not_covered(outcomes) if arguments.kind is None and len(worlds) >= WORLDS_MIN else ()
    for name in missing:
        print(f"NOT COVERED: {name}")
    return 1 if violated or missing else 0


if __name__ == "__main__":
    sys.exit(main())
