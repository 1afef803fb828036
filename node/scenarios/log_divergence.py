"""A cut-off leader takes writes it can never commit; the others write something else in the same places; then repair.

Why it exists: it shows what "committed" means, and why 504 is not the same as "no". It must not repair anything itself.
"""

import asyncio

from node.scenarios import faults
from node.scenarios.cluster import Answer, Entry
from node.scenarios.story import Lead, Story

LOST = ("red", "pink", "rose")
"""Keys, each with itself as the value, written to the leader that is cut off."""
KEPT = ("green", "teal")
"""Keys written to the others."""


async def play(story: Story) -> None:
    """Cut the leader off, write on both sides, compare the logs, heal, compare again."""
    led = await story.up()
    names = story.cluster.nodes.names
    others = tuple(name for name in names if name != led.name)
    await story.acknowledged(led.name, "color", "blue")
    log = await story.expect("equal logs on all five", lambda: story.same_logs(names))
    await _uncommitted(story, led, others, log)
    after = await _diverge(story, led, others, log)
    await _repair(story, led, after, log)


async def _uncommitted(story: Story, led: Lead, others: tuple[str, ...], log: dict[int, Entry]) -> None:
    cluster = story.cluster
    story.now(
        f"color=blue is acknowledged; all five logs hold the same {len(log)} entries. Then {led.name}, the leader, is "
        f"cut off from everybody, does not know it yet, and gets three writes: {', '.join(LOST)}."
    )
    await story.predict(
        f"{led.name} puts all three into its own log, but no majority confirms them: each is answered with 504, "
        "unknown outcome. Not with an error that says no: had one follower got it, it might still be committed."
    )
    made = await story.cut(faults.between((led.name,), others))
    patience_ms = cluster.timing.election_high_ms * 3 // 2
    answers = await asyncio.gather(*(_write(story, led, value, patience_ms) for value in LOST))
    await story.prove(made)
    view = await cluster.view(led.name)
    said = sorted({f"{answer.status}, {answer.text}" for answer in answers})
    extra = 0 if view is None else view.last_index - len(log)
    story.judge(
        [answer.status for answer in answers] == [504] * 3 and extra == len(LOST),
        f"{said[0]}. {led.name}'s log grew by {extra} entries that are committed nowhere.",
        f"answers: {'; '.join(said)}; {led.name}'s log grew by {extra} entries",
    )


async def _write(story: Story, led: Lead, value: str, timeout_ms: int) -> Answer:
    return await story.cluster.put(led.name, value, value, timeout_ms)


async def _diverge(story: Story, led: Lead, others: tuple[str, ...], log: dict[int, Entry]) -> Lead:
    story.now(f"Meanwhile the other four elect a leader, and clients write {' and '.join(KEPT)} there.")
    await story.predict(
        f"The new leader never heard of the three: it puts other entries into the same places. From {len(log) + 1} on "
        f"the two logs differ, in term and in checksum; up to {len(log)} they are equal."
    )
    after = await story.expect("a leader among the other four", lambda: story.led(others))
    for value in KEPT:
        await story.acknowledged(after.name, value, value)
    await story.expect("equal logs on the four", lambda: story.same_logs(others))
    logs = await story.cluster.logs((led.name, after.name))
    old, new = logs[led.name], logs[after.name]
    indexes = range(len(log) - 1, max(len(old), len(new)) + 1)
    differ = tuple(old.get(index) != new.get(index) for index in indexes)
    rows = [(str(index), *_shown(old.get(index)), *_shown(new.get(index))) for index in indexes]
    head = ("index", f"{led.name}: term", "entry", "checksum", f"{after.name}: term", "entry", "checksum")
    story.narrator.table("The end of both logs:", head, rows, differ)
    same_before = all(old[index] == new[index] == log[index] for index in log)
    both = range(len(log) + 1, min(len(old), len(new)) + 1)
    story.judge(
        same_before and len(both) > 0 and all(old[i].checksum != new[i].checksum for i in both),
        f"{after.name} leads term {after.term}; {len(both)} places hold different entries, the {len(log)} before "
        "them are equal.",
        f"equal up to {len(log)}: {same_before}; places with two entries: {len(both)}",
    )
    return after


def _shown(entry: Entry | None) -> tuple[str, str, str]:
    if entry is None:
        return "", "", ""
    what = {"configuration": "members", "noop": "new leader"}.get(entry.kind, entry.summary.partition(" (")[0])
    return str(entry.term), what, entry.checksum


async def _repair(story: Story, led: Lead, after: Lead, log: dict[int, Entry]) -> None:
    cluster, names = story.cluster, story.cluster.nodes.names
    story.now(f"{led.name} is reconnected.")
    await story.predict(
        f"{led.name} hears term {after.term} and follows. Its log does not fit what {after.name} sends, so it removes "
        f"its own {len(LOST)} entries from {len(log) + 1} on and takes the leader's: five equal logs. "
        f"{', '.join(LOST)} are gone; what was acknowledged is not."
    )
    healed_us = story.now_us()
    await story.heal()
    whole = await story.expect("equal logs on all five", lambda: story.same_logs(names))
    news = (await story.news("truncated", led.name, healed_us)).detail
    removed = (int(news["from"]), int(news["count"]))
    story.timeline(healed_us, "append-refused", "truncated", "leader", "won")
    lost = [(await cluster.get(led.name, value)).status for value in LOST]
    kept = [(await cluster.get(led.name, value)).text for value in KEPT]
    blue = (await cluster.get(led.name, "color")).text
    story.judge(
        removed == (len(log) + 1, len(LOST)) and lost == [404] * 3 and kept == list(KEPT) and blue == "blue",
        f"{led.name} removed {removed[1]} entries from {removed[0]} on; {len(whole)} entries with equal checksums on "
        f"all five; color=blue, {' and '.join(KEPT)} are there, {', '.join(LOST)} are not.",
        f"removed (from, count): {removed}; lost keys: {lost}; kept: {kept}; color={blue}",
    )
