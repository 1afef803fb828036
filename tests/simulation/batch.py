"""Many worlds on all processors at once: a world knows nothing of another.

Why it exists: the suite and `python -m tests.simulation` run the same batches, and say alike how to replay a failure.
"""

import multiprocessing
from collections.abc import Iterable, Iterator
from functools import partial

from node.simulation.playing import Played, play


def play_all(seeds: Iterable[int], kind: str = "world") -> Iterator[Played]:
    """What became of each, as soon as it is known."""
    with multiprocessing.get_context("fork").Pool() as pool:
        yield from pool.imap_unordered(partial(play, kind), seeds)


def replay(played: Played) -> str:
    """The one command that shows it again."""
    kind = "" if played.kind == "world" else f" --kind {played.kind}"
    return f"raft-node simulate --seed {played.seed}{kind} --trace trace.txt"
