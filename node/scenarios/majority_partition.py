"""Two followers are cut off, the leader keeps a majority: nobody notices, and their return disturbs nobody.

Why it exists: it is the other half of the story of partitions, and what PreVote is for. It must not kill anybody.
"""

import asyncio

from node.scenarios import faults
from node.scenarios.story import Lead, Story

CUT_TIMEOUTS = 4
"""For how many of the longest election timeouts the two are left alone, so that they try to be elected."""


async def play(story: Story) -> None:
    """Cut two followers off, write, look at what they try, heal."""
    led = await story.up()
    await story.acknowledged(led.name, "count", "1")
    names = story.cluster.nodes.names
    followers = [name for name in names if name != led.name]
    many, few = (led.name, *followers[:2]), tuple(followers[2:])
    await story.expect("the write applied on all five", lambda: story.same_logs(names))
    await _goes_on(story, led, many, few)
    await _cannot_win(story, led, few)
    await _heals(story, led, few)


async def _goes_on(story: Story, led: Lead, many: tuple[str, ...], few: tuple[str, ...]) -> None:
    story.now(f"The network splits: {', '.join(many)} here, {' and '.join(few)} there. The leader is with the three.")
    await story.predict(
        f"{led.name} still reaches a majority, so it goes on in term {led.term}: ten writes are acknowledged, and the "
        "two do not get them."
    )
    await story.prove(await story.cut(faults.between(many, few)))
    for number in range(2, 12):
        await story.acknowledged(led.name, "count", str(number))
    seen = [(await story.cluster.get(name, "count", stale=True)).text for name in few]
    now = await story.led(many)
    story.judge(
        now == led and set(seen) == {"1"},
        f"ten writes acknowledged, {led.name} leads term {led.term} as before; {' and '.join(few)} still say count=1.",
        f"{await story.roles()}; {' and '.join(few)} say count={', '.join(seen)}",
    )


async def _cannot_win(story: Story, led: Lead, few: tuple[str, ...]) -> None:
    cluster = story.cluster
    story.now(f"{' and '.join(few)} hear no leader, and their timeouts end again and again.")
    await story.predict(
        "Each asks first whether it could win (PreVote). With 2 of 5 it could not, so it never begins a new term: "
        f"the two stay in term {led.term} without a leader, however long it lasts."
    )
    since_us = story.now_us()
    await story.expect("both have asked for pre-votes", lambda: _both_asked(story, few))
    await asyncio.sleep(CUT_TIMEOUTS * cluster.timing.election_high_ms / 1000)
    views = await cluster.views(few)
    tries = sum(1 for event in cluster.told("election") if event.node in few and event.time_us >= since_us)
    story.judge(
        [(view.term, view.leader) for view in views.values()] == [(led.term, "")] * len(few),
        f"asked in vain {tries} times meanwhile; {await story.roles(few)}.",
        f"{await story.roles(few)}",
    )


async def _both_asked(story: Story, few: tuple[str, ...]) -> bool | None:
    asked = {event.node for event in story.cluster.told("election") if event.detail.get("phase") == "pre-vote"}
    return True if set(few) <= asked else None


async def _heals(story: Story, led: Lead, few: tuple[str, ...]) -> None:
    cluster = story.cluster
    story.now("The network is whole again.")
    await story.predict(
        f"The two hear {led.name}, follow it, and get the ten writes. Because their term never grew, they cannot "
        f"unseat the leader: it is still {led.name}, in term {led.term}."
    )
    healed_us = story.now_us()
    await story.heal()
    now = await story.expect("all five agree on a leader", story.one_leads)
    log = await story.expect("equal logs on all five", lambda: story.same_logs(cluster.nodes.names))
    story.timeline(healed_us, "leader", "won", "truncated")
    counts = {(await cluster.get(name, "count", stale=True)).text for name in few}
    story.judge(
        now == led and counts == {"11"},
        f"{led.name} leads term {led.term} as if nothing had been; all five logs hold the same {len(log)} entries.",
        f"{await story.roles()}; count is {', '.join(sorted(counts))} on {' and '.join(few)}",
    )
