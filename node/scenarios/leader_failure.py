"""The leader is killed: the others notice, elect another, and have everything that was acknowledged.

Why it exists: it is what Raft is for. It must not be kind: SIGKILL, no goodbye.
"""

from node.scenarios.story import Lead, Story


async def play(story: Story) -> None:
    """Write, kill, elect, read, bring back."""
    cluster, timing = story.cluster, story.cluster.timing
    led = await story.up()
    for number in range(1, 6):
        await story.acknowledged(led.name, f"order/{number}", f"paid {number}")
    story.now(f"Five orders were written and acknowledged. Now {led.name}, the leader, gets SIGKILL: no goodbye.")
    await story.predict(
        f"Its heartbeats stop. After {timing.election_low_ms} to {timing.election_high_ms} ms of silence a follower "
        f"stands for election and wins with the votes of the living, in a term above {led.term}."
    )
    killed_us = story.now_us()
    pid = await cluster.nodes.kill(led.name)
    story.fact(f"{led.name} (process {pid}) is gone.")
    after = await story.expect("a new leader that all four follow", story.one_leads)
    won = await story.news("won", after.name, killed_us)
    story.timeline(killed_us, "election", "vote", "won", "leader")
    story.judge(
        after.term > led.term and after.name != led.name,
        f"{after.name} leads in term {after.term}, {(won.time_us - killed_us) / 1000:.0f} ms after the kill.",
        f"{after.name} leads in term {after.term}, which is no new term",
    )
    await _nothing_is_lost(story, after)
    await _returns(story, led, after)


async def _nothing_is_lost(story: Story, after: Lead) -> None:
    story.now("Each acknowledged order is on the disks of a majority, and so on that of whoever can win a majority.")
    await story.predict(f"{after.name} has all five orders and takes new ones.")
    answers = [await story.cluster.get(after.name, f"order/{number}") for number in range(1, 6)]
    written = await story.cluster.put(after.name, "order/6", "paid 6")
    missing = [n for n, answer in enumerate(answers, 1) if (answer.status, answer.text) != (200, f"paid {n}")]
    story.judge(
        not missing and written.status == 200,
        "all five are there, and order 6 was acknowledged.",
        f"missing orders: {missing}; order 6 got {written.status} {written.text}",
    )


async def _returns(story: Story, led: Lead, after: Lead) -> None:
    cluster = story.cluster
    story.now(f"{led.name} is started again, with the disk it had.")
    await story.predict(
        f"It does not take the lead back: it hears {after.name}, follows it in term {after.term}, and gets order 6."
    )
    started_us = story.now_us()
    cluster.nodes.start(led.name)
    now = await story.expect(f"{led.name} back, and all five agreed", story.one_leads)
    await story.expect("equal logs on all five", lambda: story.same_logs(cluster.nodes.names))
    await story.news("leader", led.name, started_us)
    story.timeline(started_us, "started", "election", "won", "leader")
    read = await cluster.get(led.name, "order/6", stale=True)
    story.judge(
        now == after and read.text == "paid 6",
        f"{led.name} follows {after.name} in term {after.term}; order 6 is on its own disk now.",
        f"{await story.roles()}; order 6 on {led.name}: {read.text}",
    )
