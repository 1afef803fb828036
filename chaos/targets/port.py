"""Where a cluster lives, as a port: what faults need done there, whether it is Kubernetes or processes on a laptop.

Why it exists: the same plan runs against both. It must not know what a fault is for: it does, shows and undoes single
acts. Every method may raise `ChaosError`; what is written as an `UndoStep` was written down before it was done.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from chaos import links
from chaos.model import Place
from chaos.switch.port import Charge, Switch
from chaos.systems.port import System

Pair = links.Pair

KillMode = Literal["delete", "sigkill"]
"""delete: ask it to leave (SIGTERM; in Kubernetes delete the pod). sigkill: SIGKILL to the node's process, in place."""


class UndoStep(msgspec.Struct, frozen=True):
    """One act that must be taken back, as plain JSON: `do` names how. Undoing twice is harmless."""

    do: str
    arguments: dict[str, str]


class Journal(Protocol):
    """The undo journal of a run: durable before the act (see chaos/journal.py)."""

    def will_do(self, step: UndoStep) -> None:
        """Write down, synced to disk, how to undo what is about to be done."""

    def undone(self, step: UndoStep) -> None:
        """It was taken back."""


class Cut(msgspec.Struct, frozen=True):
    """Who may not reach whom: of `nodes`, every ordered pair of `blocked`, sorted. `title`: for people. `groups`: where
    the cut is one between groups; the first holds the leader."""

    nodes: tuple[str, ...]
    blocked: tuple[Pair, ...]
    title: str
    groups: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def between(cls, groups: tuple[tuple[str, ...], ...]) -> "Cut":
        """Nobody in one group may talk to anybody in another."""
        nodes = tuple(name for group in groups for name in group)
        return cls(nodes, links.between(groups), " | ".join(" ".join(group) for group in groups), groups)

    @property
    def allowed(self) -> tuple[Pair, ...]:
        """Every other ordered pair, sorted."""
        names, blocked = sorted(self.nodes), set(self.blocked)
        return tuple((a, b) for a in names for b in names if a != b and (a, b) not in blocked)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Every ordered pair, cut or not."""
        return (*self.allowed, *self.blocked)

    @property
    def apart(self) -> tuple[Pair, ...]:
        """Every two nodes with a blocked pair between them, once, sorted."""
        return tuple(sorted({(min(pair), max(pair)) for pair in self.blocked}))


class Finding(msgspec.Struct, frozen=True):
    """One line of `doctor`: `level` "ok", "warning" (a fault may not work) or "error" (it cannot)."""

    level: Literal["ok", "warning", "error"]
    about: str
    sentence: str


class Network(Protocol):
    """Cuts between nodes, done by whatever the target has."""

    async def objections(self, cut: Cut) -> Sequence[str]:
        """Why this cut would be void or harm others (a foreign policy that admits a blocked pair, by name, ...)."""

    def plan(self, cut: Cut, run: str, seconds: float) -> Sequence[str]:
        """What `install` would do, exactly, for people (`--dry-run`): changes nothing."""

    async def install(self, cut: Cut, run: str, seconds: float, journal: Journal) -> None:
        """Do it; `seconds` is how long it is meant to hold (locally the fault also ends by itself later than that)."""

    async def dial(self, pairs: Sequence[Pair]) -> Mapping[Pair, bool]:
        """Dial anew, from each to each: whether a new connection would carry anything now."""

    async def remove(self, cut: Cut, run: str, journal: Journal) -> Sequence[str]:
        """Take back what `install` did; what somebody else had changed meanwhile, which stays, a sentence each."""


class Target(Protocol):
    """One running cluster. Open it with `targets.find.open_target`, and close it."""

    kind: Literal["kubernetes", "local"]
    title: str
    """For people: "release raft in namespace default (context kind-raft)", "the local cluster in ./raft-data"."""
    namespace: str
    """Empty for a local one."""
    system: System
    """What its nodes are."""

    @property
    def network(self) -> Network:
        """Where cuts are made; the same for as long as the target is open."""

    @property
    def nodes(self) -> tuple[str, ...]:
        """Every node's name, sorted naturally, running or not; fixed while the target is open."""

    def url(self, node: str) -> str:
        """Where the node's client API answers, by a way that no fault of ours cuts, without a slash at the end: the
        same for as long as the target is open. While the node is down, connections to it are refused or closed."""

    async def places(self) -> Mapping[str, Place]:
        """Where every node runs now."""

    async def policies(self) -> Sequence[str]:
        """Network policies and link faults in force, one line each; `status` shows them."""

    async def kill(self, node: str, mode: KillMode, journal: Journal) -> str:
        """End the node's process; what was done, as a sentence."""

    def kill_plan(self, node: str, mode: KillMode) -> str:
        """What `kill` would do, exactly (`--dry-run`)."""

    async def pause(self, node: str, journal: Journal) -> str:
        """Have the node's process stand still (SIGSTOP); what was done, as a sentence."""

    def pause_plan(self, node: str) -> str:
        """What `pause` would do, exactly (`--dry-run`)."""

    async def paused(self, node: str) -> bool:
        """Whether the node's process stands still now. Where nothing else wakes it when this tool is gone (Kubernetes),
        it goes on by itself unless this is asked again and again."""

    async def resume(self, node: str) -> str:
        """Have it go on (SIGCONT), harmless where it runs; what was done, as a sentence."""

    async def bring_back(self, node: str) -> None:
        """Have a killed node started, where nobody else does it (locally the supervisor is asked)."""

    async def lock(self, run: str, seconds: float) -> None:
        """Be the only run against this cluster, for at most so long without renewal; `Refused` names who holds it."""

    async def unlock(self) -> None:
        """Let others run."""

    async def refuse_living(self, dead: Collection[str], say: Callable[[str], None]) -> None:
        """Return when no run is alive here, having waited in bounds to see it where nothing tells at once; `Refused`
        names the one that is. `dead`: runs that are known to have ended."""

    async def arm(self, charge: Charge) -> Switch:
        """Have something that outlives this tool watch over it, and take back what it did when it is gone: return once
        that watches. Raises Refused, nothing changed, where it cannot."""

    def arm_plan(self, cuts: bool) -> str:
        """What `arm` would do, exactly (`--dry-run`); empty: nothing."""

    async def undo(self, step: UndoStep) -> str:
        """Take back one act of an earlier run, harmless if it is gone already; what was done, as a sentence."""

    async def leftovers(self) -> Sequence[UndoStep]:
        """What earlier runs left behind, found without any journal (by label; locally by active faults)."""

    async def doctor(self, probe: bool = True) -> Sequence[Finding]:
        """What this tool may do here, and whether faults would work. Without `probe` nothing is made or run to see."""

    async def close(self) -> None:
        """Let go of connections; changes nothing."""
