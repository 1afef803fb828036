"""Who watches the health of a node, which everybody may: what many of them cost."""

import asyncio
from typing import cast

from node.api.grpc.health import TOLD_PER_TURN_MAX, Health
from node.api.grpc.methods import Call, StreamMethod

MANY = 1000


class Told:
    """A call that counts what it says."""

    def __init__(self) -> None:
        self.said: list[bytes] = []

    def send(self, message: bytes) -> None:
        self.said.append(message)


async def test_however_many_watch_the_node_is_asked_once_and_so_many_are_told_in_a_turn() -> None:
    ready, asked = [True], [0]

    def is_ready() -> bool:
        asked[0] += 1
        return ready[0]

    made = Health(is_ready, ["etcdserverpb.KV"])
    opened = cast(StreamMethod, made.methods()["/grpc.health.v1.Health/Watch"]).open
    calls = [Told() for _ in range(MANY)]
    watchers = [opened(cast(Call, call)) for call in calls]
    for number, watcher in enumerate(watchers):
        watcher.message({"service": ("", "etcdserverpb.KV", "nobody's")[number % 3]})
    assert [len(call.said) for call in calls] == [1] * MANY
    asked[0] = 0
    made._look()
    assert asked[0] == 1
    ready[0] = False
    made._look()
    assert asked[0] == 2
    turns = 0
    while len(made._untold):
        before = sum(len(call.said) for call in calls)
        await asyncio.sleep(0)
        turns += 1
        assert sum(len(call.said) for call in calls) - before <= TOLD_PER_TURN_MAX
        if turns == 3:
            ready[0] = True
            made._look()  # some were told already, and some not
    assert [len(call.said) for call in calls[2::3]] == [1] * len(calls[2::3]), (
        "of no service, whose state never changes"
    )
    assert len({call.said[-1] for call in calls[0::3] + calls[1::3]}) == 1, "all were told the last"
    assert {len(call.said) for call in calls[0::3]} == {1, 3}
    assert asked[0] == 3
    for watcher in watchers:
        watcher.gone()
    made._look()
    assert asked[0] == 3, "nobody wants to know"
