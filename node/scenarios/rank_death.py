"""The nodes are ranks of an MPI world: a leader dies in it, a paused rank comes back, and the dead one cannot.

Why it exists: what MPI has not (connections, goodbyes, a way back) must cost the cluster what is said here, and no
more. It must not ask MPI anything: nodes are looked at over HTTP as ever.
"""

from node.scenarios.story import Story


async def play(story: Story) -> None:
    """Kill the leader's rank, then lose a second one, then a majority."""
    cluster, timing = story.cluster, story.cluster.timing
    nodes = cluster.nodes
    story.now("mpiexec starts five ranks together, each a node: what they say to each other goes over MPI.")
    led = await story.up()
    for number in range(1, 6):
        await story.acknowledged(led.name, f"order/{number}", f"paid {number}")
    story.now(f"Five orders were acknowledged. Now the process of {led.name}, the leader, gets SIGKILL.")
    await story.predict(
        f"Over MPI nobody refuses a connection for a dead rank, so the others hear silence: after "
        f"{timing.election_low_ms} to {timing.election_high_ms} ms one stands for election. The other ranks do not end "
        f"with it."
    )
    killed_us = story.now_us()
    pid = await nodes.kill(led.name)
    story.fact(f"{led.name} (process {pid}) is gone.")
    after = await story.expect("a new leader that all four follow", story.one_leads)
    won = await story.news("won", after.name, killed_us)
    answers = [await cluster.get(after.name, f"order/{number}") for number in range(1, 6)]
    took_ms = (won.time_us - killed_us) / 1000
    story.judge(
        after.term > led.term and all(answer.status == 200 for answer in answers),
        f"{after.name} leads in term {after.term}, {took_ms:.0f} ms after the kill, and has all five orders.",
        f"{after.name} leads in term {after.term}; reads got {[answer.status for answer in answers]}",
    )
    second = next(name for name in nodes.running if name != after.name)
    story.now(f"A second rank dies: {second}. No process can take the place of either in this world.")
    await story.predict("Three of five are a majority: writes go on.")
    await nodes.kill(second)
    written = await cluster.put(after.name, "order/6", "paid 6")
    story.judge(written.status == 200, "order 6 was acknowledged.", f"order 6 got {written.status} {written.text}")
    third = next(name for name in nodes.running if name != after.name)
    story.now(f"A third one dies: {third}.")
    await story.predict("Two of five are no majority: order 7 is refused, or nobody can say what became of it.")
    await nodes.kill(third)
    answer = await cluster.put(after.name, "order/7", "paid 7", timeout_ms=4 * timing.election_high_ms)
    story.judge(
        answer.status in (503, 504),
        f"order 7 got {answer.status}: {answer.text}. A new world with these disks has all six orders, and five lives.",
        f"order 7 got {answer.status} {answer.text}",
    )
