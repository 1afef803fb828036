"""Many worlds on all processors at once: a world knows nothing of another.

Why it exists: the suite and `python -m tests.simulation` run the same batches, and say alike how to replay a failure.
"""

import multiprocessing
from collections.abc import Iterator, Sequence

from node.simulation.playing import Played, play


def play_worlds(worlds: Sequence[tuple[str, int]]) -> Iterator[Played]:
    """What became of each, a kind and a seed, as soon as it is known."""
    with multiprocessing.get_context("fork").Pool() as pool:
        yield from pool.imap_unordered(_play, worlds)


def _play(world: tuple[str, int]) -> Played:
    return play(*world)


def replay(played: Played) -> str:
    """The one command that shows it again."""
    kind = "" if played.kind == "world" else f" --kind {played.kind}"
    return f"raft-node simulate --seed {played.seed}{kind} --trace trace.txt"
