"""A follower dies, misses hundreds of writes, returns with the disk it had, and catches up.

Why it exists: it shows what is kept over a crash, and that catching up costs the cluster nothing. It must not touch the
dead node's disk, only look at it.
"""

import asyncio

from node.scenarios.cluster import Entry
from node.scenarios.story import Lead, Story

BEFORE, MISSED = 20, 300
WRITES_AT_ONCE = 16


async def play(story: Story) -> None:
    """Write, kill a follower, write much more, look at its disk, start it, compare."""
    cluster = story.cluster
    led = await story.up()
    names = cluster.nodes.names
    dead = next(name for name in names if name != led.name)
    await _write(story, led, 0, BEFORE)
    log = await story.expect("equal logs on all five", lambda: story.same_logs(names))
    await _misses(story, led, dead, log)
    await _catches_up(story, led, dead, log)


async def _write(story: Story, led: Lead, first: int, count: int) -> None:
    for start in range(first, first + count, WRITES_AT_ONCE):
        numbers = range(start, min(start + WRITES_AT_ONCE, first + count))
        await asyncio.gather(*(story.acknowledged(led.name, f"item/{n:04d}", f"value {n}") for n in numbers))


async def _misses(story: Story, led: Lead, dead: str, log: dict[int, Entry]) -> None:
    cluster = story.cluster
    story.now(f"{BEFORE} writes are on all five. {dead}, a follower, gets SIGKILL; {MISSED} more writes follow.")
    await story.predict(
        f"Four of five are a majority, so clients notice nothing: {led.name} stays leader and all {MISSED} are "
        f"acknowledged. On {dead}'s disk lies what it had: {len(log)} entries."
    )
    await cluster.nodes.kill(dead)
    began = asyncio.get_running_loop().time()
    await _write(story, led, BEFORE, MISSED)
    seconds = asyncio.get_running_loop().time() - began
    disk = await cluster.nodes.disk(dead)
    now = await story.one_leads()
    story.fact(f"raft-node log verify on {dead}'s folder: {disk.damage or 'whole'}, entries 1 to {disk.last_index}.")
    story.judge(
        now == led and disk.last_index == len(log) and not disk.damage,
        f"{MISSED} writes acknowledged in {seconds:.1f} s, {led.name} leads term {led.term} as before; "
        f"{dead}'s log ends at {disk.last_index}.",
        f"{await story.roles()}; {dead}'s log ends at {disk.last_index} {disk.damage}",
    )


async def _catches_up(story: Story, led: Lead, dead: str, log: dict[int, Entry]) -> None:
    cluster = story.cluster
    view = await cluster.view(led.name)
    behind = view.last_index - len(log) if view else MISSED
    story.now(f"{dead} is started again, {behind} entries behind.")
    await story.predict(
        f"It keeps the {len(log)} entries it has, {led.name} finds out where they end and sends only the rest, many "
        f"at a time. No election: {led.name} still leads term {led.term}. Then all five logs are equal."
    )
    elections = len(cluster.told("election"))
    started_us = story.now_us()
    cluster.nodes.start(dead)
    whole = await story.expect(f"{dead} caught up", lambda: story.same_logs(cluster.nodes.names))
    caught_up_us = story.now_us()
    up_us = (await story.news("started", dead, started_us)).time_us
    await story.news("leader", dead, started_us)
    story.timeline(started_us, "started", "election", "won", "leader")
    now = await story.expect("all five agree on a leader", story.one_leads)
    kept = all(whole.get(index) == entry for index, entry in log.items())
    cut_off = cluster.told("truncated", node=dead)
    elected = len(cluster.told("election")) - elections
    story.judge(
        now == led and kept and not cut_off and not elected,
        f"{dead} had all {len(whole)} entries at most {(caught_up_us - up_us) / 1000:.0f} ms after it was up; every "
        f"checksum equals {led.name}'s, nothing was removed, and there was no election.",
        f"{await story.roles()}; kept: {kept}; removed: {len(cut_off)}; elections: {elected}",
    )
