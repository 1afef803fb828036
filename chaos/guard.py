"""When a fault is refused, and the question before it: everything that is asked before anything is changed.

Why it exists: a chaos tool must not break what is broken already, stop a cluster for good, or pile faults upon each
other. Every refusal is one sentence: what, where, cure. It must not change anything.
"""

from collections.abc import Sequence
from typing import TextIO

from chaos.errors import Refused
from chaos.faults.port import Plan
from chaos.situation import Situation, quorum_lost, unhealthy
from chaos.targets.port import Target, UndoStep

NAMED_MAX = 3
"""So many leftovers or objections are named in a sentence."""
SAID_CHARACTERS_MAX = 80
"""A longer argument of an undo step is not for people."""


def refuse_leaderless(situation: Situation, target: Target) -> None:
    """Refuse where nobody leads: there is nothing to aim at."""
    if not situation.leader:
        _refuse_unhealthy(situation, target)


def refuse_harm(plan: Plan, situation: Situation, target: Target, allow_quorum_loss: bool) -> None:
    """Refuse where nobody could decide any more, or where the cluster is not healthy to begin with."""
    up = situation.views
    lost = quorum_lost(situation.voters, plan.together([name for name in situation.voters if name in up]))
    if lost and not allow_quorum_loss:
        down = [name for name in situation.voters if name not in up]
        already = f" ({', '.join(down)} already down)" if down else ""
        raise Refused(
            f"{plan.title} would stop {target.title} altogether{already}: {lost}; nothing was changed. "
            "If that is what you want, add --allow-quorum-loss."
        )
    _refuse_unhealthy(situation, target)


def _refuse_unhealthy(situation: Situation, target: Target) -> None:
    trouble = unhealthy(situation)
    if trouble:
        raise Refused(
            f"{capital(target.title)} is not healthy to begin with: {trouble}; nothing was changed. "
            "See raft-chaos status, and try again when every voter follows one leader."
        )


async def refuse_leftovers(target: Target) -> None:
    """Refuse while something of an earlier run is still in force."""
    left = await target.leftovers()
    if left:
        raise Refused(
            f"Something of another run is still in force in {target.title}, {_named([describe(s) for s in left])}: "
            "wait for that run, or, where it was killed, take it back with raft-chaos heal --all."
        )


async def refuse_objections(plan: Plan, target: Target) -> None:
    """Refuse a partition that the network would not carry out, or that would hit others."""
    if plan.cut is None:
        return
    objections = await target.network.objections(plan.cut)
    if objections:
        named = "; ".join(text.rstrip(".") for text in objections[:NAMED_MAX])
        more = f"; and {len(objections) - NAMED_MAX} more" if len(objections) > NAMED_MAX else ""
        raise Refused(f"{plan.title} would not work: {named}{more}. Nothing was changed.")


def confirm(plan: Plan, target: Target, asks: TextIO, answers: TextIO) -> None:
    """Ask whoever sits there; refuse where nobody does, or where the answer is not yes."""
    if not answers.isatty():
        raise Refused(
            f"{plan.title} in {target.title} was not confirmed, and nobody is there to ask: "
            "add --yes, or look first with --dry-run."
        )
    asks.write(f"{capital(plan.title)} in {target.title}? It is taken back in the end. [y/N] ")
    asks.flush()
    if answers.readline().strip().lower() not in ("y", "yes"):
        raise Refused("Not confirmed, so nothing was changed.")


def describe(step: UndoStep) -> str:
    """An undo step for people: `delete policy raft-chaos-x-g0`; what is long is for the undoing alone."""
    said = [value for value in step.arguments.values() if 0 < len(value) <= SAID_CHARACTERS_MAX]
    return " ".join([step.do.replace("_", " ").replace("-", " "), *said])


def capital(text: str) -> str:
    """With a capital letter, as a sentence begins; names of nodes at its beginning stay what they are."""
    return text[:1].upper() + text[1:] if text.partition(" ")[0].isalpha() else text


def _named(items: Sequence[str]) -> str:
    more = f" and {len(items) - NAMED_MAX} more" if len(items) > NAMED_MAX else ""
    return ", ".join(f"({item})" for item in items[:NAMED_MAX]) + more
