"""Two candidates, two votes each, three needed: a term that nobody wins, and chance that ends the tie.

A real tie, made by real processes: the leader is killed and two of the four survivors are told to campaign at the same
moment, while links are cut so that each can reach itself and one other voter.

Why it exists: split votes are rare because timeouts are random, so people hear of them and never see one. It must not
decide who wins in the end.
"""

import asyncio

import msgspec

from node.scenarios.outcome import ToolFailure
from node.scenarios.story import Lead, Story

ATTEMPTS_MAX = 3
"""A survivor's own timeout may come first on a busy machine, and there is no tie; then it is played once more."""


class Tie(msgspec.Struct, frozen=True):
    """Who stands, who can be reached by whom."""

    one: str
    other: str
    ones_voter: str
    others_voter: str

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The links to cut: between the candidates, and to the other's voter."""
        return (self.one, self.other), (self.one, self.others_voter), (self.other, self.ones_voter)


async def play(story: Story) -> None:
    """Cut, kill, campaign twice, count, heal."""
    led = await story.up()
    for attempt in range(1, ATTEMPTS_MAX + 1):
        four = [name for name in story.cluster.nodes.names if name != led.name]
        tie = Tie(*four)
        killed_us = await _split(story, led, tie)
        if killed_us is not None:
            await _resolves(story, led.term + 1, killed_us)
            return
        story.withdraw(
            f"A timer was faster than the two commands, so this is no tie (try {attempt} of {ATTEMPTS_MAX})."
        )
        await story.heal()
        story.cluster.nodes.start(led.name)
        led = await story.expect("a leader that all follow", story.one_leads)
    raise ToolFailure(f"A timer was faster than two commands {ATTEMPTS_MAX} times: this machine is too busy for a tie.")


async def _split(story: Story, led: Lead, tie: Tie) -> int | None:
    """When the leader was killed, where both then stood in the same term, which nobody won; None where they did not."""
    cluster, term = story.cluster, led.term + 1
    story.now(
        f"To make a tie certain, links are cut so that of the four followers {tie.one} reaches only {tie.ones_voter}, "
        f"and {tie.other} only {tie.others_voter}. {led.name} still leads them all."
    )
    await story.prove(await story.cut(tie.pairs))
    story.now(f"{led.name} gets SIGKILL, and {tie.one} and {tie.other} are told to campaign at the same moment.")
    await story.predict(
        f"Both stand in term {term} and vote for themselves; {tie.ones_voter} votes for {tie.one}, "
        f"{tie.others_voter} for {tie.other}. Two votes each, three of five needed: nobody wins term {term}."
    )
    killed_us = story.now_us()
    await cluster.nodes.kill(led.name)
    await asyncio.gather(*(cluster.command(name, "trigger_election") for name in (tie.one, tie.other)))
    if await cluster.until(lambda: _answered(story, term, tie), cluster.timing.election_low_ms / 1000) is None:
        return None
    story.timeline(killed_us, "election", "vote", "won")
    votes = _votes(story, term)
    expected = {tie.one: {tie.one, tie.ones_voter}, tie.other: {tie.other, tie.others_voter}}
    story.judge(
        votes == expected and not cluster.told("won", term),
        f"{_count(votes)}; nobody won term {term}.",
        f"{_count(votes)}; winners of term {term}: {[e.node for e in cluster.told('won', term)] or 'none'}",
    )
    return killed_us


async def _answered(story: Story, term: int, tie: Tie) -> bool | None:
    """Both stood in that term, and both answers came in."""
    told = story.cluster.told
    stood = {e.node for e in told("election", term) if e.detail.get("phase") == "vote"}
    heard = {e.node for e in told("vote-reply", term) if e.detail.get("phase") == "vote"}
    return True if {tie.one, tie.other} <= stood & heard else None


def _votes(story: Story, term: int) -> dict[str, set[str]]:
    """Who voted for whom in that term; a candidate's own vote is that it stands."""
    told = story.cluster.told
    votes = {e.node: {e.node} for e in told("election", term) if e.detail.get("phase") == "vote"}
    for event in told("vote", term):
        if event.detail.get("phase") == "vote" and event.detail.get("granted"):
            votes.setdefault(str(event.detail["candidate"]), set()).add(event.node)
    return votes


def _count(votes: dict[str, set[str]]) -> str:
    return ", ".join(f"{name} has {len(voters)} votes ({', '.join(sorted(voters))})" for name, voters in votes.items())


async def _resolves(story: Story, term: int, killed_us: int) -> None:
    cluster = story.cluster
    story.now("The links are healed. Both candidates wait for votes that never come, until a timeout ends the term.")
    await story.predict(
        "Each node has drawn its own timeout. Whoever's ends first asks before the others do, and wins a later term "
        f"than {term}; no rule about who gives way is needed."
    )
    views = await cluster.views()
    healed_us = story.now_us()
    await story.heal()
    drawn = {name: view.election_timeout_ms for name, view in views.items()}
    story.fact("Drawn this time: " + ", ".join(f"{name} {ms:.0f} ms" for name, ms in drawn.items()) + ".")
    after = await story.expect("one leader that all four follow", story.one_leads)
    await story.news("won", after.name, killed_us)
    story.timeline(healed_us, "election", "vote", "won", "leader")
    tied = cluster.told("won", term)
    story.judge(
        after.term > term and not tied,
        f"{after.name} leads in term {after.term}; term {term} stays without a leader for ever.",
        f"{after.name} leads in term {after.term}; winners of the tied term: {[e.node for e in tied] or 'none'}",
    )
