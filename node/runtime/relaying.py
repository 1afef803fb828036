"""Operators' commands: to this node's core, to another node over one hop, and from members to this node.

Why it exists: the same promises as for writes: bounded, at most one hop, each answered exactly once, and "unknown"
wherever it may have been obeyed. It must not know what a command does.
"""

from collections.abc import Callable

import msgspec

from node.raft.effects import Ordered
from node.raft.events import Campaign, Event, ForceTimeout, LeaveInitial, Order, TransferLeadership
from node.raft.messages import OUTCOME_BYTES_MAX, Command, CommandReply, Message
from node.raft.types import Member
from node.runtime.hooks import Hooks
from node.runtime.inputs import WantOrder, WantRelay
from node.runtime.orders import Orders, PendingOrder
from node.runtime.ports import CommandOutcome

ORDERS: dict[str, Callable[[int, str], Order]] = {
    "trigger_election": lambda request, _target: Campaign(request),
    "become_follower": lambda request, _target: LeaveInitial(request),
    "force_timeout": lambda request, _target: ForceTimeout(request),
    "transfer_leadership": TransferLeadership,
}
"""The commands that are the core's: each as an event, from the number of the request and a target."""

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[CommandOutcome] = msgspec.msgpack.Decoder(CommandOutcome)


class Relaying:
    """Every command that waits on this node. `send` is the links' (False: certainly not sent)."""

    def __init__(self, boot: str, send: Callable[[str, Message], bool], hooks: Hooks) -> None:
        self._boot = boot
        self._send = send
        self._hooks = hooks
        self._orders = Orders()
        self._replies: list[tuple[str, CommandReply]] = []

    @property
    def deadline(self) -> int | None:
        """When the oldest command runs out; None when nothing waits."""
        return self._orders.deadline

    def want_order(self, item: WantOrder, events: list[Event]) -> None:
        """A command of the core's, from this node's own operator."""
        if self._orders.full:
            item.reply(_too_many(item.command))
            return
        order = PendingOrder(item.command, "", item.deadline_us, item.reply)
        events.append(ORDERS[item.command](self._orders.add(order), item.target))

    def want_relay(self, item: WantRelay) -> None:
        """The one hop. What the link did not take was certainly not obeyed; what it took may be."""
        if self._orders.full:
            item.reply(_too_many(item.command))
            return
        request = self._orders.add(PendingOrder(item.command, item.node, item.deadline_us, item.reply))
        if not self._send(item.node, Command(self._boot, request, item.command, item.arguments)):
            self._orders.take(request)
            message = f"no link to {item.node}; nothing was sent"
            item.reply(CommandOutcome(item.command, item.node, "no-link", message))

    def take_command(self, sender: Member, message: Command, is_member: bool) -> None:
        """Only members may command, and each gets an answer."""

        def reply(outcome: CommandOutcome) -> None:
            encoded = _ENCODER.encode(outcome)
            if len(encoded) > OUTCOME_BYTES_MAX:
                shorter = msgspec.structs.replace(
                    outcome, data={}, message=f"{outcome.message} (too long to be relayed)"
                )
                encoded = _ENCODER.encode(shorter)
            self._replies.append((sender.name, CommandReply(message.boot, message.request, encoded)))
            self._hooks.wake()

        if is_member:
            self._hooks.command(message.name, message.arguments, reply)
        else:
            why = (
                f"{sender.name} is no member of this node's cluster, so it commands nothing here: ask this node itself"
            )
            reply(CommandOutcome(message.name, "", "refused", why))

    def replied(self, sender: Member, message: CommandReply) -> None:
        """Another node answered a command that was relayed to it."""
        if message.boot != self._boot:
            return  # meant for an earlier process of this name
        order = self._orders.get(message.request)
        if order is None or order.to != sender.name:
            return  # it came too late, or from one who was not asked
        self._orders.take(message.request)
        try:
            outcome = msgspec.structs.replace(_DECODER.decode(message.outcome), node=sender.name)
        except (msgspec.DecodeError, UnicodeDecodeError):
            outcome = _unknown(order, f"{sender.name} answered in a form that this version does not know")
        order.reply(outcome)

    def ordered(self, effect: Ordered) -> None:
        """The core decided."""
        order = self._orders.take(effect.request)
        if order is not None:
            order.reply(CommandOutcome(order.command, "", "ok" if effect.done else "refused", effect.message))

    def expire(self, now: int) -> None:
        """Answer what waited too long."""
        for order in self._orders.expired(now):
            order.reply(_unknown(order, f"{order.to or 'this node'} did not answer in time"))

    def stop(self) -> None:
        """Answer everything that waits."""
        for order in self._orders.drain():
            order.reply(_unknown(order, "the node is stopping"))

    def send_replies(self) -> None:
        """Everything that was decided since the last step."""
        for peer, reply in self._replies:
            self._send(peer, reply)
        self._replies.clear()


def _unknown(order: PendingOrder, why: str) -> CommandOutcome:
    message = f"{why}: {order.command} may have been obeyed, or may be yet"
    return CommandOutcome(order.command, order.to, "unknown", message)


def _too_many(command: str) -> CommandOutcome:
    return CommandOutcome(command, "", "overloaded", "too many commands wait on this node; try again later")
