"""Nodes that know names alone lose the registry by which they found each other, and then their leader.

Why it exists: whatever helps to find peers must not be able to stop them. It must not help the nodes: what they know
of each other they have from the registry, from their links, and from the log.
"""

from node.scenarios.nodes import REGISTRY
from node.scenarios.story import Story

FULL_SECONDS = 15.0


async def play(story: Story) -> None:
    """Find each other, lose the registry, lose the leader, come back, fill the registry again."""
    cluster = story.cluster
    nodes = cluster.nodes
    story.now(
        f"A registry runs at {nodes.registry_url}/. The nodes know each other's names, and where the registry is."
    )
    nodes.start(REGISTRY)
    led = await story.up()
    await story.acknowledged(led.name, "before", "1")
    story.now("The registry gets SIGKILL, and all that it knew is gone: it keeps nothing on a disk.")
    await story.predict(f"Nothing happens: links stand, {led.name} leads on in term {led.term}, and writes are taken.")
    pid = await nodes.kill(REGISTRY)
    story.fact(f"The registry (process {pid}) is gone.")
    written = [await cluster.put(name, f"without/{name}", "1") for name in nodes.names]
    still = await story.one_leads()
    story.judge(
        still == led and all(answer.status == 200 for answer in written),
        f"{led.name} leads in term {led.term}, and took a write through each of the five.",
        f"{await story.roles()}; writes got {[answer.status for answer in written]}",
    )
    story.now(f"Now {led.name}, the leader, gets SIGKILL as well.")
    await story.predict("The four others elect another: who votes stands in their logs, and nobody has to be asked.")
    await nodes.kill(led.name)
    after = await story.expect("a new leader that all four follow", story.one_leads)
    story.judge(after.term > led.term, f"{after.name} leads in term {after.term}.", f"still term {after.term}")
    story.now(f"{led.name} is started again. It knows names alone, and the registry is not there to be asked.")
    await story.predict("It finds the others all the same: its log says where members were born, and there they are.")
    nodes.start(led.name)
    now = await story.expect(f"{led.name} back, and all five agreed", story.one_leads)
    story.judge(now == after, f"{led.name} follows {after.name} in term {after.term}.", await story.roles())
    story.now("The registry is started again, empty.")
    await story.predict("Within seconds it lists all five, for each repeats itself; and it was never asked who leads.")
    nodes.start(REGISTRY)

    async def full() -> str | None:
        found = await cluster.registered()
        leads = [name for name, role in found.items() if role == "leader"]
        return leads[0] if len(found) == len(nodes.names) and leads == [after.name] else None

    leader = await story.expect("five registered nodes, and the leader among them", full, FULL_SECONDS)
    story.saw(f"It lists five nodes, and {leader} as their leader.")
