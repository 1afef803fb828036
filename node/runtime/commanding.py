"""Carries out the commands that are not for the core: those that show, and those for links and faults.

Why it exists: what a command does is one place, whoever sent it. It decides first and acts second, because the answer
to a relayed command must leave before the command cuts the link that it leaves by. It must not step the core.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from node.raft.types import MemberAddress
from node.runtime.commands import FaultSpec, Value, find
from node.runtime.membership import Membership
from node.runtime.ports import Address, CommandOutcome, Faults, PeerView, Status


class Looks(Protocol):
    """What commands may look at, and the little they may touch, of the shell."""

    def status(self) -> Status: ...
    def views(self) -> tuple[PeerView, ...]: ...
    def timers_us(self) -> dict[str, int]: ...
    def loop_age_us(self) -> int: ...
    def tell_everyone(self, answer: bool) -> None: ...
    def backup_done(self) -> None: ...


class Network(Protocol):
    """What commands may look at and touch of the way to the peers. Addresses are for people: a dial asks anew."""

    def addresses(self) -> Mapping[str, Address]: ...
    def look_up(self) -> None:
        """Look every name up anew, and dial at once whom no link leads to."""

    def reset(self, peer: str | None) -> None:
        """Drop the links with `peer`, None: all, without goodbye, and dial anew."""


class Plan(msgspec.Struct, frozen=True):
    """The answer, and what is to be done for it to be true."""

    outcome: CommandOutcome
    act: Callable[[], None] | None = None


class Commander:
    """`faults` None: they are not enabled."""

    def __init__(
        self, name: str, membership: Membership, looks: Looks, network: Network, faults: Faults | None
    ) -> None:
        self._name, self._membership, self._looks = name, membership, looks
        self._network, self._faults = network, faults

    def plan(self, command: str, arguments: Mapping[str, Value]) -> Plan:
        """`arguments` as `commands.check` returned them."""
        spec = find(command)
        if spec is not None and spec.needs_faults and self._faults is None:
            message = "faults are not enabled on this node: start it with --enable-faults"
            return Plan(CommandOutcome(command, self._name, "faults-disabled", message))
        peer = str(arguments.get("peer", ""))
        peers = self._membership.peers
        if peer and peer not in peers:
            message = f"{peer} is no peer of {self._name}; there are {', '.join(peers) or 'none'}"
            return Plan(CommandOutcome(command, self._name, "malformed", message, field="peer"))
        planned = self._show(command)
        if planned is None:
            planned = self._change(command, peer, arguments)
        return planned

    def _show(self, command: str) -> Plan | None:
        looks = self._looks
        match command:
            case "show_known_nodes":
                addresses = self._network.addresses()
                where = self._membership.where
                rows = [_row(view, where(view.name)) | _where(addresses.get(view.name)) for view in looks.views()]
                heard = sum(1 for row in rows if row["state"] == "reachable")
                return self._done(command, f"{heard} of {len(rows)} nodes were heard lately", nodes=rows)
            case "check_timers":
                timers = {name: due / 1000 for name, due in looks.timers_us().items()}
                core = looks.status().core
                said = ", ".join(f"{name} in {due:.0f} ms" for name, due in timers.items()) or "no timer runs"
                return self._done(
                    command,
                    said,
                    timers_ms=timers,
                    election_timeout_ms=core.election_timeout_us / 1000,
                    loop_age_ms=looks.loop_age_us() / 1000,
                )
            case "state_details":
                status = looks.status()
                core = status.core
                said = f"{self._name} is {core.role.value} in term {core.term}, has committed {core.commit}"
                return self._done(command, said, status=msgspec.to_builtins(status))
            case "sync_known_nodes":
                links = looks.status().links_up
                said = f"told and asked {', '.join(links)}" if links else "no link is up, so nobody was asked"
                missing = [peer for peer in self._membership.peers if peer not in links]
                dialled = f", dials {', '.join(missing)}" if missing else ""
                said = f"{said}; looks every name up anew{dialled}: show_known_nodes tells what came of it"
                return self._done(command, said, act=self._sync, asked=list(links), dialled=missing)
        return None

    def _note_backup(self) -> None:
        self._looks.backup_done()
        self._looks.tell_everyone(answer=False)

    def _sync(self) -> None:
        self._looks.tell_everyone(answer=True)
        self._network.look_up()

    def _change(self, command: str, peer: str, arguments: Mapping[str, Value]) -> Plan:
        if command == "backup_done":
            return self._done(command, "noted, and told to the others", act=self._note_backup)
        if command == "reset_links":
            return self._done(
                command,
                f"dropped and redials the links with {peer or 'every peer'}",
                act=lambda: self._network.reset(peer or None),
            )
        faults = self._faults
        if faults is None:
            raise ValueError(f"{command} is neither a fault's command nor any other that is known here")
        if command == "recover":
            return self._done(command, _ended(len(faults.active())), act=faults.recover)
        direction = str(arguments.get("direction", "both"))
        if command == "heal_link":
            sides = ("in", "out") if direction == "both" else (direction,)
            count = sum(1 for fault in faults.active() if fault.peer == peer and fault.direction in sides)
            return self._done(command, _ended(count), act=lambda: faults.heal(peer, direction))
        spec = find(command)
        if spec is None or spec.fault is None:
            raise ValueError(f"{command} begins no fault, and nothing here carries it out")
        kind = spec.fault.kind
        seconds = float(arguments["seconds"])
        value = float(arguments.get("ms", arguments.get("percent", 0)))
        said = _said(spec.fault, self._name, peer, direction, value)
        return self._done(
            command,
            f"{said}, for {seconds:g} s at most",
            act=lambda: faults.inject(kind, peer, direction, value, seconds),
            expires_in_ms=seconds * 1000,
        )

    def _done(self, command: str, message: str, act: Callable[[], None] | None = None, **data: Any) -> Plan:
        return Plan(CommandOutcome(command, self._name, "ok", message, data=data), act)


def _said(fault: FaultSpec, name: str, peer: str, direction: str, value: float) -> str:
    effect = fault.effect.format(value=value)
    if not peer:
        return f"{name} is {effect}"
    way = {"out": f"what {name} says to {peer}", "in": f"what {peer} says to {name}"}.get(
        direction, f"what {name} and {peer} say to each other"
    )
    return f"{way} {effect}"


def _ended(count: int) -> str:
    return "there was no fault to end" if not count else f"{count} fault{'s' if count > 1 else ''} ended"


def _row(view: PeerView, told: MemberAddress | None) -> dict[str, Any]:
    """`told`: how the node is reached, as settings or configuration say; its own word counts more."""
    core = None if view.status is None else view.status.core
    client_url = view.status.client_url if view.status else told.client_url if told else ""
    return {
        "name": view.name,
        "state": "reachable" if view.reachable else "unknown",
        "age_ms": None if view.age_us is None else view.age_us / 1000,
        "role": core.role.value if core else None,
        "term": core.term if core else None,
        "leader": core.leader if core else None,
        "commit": core.commit if core else None,
        "client_url": client_url or None,
    }


def _where(address: Address | None) -> dict[str, Any]:
    if address is None:
        return {"host": None, "port": None, "addresses": [], "resolve_error": "", "resolved_age_ms": None}
    return {
        "host": address.host,
        "port": address.port,
        "addresses": list(address.addresses),
        "resolve_error": address.error,
        "resolved_age_ms": None if address.age_us is None else address.age_us / 1000,
    }
