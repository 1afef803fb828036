"""Many worlds on all processors at once: a world knows nothing of another.

Why it exists: the suite and `python -m tests.simulation` run the same batches, and say alike how to replay a failure.
"""

import multiprocessing
from collections.abc import Iterator, Sequence

from node.simulation.playing import Played, play
from node.simulation.shrinking import TRIES_MAX, shrink


def play_worlds(worlds: Sequence[tuple[str, int]]) -> Iterator[Played]:
    """What became of each, a kind and a seed, as soon as it is known."""
    with multiprocessing.get_context("fork").Pool() as pool:
        yield from pool.imap_unordered(_play, worlds)


def _play(world: tuple[str, int]) -> Played:
    return play(*world)


def replay(played: Played, without: Sequence[str] = ()) -> str:
    """The one command that shows it again."""
    kind = "" if played.kind == "world" else f" --kind {played.kind}"
    left_out = f" --without {','.join(without)}" if without else ""
    return f"raft-node simulate --seed {played.seed}{kind}{left_out} --trace trace.txt"


def short_story(failed: Played, tries: int = TRIES_MAX) -> str:
    """As few faults and orders as it fails with, how, and the command for that."""
    shrunk = shrink(failed, tries)
    lines = [f"  {line}" for line in shrunk.played.story]
    return "\n".join([*lines, f"  then: {shrunk.played.violation}", f"  {replay(shrunk.played, shrunk.without)}"])
