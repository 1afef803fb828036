"""The leader is cut off with one follower: two of five can do nothing, three of five go on without them.

Why it exists: it shows why there is no split brain. It must not kill anybody: all five processes run all the time.
"""

import asyncio

from node.scenarios import faults
from node.scenarios.story import Lead, Story


async def play(story: Story) -> None:
    """Cut the leader and a follower off, try both sides, heal."""
    led = await story.up()
    await story.acknowledged(led.name, "color", "blue")
    names = story.cluster.nodes.names
    few = (led.name, next(name for name in names if name != led.name))
    many = tuple(name for name in names if name not in few)
    await story.expect("the write applied on all five", lambda: story.same_logs(names))
    after = await _both_sides(story, led, few, many)
    await _reads(story, few, many)
    await _heals(story, led, after, few)


async def _both_sides(story: Story, led: Lead, few: tuple[str, ...], many: tuple[str, ...]) -> Lead:
    cluster = story.cluster
    story.now(f"color=blue is acknowledged. The network splits: {' and '.join(few)} here, {', '.join(many)} there.")
    await story.predict(
        f"{led.name} cannot get a majority any more: a write through it is not acknowledged, and it steps down by "
        f"itself. The three elect a leader of their own in a term above {led.term}, and go on."
    )
    cut_us = story.now_us()
    made = await story.cut(faults.between(few, many))
    refused = await cluster.put(led.name, "color", "red", timeout_ms=cluster.timing.election_high_ms * 3 // 2)
    await story.prove(made)
    after = await story.expect(f"a leader among {', '.join(many)}", lambda: story.led(many))
    await story.expect(f"{led.name} steps down", lambda: _follows_nobody(story, led.name))
    await story.news("quorum-lost", led.name, cut_us)
    story.timeline(cut_us, "quorum-lost", "election", "vote", "won")
    written = await cluster.put(many[0], "color", "green")
    story.judge(
        refused.status in (503, 504) and written.status == 200 and after.term > led.term,
        f"red through {led.name}: {refused.status}, {refused.text}. {led.name} stepped down; {after.name} leads term "
        f"{after.term}, and green through {many[0]} is acknowledged.",
        f"red got {refused.status} {refused.text}, green {written.status} {written.text}; {await story.roles()}",
    )
    return after


async def _follows_nobody(story: Story, name: str) -> bool | None:
    view = await story.cluster.view(name)
    return True if view is not None and view.role != "leader" and view.leader == "" else None


async def _reads(story: Story, few: tuple[str, ...], many: tuple[str, ...]) -> None:
    cluster, old = story.cluster, few[0]
    story.now("What do readers see?")
    await story.predict(
        f"The three answer green. {old} cannot know whether it is up to date, so it refuses an ordinary read; asked "
        "for its own word only (consistency=stale), it says blue: old, but never the red that nobody acknowledged."
    )
    patience_ms = cluster.timing.election_high_ms
    green, refused, stale = await asyncio.gather(
        cluster.get(many[-1], "color"),
        cluster.get(old, "color", timeout_ms=patience_ms),
        cluster.get(old, "color", stale=True),
    )
    story.judge(
        (green.status, green.text, refused.status, stale.text) == (200, "green", 503, "blue"),
        f"{many[-1]}: green. {old}: {refused.status}, {refused.text}. {old}, stale: {stale.text}.",
        f"{many[-1]}: {green.status} {green.text}; {old}: {refused.status} {refused.text}; stale: {stale.text}",
    )


async def _heals(story: Story, led: Lead, after: Lead, few: tuple[str, ...]) -> None:
    cluster = story.cluster
    story.now("The network is whole again.")
    await story.predict(
        f"{' and '.join(few)} hear the newer term, follow, give up red, and take over green. All five logs are equal."
    )
    old = await cluster.view(led.name)
    has_red = old is not None and old.last_index > old.commit
    healed_us = story.now_us()
    await story.heal()
    now = await story.expect("all five agree on a leader", story.one_leads)
    await story.expect("equal logs on all five", lambda: story.same_logs(cluster.nodes.names))
    if has_red:
        await story.news("truncated", led.name, healed_us)
    story.timeline(healed_us, "leader", "truncated", "election", "won")
    colors = {(await cluster.get(name, "color", stale=True)).text for name in cluster.nodes.names}
    story.judge(
        colors == {"green"} and now == after,
        f"all five follow {now.name} in term {now.term} and say green; {led.name} is an ordinary follower.",
        f"{await story.roles()}; colors: {sorted(colors)}",
    )
