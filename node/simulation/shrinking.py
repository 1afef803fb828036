"""Of a world that fails, a short story: acts are left out as long as it fails without them.

Why it exists: a failure after forty faults is told by three of them. It must not mind which invariant fails: what is
left is looked at by people.
"""

from collections.abc import Callable, Sequence

import msgspec

from node.simulation.playing import Played, play

TRIES_MAX = 60
"""Each costs as much as a world."""


class Shrunk(msgspec.Struct, frozen=True):
    """`played`: the shortest that fails. `without`: what was left out of it."""

    played: Played
    without: tuple[str, ...]


def shrink(failed: Played, tries: int = TRIES_MAX, again: Callable[..., Played] = play) -> Shrunk:
    """Leave out halves of the acts, then quarters, and so on, and keep what still fails (delta debugging)."""
    best, without, parts = failed, tuple[str, ...](), 2
    while tries > 0:
        acts = numbers(best.story)
        size = max(1, -(-len(acts) // parts))
        for first in range(0, len(acts), size):
            tries -= 1
            tried = (*without, *acts[first : first + size])
            played = again(failed.kind, failed.seed, None, tried)
            if played.violation and len(played.story) < len(best.story):
                best, without, parts = played, tried, max(2, parts - 1)
                break
            if tries <= 0:
                break
        else:
            if size == 1 or not acts:
                break
            parts *= 2
    return Shrunk(best, without)


def numbers(story: Sequence[str]) -> list[str]:
    """Of the acts of a story."""
    return [line.split(" ", 1)[0] for line in story]
