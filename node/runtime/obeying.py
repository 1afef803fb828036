"""Operators' commands on their way through one node: checked, carried out here, or relayed to another over one hop.

Why it exists: a command may come from this node's own operator or from a member, and is checked, obeyed and answered
alike. Those of the core go through the inbox, the others are `commanding.py`'s. It must not know what a command does.
"""

import asyncio
from collections.abc import Mapping

import msgspec

from node.runtime.applicants import of_applicant
from node.runtime.commanding import Commander
from node.runtime.commands import ORDERS, BadArgument, Value, check, find
from node.runtime.hooks import CommandReplied
from node.runtime.inputs import WantOrder, WantRelay
from node.runtime.membership import Membership
from node.runtime.ports import CommandOutcome
from node.runtime.shell import Shell, monotonic_us

RELAYED_TIMEOUT_US = 10_000_000
"""How long a command that a peer relayed may take here; the peer's own client gives up earlier."""

LAST_WORD_S = 0.05
"""Between the answer to a relayed command and the command: it may cut the link that the answer leaves by."""


class Obeying:
    """Every command that this node is told, by whomever."""

    def __init__(self, name: str, shell: Shell, membership: Membership, commander: Commander) -> None:
        self._name, self._shell, self._membership, self._commander = name, shell, membership, commander

    async def command(
        self, name: str, arguments: Mapping[str, object], timeout_us: int, node: str = ""
    ) -> CommandOutcome:
        """See NodeHandle."""
        target = node or self._name
        refused = self._shell.refusal()
        if refused is not None:
            return CommandOutcome(name, target, *refused)
        if target not in self._membership.names:
            known = ", ".join(self._membership.names)
            return CommandOutcome(
                name, target, "unknown-node", f"there is no node {target[:64]!r} here; known: {known}"
            )
        checked = _checked(name, arguments)
        if isinstance(checked, CommandOutcome):
            return msgspec.structs.replace(checked, node=target)
        future: asyncio.Future[CommandOutcome] = asyncio.get_running_loop().create_future()

        def reply(outcome: CommandOutcome) -> None:
            if not future.done():  # the client may have gone meanwhile
                future.set_result(outcome)

        deadline_us = self._shell.until_us(timeout_us)
        if target == self._name:
            self._obey(name, checked, deadline_us, reply, relayed=False)
        else:
            self._shell.post(WantRelay(target, name, msgspec.json.encode(checked), deadline_us, reply))
        return await future

    def order(self, name: str, given: Mapping[str, object], reply: CommandReplied) -> None:
        """A command of the core's, by this node itself."""
        checked = _checked(name, given)
        if isinstance(checked, CommandOutcome):
            reply(checked)
        else:
            self._obey(name, checked, self._shell.until_us(RELAYED_TIMEOUT_US), reply, relayed=False)

    def on_command(self, name: str, arguments: bytes, reply: CommandReplied) -> None:
        """A member relays a command: the driver's hook."""
        try:
            given = msgspec.json.decode(arguments, type=dict[str, object])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            reply(CommandOutcome(name, self._name, "malformed", "the arguments are no JSON object", field="body"))
            return
        checked = _checked(name, given)
        if isinstance(checked, CommandOutcome):
            reply(msgspec.structs.replace(checked, node=self._name))
            return
        self._obey(name, checked, self._shell.until_us(RELAYED_TIMEOUT_US), reply, relayed=True)

    def _obey(
        self, name: str, arguments: Mapping[str, Value], deadline_us: int, reply: CommandReplied, relayed: bool
    ) -> None:
        """Carry out; `reply` is called once. A relayed command's answer leaves before anything changes."""

        def answer(outcome: CommandOutcome) -> None:
            reply(msgspec.structs.replace(outcome, node=self._name))

        if name in ORDERS:
            filled = of_applicant(name, arguments, self._shell.core.status(monotonic_us()).applicants)
            if isinstance(filled, CommandOutcome):
                answer(filled)
            else:
                self._shell.post(WantOrder(name, deadline_us, answer, filled))
            return
        plan = self._commander.plan(name, arguments)
        if plan.act is not None and relayed:
            self._shell.later(LAST_WORD_S, plan.act)
        elif plan.act is not None:
            plan.act()
        answer(plan.outcome)


def _checked(name: str, given: Mapping[str, object]) -> dict[str, Value] | CommandOutcome:
    """The command's arguments, complete; or why it is none."""
    spec = find(name)
    if spec is None:
        return CommandOutcome(name, "", "unknown-command", f"there is no command {name[:64]!r}")
    try:
        return check(spec, given)
    except BadArgument as bad:
        return CommandOutcome(name, "", "malformed", str(bad), field=bad.field)
