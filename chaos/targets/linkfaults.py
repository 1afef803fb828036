"""Partitions of a local cluster: the link faults that its nodes have, at both ends of every blocked pair.

A cut link swallows what goes over it, in the node itself: established connections and new ones alike, so there is
nothing to reset, and a link stays "up" while it carries nothing. What is said over it is cut at both ends, so the
partition outlasts the restart of either. Every cut is given its end when it is made (at most 600 s away): a tool that
dies leaves nothing for ever.

Why it exists: the same plan as in Kubernetes, where the network has no policies. It must not prove anything by
itself: `dial` says what the nodes say of their faults, and a fault must besides be seen in the ages of last contact.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

import aiohttp
import msgspec

from chaos.errors import ChaosError, NotEffective, Refused, Usage
from chaos.observe import nodeapi
from chaos.targets.port import Cut, Journal, Pair, UndoStep

FAULT_SECONDS_MAX = 600.0
"""No node holds a fault for longer, and no lab a cut."""
MARGIN_SECONDS = 30.0
"""A cut ends by itself so much later than it is meant to be taken back."""
STATUS_TIMEOUT_SECONDS = 1.0
ANSWER_SECONDS_MAX = 10.0
"""A node that was started in this instant runs before it answers."""
LOOK_AGAIN_SECONDS = 0.1
COMMAND_TIMEOUT_SECONDS = 5.0
TOTAL_LOSS_PERCENT = 100.0
HEAL_ALL = "raft-chaos heal --all"


class LinkFault(msgspec.Struct, frozen=True):
    """One active fault as `/status` tells it. `kind`: "failure" (no peer, no direction), "cut", "delay" (`value`:
    milliseconds), or one whose `value` is a percentage, as "drop"."""

    kind: str
    peer: str = ""
    direction: str = ""
    value: float = 0.0
    expires_in_ms: float = 0.0

    def stops(self, peer: str, direction: str) -> bool:
        """Whether nothing gets through to ("out") or from ("in") that peer."""
        if self.kind == "failure":
            return True
        total = self.kind == "cut" or (self.kind == "drop" and self.value >= TOTAL_LOSS_PERCENT)
        return total and self.peer == peer and self.direction == direction


def describe(node: str, faults: Sequence[LinkFault]) -> str:
    """All faults of a node in one line, for `status` and refusals; not empty."""
    if any(fault.kind == "failure" for fault in faults):
        said = ["plays dead"]
    else:
        links: dict[tuple[str, float, str], list[str]] = {}
        for fault in faults:
            links.setdefault((fault.kind, fault.value, fault.peer), []).append(fault.direction)
        said = [_link(*link, directions) for link, directions in links.items()]
    seconds = max(fault.expires_in_ms for fault in faults) / 1000
    return f"{node}: {', '.join(said)} (ends by itself in {seconds:.0f} s)"


def _cure(node: str, faults: Sequence[LinkFault]) -> str:
    """`heal` ends what is on over links; only the node itself, one of ours, can play dead."""
    return f"raft-node command {node} recover" if any(fault.kind == "failure" for fault in faults) else HEAL_ALL


def _link(kind: str, value: float, peer: str, directions: Sequence[str]) -> str:
    way = "to and from" if len(directions) > 1 else {"out": "to", "in": "from"}[directions[0]]
    much = f" by {value:g} ms" if kind == "delay" else f" of {value:g} percent" if value else ""
    return f"{kind}{much} of what goes {way} {peer}"


class _Status(msgspec.Struct):
    faults: tuple[LinkFault, ...] = ()


class Nodes(Protocol):
    """What a partition needs of the cluster."""

    @property
    def nodes(self) -> tuple[str, ...]: ...
    def url(self, node: str) -> str: ...
    def runs(self, node: str) -> bool: ...
    def stands_still(self, node: str) -> bool: ...


class LinkFaults:
    """The `Network` of a local cluster (targets/port.py)."""

    def __init__(self, nodes: Nodes, session: aiohttp.ClientSession) -> None:
        self._nodes, self._session = nodes, session

    async def certainly_active(self) -> Mapping[str, tuple[LinkFault, ...]]:
        """The faults of every node that runs and does not stand still. Raises Refused where one does not say, so that
        nobody takes its silence for health."""
        loop = asyncio.get_running_loop()
        until = loop.time() + ANSWER_SECONDS_MAX
        while True:
            found = await self.active()
            asked = [node for node in found if self._nodes.runs(node) and not self._nodes.stands_still(node)]
            mute = [node for node in asked if found[node] is None]
            if not mute:
                return {node: faults or () for node, faults in found.items()}
            if loop.time() >= until:
                raise Refused(
                    f"{mute[0]} runs and does not answer at {self._nodes.url(mute[0])}, so whether faults are on there "
                    "is not known: see raft-chaos status."
                )
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    async def active(self) -> Mapping[str, tuple[LinkFault, ...] | None]:
        """Every node's faults; None: it does not answer."""
        names = self._nodes.nodes
        return dict(zip(names, await asyncio.gather(*map(self._faults_of, names)), strict=True))

    async def objections(self, cut: Cut) -> Sequence[str]:  # noqa: ARG002 - any fault would blur any cut
        """Faults that are on already, and running nodes that do not answer: the cut could not be told from them."""
        found = []
        for node, faults in (await self.active()).items():
            if faults is None and self._nodes.runs(node):
                found.append(f"{node} runs and does not answer at {self._nodes.url(node)}")
            elif faults:
                found.append(f"a fault is on already, {describe(node, faults)}: end it with {_cure(node, faults)}")
        return found

    def plan(self, cut: Cut, run: str, seconds: float) -> Sequence[str]:  # noqa: ARG002 - nodes do not label faults
        """See `Network`: one request a line."""
        lasts = _lasts(seconds)
        return [
            f"POST {self._nodes.url(node)}/commands/cut_link "
            + msgspec.json.encode(_arguments(peer, direction) | {"seconds": lasts}).decode()
            for (node, peer), direction in _ends(cut).items()
        ]

    async def install(self, cut: Cut, run: str, seconds: float, journal: Journal) -> None:  # noqa: ARG002 - as above
        """See `Network`. Again while it is on: the cuts begin anew, and nodes that were started since get theirs.

        Raises Usage where a fault cannot last that long, NotEffective where neither end of a pair could be cut.
        """
        lasts = _lasts(seconds)
        ends = _ends(cut)
        for node, peer in ends:
            journal.will_do(undo_cut(node, peer))
        answers = await _to_their_end(
            [
                self._command(node, "cut_link", _arguments(peer, direction) | {"seconds": lasts})
                for (node, peer), direction in ends.items()
            ]
        )
        refused = {pair: said for pair, said in zip(ends, answers, strict=True) if said}
        for (node, peer), said in refused.items():
            if self._nodes.runs(node) or (peer, node) in refused:
                raise NotEffective(f"The link of {node} with {peer} could not be cut at {node}: {said}")

    async def dial(self, pairs: Sequence[Pair]) -> Mapping[Pair, bool]:
        """What a new connection could carry, judged from what both ends say of their faults: nodes dial each other,
        never us, and a cut swallows the first frame of a new connection as it does any. False too where an end
        does not answer."""
        faults = await self.active()
        return {(a, b): _carries(a, b, faults.get(a), faults.get(b)) for a, b in pairs}

    async def remove(self, cut: Cut, run: str, journal: Journal) -> Sequence[str]:  # noqa: ARG002 - as above
        """See `Network`: heals exactly the links that `install` cut. Raises ChaosError naming what still is cut."""
        left = await self._each(tuple(_ends(cut)), lambda node, peer: self.heal(node, peer, "both"), journal)
        if left:
            raise ChaosError(
                f"{'; '.join(left)}; every cut ends by itself within {FAULT_SECONDS_MAX:.0f} s, and "
                "raft-chaos heal tries again."
            )
        return ()

    async def heal(self, node: str, peer: str, direction: str) -> str:
        """End the cut at that end; what was done, as a sentence. Raises ChaosError where the node runs and did not."""
        said = await self._command(node, "heal_link", _arguments(peer, direction))
        if said and self._nodes.runs(node):
            raise ChaosError(f"The link of {node} with {peer} could not be healed at {node}: {said}")
        return (
            f"{node} does not run, so its cut of the link with {peer} is gone"
            if said
            else f"healed the link of {node} with {peer}"
        )

    async def _each(
        self, pairs: Sequence[Pair], heal: Callable[[str, str], Awaitable[str]], journal: Journal
    ) -> list[str]:
        """Heal every end, whatever becomes of the others; the errors."""
        done = await asyncio.gather(*(heal(node, peer) for node, peer in pairs), return_exceptions=True)
        errors = []
        for (node, peer), result in zip(pairs, done, strict=True):
            if isinstance(result, ChaosError):
                errors.append(str(result).rstrip("."))
            elif isinstance(result, BaseException):
                raise result
            else:
                journal.undone(undo_cut(node, peer))
        return errors

    async def _command(self, node: str, name: str, arguments: Mapping[str, str | float]) -> str:
        """Empty where it was done, else why not."""
        url = self._nodes.url(node)
        answer = await nodeapi.command(self._session, url, name, arguments, timeout_s=COMMAND_TIMEOUT_SECONDS)
        return "" if answer.ok else f"{answer.message or 'no reason given'} ({answer.code})."

    async def _faults_of(self, node: str) -> tuple[LinkFault, ...] | None:
        timeout = aiohttp.ClientTimeout(total=STATUS_TIMEOUT_SECONDS)
        try:
            async with self._session.get(f"{self._nodes.url(node)}/status", timeout=timeout) as answer:
                return msgspec.json.decode(await answer.read(), type=_Status).faults if answer.status == 200 else None
        except (*nodeapi.UNREACHABLE, msgspec.MsgspecError, RecursionError):
            return None


