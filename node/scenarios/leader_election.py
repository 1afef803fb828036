"""Five equal nodes, no leader: one election from silence to the first write.

Why it exists: it shows that nothing but a timeout and a majority makes a leader. It must not break anything.
"""

import asyncio

from node.scenarios.story import START_SECONDS, Lead, Story

QUIET_TIMEOUTS = 4
"""How many of the longest election timeouts are watched for a second election."""


async def play(story: Story) -> None:
    """Birth, election, heartbeats, first write."""
    cluster, timing = story.cluster, story.cluster.timing
    names = cluster.nodes.names
    majority = len(names) // 2 + 1
    story.now(f"Five new nodes are about to start: {', '.join(names)}. They are equal; none is chosen to lead.")
    await story.predict(
        f"All begin as followers. Whoever's timeout ({timing.election_low_ms} to {timing.election_high_ms} ms, drawn "
        f"by chance) ends first asks for votes; with {majority} of {len(names)} votes it leads, and all others follow."
    )
    began_us = story.now_us()
    cluster.nodes.start(*names)
    led = await story.expect("one leader that all follow", story.one_leads, START_SECONDS)
    won = int((await story.news("won", led.name)).detail["votes"])
    born = cluster.told("born")
    story.timeline(min((e.time_us for e in born), default=began_us), "born", "election", "vote", "won", "leader")
    story.judge(
        won >= majority and led.name in names,
        f"{led.name} won term {led.term} with {won} of {len(names)} votes, and all others follow it.",
        f"{led.name} leads term {led.term} with only {won} votes",
    )
    await _one_vote_each(story, led)
    await _quiet(story, led)
    other = next(name for name in names if name != led.name)
    story.now(f"A client writes through {other}, which does not lead.")
    await story.predict(f"{other} passes the write on to {led.name}; it is acknowledged, and every node can read it.")
    await story.acknowledged(other, "greeting", "hello")
    answers = await asyncio.gather(*(cluster.get(name, "greeting") for name in names))
    story.judge(
        all((answer.status, answer.text) == (200, "hello") for answer in answers),
        "acknowledged, and all five nodes answer a read with it.",
        f"the nodes answered the read with {[(answer.status, answer.text) for answer in answers]}",
    )


async def _one_vote_each(story: Story, led: Lead) -> None:
    story.now("Two leaders in one term would be a disaster. What rules it out?")
    await story.predict("Every node gives at most one vote a term, so no term has two winners.")
    given: dict[tuple[str, int], set[str]] = {}
    for event in story.cluster.told("vote"):
        if event.detail.get("phase") == "vote" and event.detail.get("granted"):
            given.setdefault((event.node, event.term), set()).add(str(event.detail["candidate"]))
    winners: dict[int, set[str]] = {}
    for event in story.cluster.told("won"):
        winners.setdefault(event.term, set()).add(event.node)
    story.judge(
        all(len(to) == 1 for to in given.values()) and all(len(who) == 1 for who in winners.values()),
        f"no node voted for two in one term, and term {led.term} has one winner.",
        f"votes {given}, winners {winners}",
    )


async def _quiet(story: Story, led: Lead) -> None:
    cluster, timing = story.cluster, story.cluster.timing
    span_ms = QUIET_TIMEOUTS * timing.election_high_ms
    story.now(f"{led.name} now sends a heartbeat every {timing.heartbeat_ms} ms, and each one winds up all timers.")
    await story.predict(f"Nobody stands for election for the next {span_ms} ms, and term {led.term} goes on.")
    before = len(cluster.told("election"))
    await asyncio.sleep(span_ms / 1000)
    now = await story.one_leads()
    story.judge(
        now == led and len(cluster.told("election")) == before,
        f"no election in {span_ms} ms; {led.name} still leads term {led.term}.",
        f"there was another election; now {await story.roles()}",
    )
