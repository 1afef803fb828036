"""Operators' commands: to this node's core, to another node over one hop, and from members to this node.

Why it exists: the same promises as for writes: bounded, at most one hop, each answered exactly once, and "unknown"
wherever it may have been obeyed. It must not know what a command does.
"""

from collections.abc import Callable
from typing import Literal

import msgspec

from node.raft.effects import Ordered
from node.raft.events import Event
from node.raft.messages import OUTCOME_BYTES_MAX, Command, CommandReply, Message
from node.raft.types import Member
from node.runtime.answers import Answers
from node.runtime.commands import ORDERS
from node.runtime.deadlines import earliest
from node.runtime.hooks import Hooks
from node.runtime.inputs import WantOrder, WantRelay
from node.runtime.onehop import HopCounts, OneHop
from node.runtime.orders import ORDERS_MAX, Orders, PendingOrder
from node.runtime.ports import CommandOutcome

_ENCODER = msgspec.msgpack.Encoder()
_DECODER: msgspec.msgpack.Decoder[CommandOutcome] = msgspec.msgpack.Decoder(CommandOutcome)


class Relaying:
    """Every command that waits on this node. `send` is the links' (False: certainly not sent)."""

    def __init__(
        self, boot: str, answers: Answers, send: Callable[[str, Message], bool], hooks: Hooks, counts: HopCounts
    ) -> None:
        self._boot = boot
        self._answers = answers
        self._send = send
        self._hooks = hooks
        self._orders = Orders()
        self._hop: OneHop[PendingOrder] = OneHop(boot, counts)

    @property
    def deadline(self) -> int | None:
        """When the oldest command runs out; None when nothing waits."""
        if not (self._orders or self._hop):
            return None
        return earliest(self._orders.deadline, self._hop.deadline)

    def want_order(self, item: WantOrder, events: list[Event]) -> None:
        """A command of the core's, from this node's own operator."""
        if self._full:
            item.reply(_too_many(item.command))
            return
        order = PendingOrder(item.command, "", item.deadline_us, item.reply)
        events.append(ORDERS[item.command](self._orders.add(order), item.arguments))

    def want_relay(self, item: WantRelay, heard: Member | None) -> None:
        """The one hop. What the link did not take was certainly not obeyed; what it took may be.

        `heard`: whom links have shown to bear that name; also one with a new disk, who is no member, may answer.
        """
        if self._full:
            item.reply(_too_many(item.command))
            return
        order = PendingOrder(item.command, item.node, item.deadline_us, item.reply)
        request = self._hop.ask(heard or Member(item.node, ""), order, item.deadline_us)
        if not self._send(item.node, Command(self._boot, request, item.command, item.arguments)):
            self._hop.take_back(request)
            message = f"no link to {item.node} that takes it; nothing was sent"
            item.reply(CommandOutcome(item.command, item.node, "no-link", message))

    def take_command(self, sender: Member, message: Command, is_member: bool) -> None:
        """Only members may command, and each gets an answer."""

        def reply(outcome: CommandOutcome) -> None:
            self._answers.add_command(sender.name, message.boot, message.request, _encode(outcome))
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
        order = self._hop.answered(sender, message.boot, message.request)
        if order is None:
            return
        try:
            outcome = msgspec.structs.replace(_DECODER.decode(message.outcome), node=sender.name)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            outcome = _unknown(order, f"{sender.name} answered in a form that this version does not know")
        order.reply(outcome)

    def ordered(self, effect: Ordered) -> None:
        """The core decided."""
        order = self._orders.take(effect.request)
        if order is not None:
            code: Literal["ok", "refused", "unknown"] = "ok" if effect.done else "refused"
            why = {"reason": effect.reason} if effect.reason else {}
            order.reply(CommandOutcome(order.command, "", "unknown" if effect.unknown else code, effect.message, why))

    def expire(self, now: int) -> None:
        """Answer what waited too long. Only where `deadline` has passed."""
        late = [*self._orders.expired(now), *(asked.what for asked in self._hop.expired(now, ORDERS_MAX))]
        for order in late:
            order.reply(_unknown(order, f"{order.to or 'this node'} did not answer in time"))

    def stop(self) -> None:
        """Answer everything that waits."""
        for order in [*self._orders.drain(), *self._hop.drain()]:
            order.reply(_unknown(order, "the node is stopping"))

    @property
    def _full(self) -> bool:
        return len(self._orders) + len(self._hop) >= ORDERS_MAX


def _encode(outcome: CommandOutcome) -> bytes:
    """For another node; what is too long is left out, and this is said."""
    encoded = _ENCODER.encode(outcome)
    if len(encoded) <= OUTCOME_BYTES_MAX:
        return encoded
    message = f"{outcome.message} (too long to be relayed)"
    return _ENCODER.encode(msgspec.structs.replace(outcome, data={}, message=message))


def _unknown(order: PendingOrder, why: str) -> CommandOutcome:
    message = f"{why}: {order.command} may have been obeyed, or may be yet"
    return CommandOutcome(order.command, order.to, "unknown", message)


def _too_many(command: str) -> CommandOutcome:
    return CommandOutcome(command, "", "overloaded", "too many commands wait on this node; try again later")