async def _to_their_end(commands: Sequence[Coroutine[Any, Any, str]]) -> list[str]:
    """Wait for the answers even when cancelled, each has its timeout: a cut that a node makes after it was healed would
    stay."""
    sent = asyncio.gather(*commands)
    try:
        return await asyncio.shield(sent)
    except asyncio.CancelledError:
        await asyncio.wait((sent,))
        raise


def _carries(a: str, b: str, at_a: tuple[LinkFault, ...] | None, at_b: tuple[LinkFault, ...] | None) -> bool:
    if at_a is None or at_b is None:
        return False
    return not any(fault.stops(b, "out") for fault in at_a) and not any(fault.stops(a, "in") for fault in at_b)


def _ends(cut: Cut) -> dict[Pair, str]:
    """By (node, peer), what that end does not let through: a word is stopped where it is said ("out"), and where it is
    heard ("in")."""
    blocked = set(cut.blocked)
    found = sorted({end for a, b in blocked for end in ((a, b), (b, a))})
    return {
        (node, peer): "both" if {(node, peer), (peer, node)} <= blocked else "out" if (node, peer) in blocked else "in"
        for node, peer in found
    }


def _arguments(peer: str, direction: str = "both") -> dict[str, str | float]:
    return {"peer": peer, "direction": direction}


def undo_cut(node: str, peer: str) -> UndoStep:
    """Heals that end of the link, both ways."""
    return UndoStep("heal_link", {"node": node, "peer": peer, "direction": "both"})


def _lasts(seconds: float) -> float:
    """How long the nodes are told to hold a fault that is meant to last `seconds`."""
    longest = FAULT_SECONDS_MAX - MARGIN_SECONDS
    if not 0 < seconds <= longest:
        raise Usage(f"A local partition lasts at most {longest:.0f} s, not {seconds:g}: give a shorter --duration.")
    return seconds + MARGIN_SECONDS
