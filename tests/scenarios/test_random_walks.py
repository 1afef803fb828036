"""The world of the scenarios, driven at random: what no story thought of.

After every move: one leader per term, committed entries equal everywhere and for ever, logs that match (figure 3),
terms that never fall on a disk, and every read at least as new as what was committed when it was asked. At the end the
cluster is left in peace and must recover. The whole simulator, with disk and state machine, is in tests/simulation.
"""

import random

import pytest

from node.raft.effects import Effect, ReadReady
from node.raft.messages import Birth
from node.raft.types import Role
from tests.scenarios.world import Node, World

MOVES = 400
ROUNDS_TO_RECOVER_MAX = 60


class Wild(World):
    """A world that knows what each read must see, and checks more than a story needs."""

    def __init__(self) -> None:
        super().__init__()
        self.due: dict[int, int] = {}
        self.served = 0

    def ask(self, node: Node) -> None:
        self.due[self._requests + 1] = max((n.raft.commit for n in self.nodes.values() if n.raft), default=0)
        self.read(node)

    def _take(self, node: Node, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, ReadReady):
                assert node.raft is not None
                for request in effect.requests:
                    self.served += 1
                    assert effect.index >= self.due[request], f"read {request} is stale on {node.name}"
                    assert node.raft.applied >= effect.index
        super()._take(node, effects)

    def check(self) -> None:
        super().check()
        logs = [n.raft.entries(1, 10_000) for n in self.nodes.values() if n.raft]
        for at, one in enumerate(logs):
            for other in logs[at + 1 :]:
                same = [k for k, (x, y) in enumerate(zip(one, other, strict=False)) if x.term == y.term]
                if same:
                    assert one[: same[-1] + 1] == other[: same[-1] + 1], "logs match in term but not in history"


def move(world: Wild, chance: random.Random) -> None:
    """One random thing happens, somewhere."""
    node = chance.choice(list(world.nodes.values()))
    draw = chance.random()
    if draw < 0.45 and world.flying:
        item = world.flying[0] if chance.random() < 0.7 else chance.choice(world.flying)
        if chance.random() > 0.1:
            world.flying.remove(item)
        if chance.random() > 0.1:
            world.deliver(item)
    elif draw < 0.68 and node.writing:
        before = node.hard.term
        world.persist_next(node)
        assert node.hard.term >= before
    elif draw < 0.75 and node.applying:
        world.apply_next(node)
    elif draw < 0.82 and node.raft:
        world.propose(node, ["x"])
    elif draw < 0.87 and node.raft:
        world.ask(node)
    elif draw < 0.95 and node.raft and node.raft.deadline is not None:
        soonest = min((n for n in world.nodes.values() if n.raft and n.raft.deadline is not None), key=due_of)
        world.deadline(soonest if chance.random() < 0.8 else node)
    elif draw < 0.965:
        world.crash(node) if node.raft else world.start(node)
    elif draw < 0.98:
        names = list(world.nodes)
        chance.shuffle(names)
        cut = chance.randrange(len(names))
        world.sides = [set(names[:cut])] if cut else []
    node.chance.timeout_us = chance.randrange(150_000, 300_000)


def due_of(node: Node) -> int:
    return (node.raft.deadline if node.raft else None) or 0


def recover(world: Wild) -> None:
    """Nothing is lost any more and time passes in order: soon one leads, and what it commits is everywhere."""
    world.sides = []
    for node in world.nodes.values():
        if node.raft is None:
            world.start(node)
    for _ in range(ROUNDS_TO_RECOVER_MAX):
        world.stabilize(world.nodes)
        world.check()
        leaders = [n for n in world.nodes.values() if n.raft and n.raft.role is Role.LEADER]
        logs = {n.raft.entries(1, 10_000) for n in world.nodes.values() if n.raft}
        applied = {n.raft.applied for n in world.nodes.values() if n.raft}
        if len(leaders) == 1 and len(logs) == 1 and applied == {len(logs.pop())}:
            return
        world.deadline(min((n for n in world.nodes.values() if n.raft and n.raft.deadline is not None), key=due_of))
    raise AssertionError("the cluster did not recover")


def walk(seed: int, born: bool = True) -> Wild:
    chance = random.Random(seed)
    world = Wild()
    for name in "abcde"[: chance.choice((1, 2, 3, 3, 3, 5))]:
        world.add(name, chance.randrange(150_000, 300_000))
    for node in world.nodes.values():
        if born:
            world.given(node, 1, "", [1] * chance.randrange(2), 1)
        world.start(node)
    for _ in range(MOVES):
        move(world, chance)
        world.check()
        world.said.clear()
    recover(world)
    return world


@pytest.mark.parametrize("seed", range(24))
def test_a_random_walk_keeps_every_promise(seed: int) -> None:
    walk(seed)


@pytest.mark.parametrize("seed", range(8))
def test_a_random_walk_from_empty_disks_makes_one_cluster(seed: int) -> None:
    world = walk(seed, born=False)
    assert len({node.entries[0] for node in world.nodes.values()}) == 1
    assert not any(isinstance(item.message, Birth) for item in world.flying)


def test_the_walks_read_and_commit_enough_to_mean_something() -> None:
    worlds = [walk(seed) for seed in range(100, 106)]
    assert sum(world.served for world in worlds) > 5
    assert sum(len(world._committed) for world in worlds) > 30
