"""When a cluster counts as whole again: not before every voter follows one leader and has caught up with it."""

import random
from collections.abc import Callable, Mapping
from typing import Any, cast

import aiohttp
import msgspec

from chaos.clock import Clock
from chaos.faults.port import Scene
from chaos.model import View
from chaos.run.recovery import until_whole
from tests.chaos.doubles import addresses
from tests.chaos.situations import view

NODES: dict[str, str] = {"n1": "", "n2": "", "n3": ""}


class Film:
    """A sampler that shows one picture of the cluster after the other."""

    def __init__(self, *pictures: dict[str, View | None]) -> None:
        self._pictures, self._now, self.seen = pictures, Clock(), 0

    def latest(self) -> Mapping[str, View]:
        at_us = self._now.now_us()
        picture = self._pictures[min(self.seen, len(self._pictures) - 1)]
        return {
            name: msgspec.structs.replace(one, asked_us=at_us, answered_us=at_us)
            for name, one in picture.items()
            if one
        }

    async def until(self, holds: Callable[[Mapping[str, View]], bool], timeout_s: float) -> bool:
        for number in range(len(self._pictures)):
            self.seen = number
            if holds(self.latest()):
                return True
        return False


def cluster(**changed: Any) -> dict[str, View | None]:
    base: dict[str, View | None] = {
        name: view(name, "leader" if name == "n1" else "follower", voters=3) for name in NODES
    }
    for name, change in changed.items():
        one = base[name]
        assert one is not None
        base[name] = msgspec.structs.replace(one, **change) if change is not None else None
    return base


class Watched(Scene):
    """A node that is asked says what the film shows, but what `surprises` show first."""

    surprises: tuple[dict[str, View | None], ...] = ()
    looks = 0

    async def look(self, node: str) -> View | None:
        surprise = self.surprises[self.looks // 3] if self.looks // 3 < len(self.surprises) else None
        self.looks += 1
        return self.views.latest().get(node) if surprise is None else surprise[node]


async def whole_at(*pictures: dict[str, View | None], surprises: tuple[dict[str, View | None], ...] = ()) -> int | None:
    """The number of the picture that counted as whole."""
    film = Film(*pictures)
    scene = Watched(
        run="r",
        target=addresses(**NODES),
        session=cast(aiohttp.ClientSession, None),
        clock=film._now,
        views=film,
        journal=cast(Any, None),
        rng=random.Random(1),
        say=print,
        duration_s=1.0,
        limit_s=1.0,
    )
    scene.surprises = surprises
    at_us, _ = await until_whole(scene, 1.0)
    assert at_us is None or scene.looks == 3 * (len(surprises) + 1)
    return None if at_us is None else film.seen


async def test_a_whole_cluster_is_whole_at_once() -> None:
    assert await whole_at(cluster()) == 0


async def test_a_silent_voter_one_without_a_leader_and_one_in_an_older_term_are_waited_for() -> None:
    pictures = (cluster(n3=None), cluster(n3={"leader": ""}), cluster(n3={"term": 4}), cluster())
    assert await whole_at(*pictures) == 3


async def test_a_voter_that_lags_behind_is_waited_for() -> None:
    assert await whole_at(cluster(n2={"applied": 3}), cluster(n2={"applied": 9}), cluster()) == 2


async def test_what_is_committed_meanwhile_need_not_be_caught_up_with() -> None:
    on = {"commit": 500, "applied": 500}
    assert await whole_at(cluster(n2={"applied": 3}), cluster(n1=on, n2={"applied": 10})) == 1


async def test_after_a_change_of_leader_the_new_one_sets_the_mark() -> None:
    led_by_2 = {
        "n1": {"role": "follower", "leader": "n2", "term": 6},
        "n2": {"role": "leader", "leader": "n2", "term": 6, "commit": 40, "applied": 40},
        "n3": {"leader": "n2", "term": 6, "applied": 40},
    }
    caught_up = {**led_by_2, "n1": {**led_by_2["n1"], "applied": 40}}
    assert await whole_at(cluster(n3={"applied": 1}), cluster(**led_by_2), cluster(**caught_up)) == 2


async def test_a_cluster_that_stays_broken_is_not_whole() -> None:
    assert await whole_at(cluster(n3=None), cluster(n3=None)) is None


async def test_a_fall_that_samples_do_not_show_yet_is_seen_before_it_is_called_whole() -> None:
    fallen = cluster(n3=None)
    assert await whole_at(cluster(), surprises=(fallen,)) == 0
    assert await whole_at(cluster(), surprises=(fallen,) * 1000) is None
